import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { files } from '../runtime/host.ts';
import type { Files } from '../runtime/runtime.ts';
import type { CachedConfig, CachedResource } from './disk-cache.ts';
import { DiskCache } from './disk-cache.ts';

const resource = (name: string, version = 'v1', size = 0): CachedResource => ({
  name,
  version,
  resource: { name, filler: 'ü'.repeat(size) },
});
const config = (clusters: CachedResource[], secrets: CachedResource[] = []): CachedConfig => ({
  secrets,
  clusters,
  endpoints: [],
  listeners: [],
  routes: [],
  hosts: [],
  dnsHosts: [],
  virtualHosts: [],
});

describe('DiskCache', () => {
  let folder: string;
  const lines: string[] = [];
  const path = () => join(folder, 'data', 'config.journal');
  const oldPath = () => join(folder, 'data', 'config.json');
  const cache = (given: Files = files) => new DiskCache(given, join(folder, 'data'), (line) => lines.push(line));
  const saved = async (...configs: CachedConfig[]) => {
    const made = cache();
    for (const one of configs) {
      made.save('n', one);
      await made.flush();
    }
    return made;
  };
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'tulle-cache-'));
    lines.length = 0;
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  it('gives back the latest of what was saved, to the same node only, from a file only its owner may read', async () => {
    const first = cache();
    expect(await first.load('n')).toBeUndefined();
    for (const name of ['a', 'b', 'c']) first.save('n', config([resource(name)]));
    await first.flush();
    first.save('n', config([resource('d')]));
    await first.flush();
    expect(await cache().load('n')).toEqual(config([resource('d')]));
    expect(await cache().load('other')).toBeUndefined();
    expect(statSync(path()).mode & 0o777).toBe(0o600);
    expect(lines).toEqual([]);
    const other = cache();
    await other.load('other');
    other.save('other', config([resource('e')]));
    await other.flush();
    expect(await cache().load('n')).toBeUndefined();
    expect(await cache().load('other')).toEqual(config([resource('e')]));
  });

  it('writes nothing while another process has the folder', async () => {
    const held = await saved(config([resource('a')]));
    const release = await held.hold();
    held.save('n', config([resource('b')]));
    await held.flush();
    expect(await cache().load('n')).toEqual(config([resource('a')]));
    release();
    await held.flush();
    expect(await cache().load('n')).toEqual(config([resource('b')]));
  });

  it('writes what changed, after a start as well, and stays within twice the config', async () => {
    const written: number[] = [];
    const counting: Files = {
      ...files,
      writeAtomic(to, bytes, mode) {
        written.push(bytes.length);
        return files.writeAtomic(to, bytes, mode);
      },
      append(to, bytes, size) {
        written.push(bytes.length);
        return files.append(to, bytes, size);
      },
    };
    const whole = 2_000_000;
    const held = Array.from({ length: 1000 }, (_, i) => resource(`c${i}`, 'v1', whole / 2000));
    await saved(config(held));
    const second = cache(counting);
    let now = (await second.load('n'))!.clusters;
    for (let i = 0; i < 60; i++) {
      now = now.with(i, resource(`c${i}`, `v${i}`, 1500));
      second.save('n', config(now));
      await second.flush();
      expect(statSync(path()).size).toBeLessThan(2 * whole + 1_000_000);
    }
    expect(Math.max(...written)).toBeLessThan(10_000);
    const before = written.length;
    second.save('n', config([...now]));
    await second.flush();
    expect(written).toHaveLength(before);
    second.save('n', config(now.slice(1)));
    await second.flush();
    expect(written.at(-1)).toBeLessThan(200);
    expect(await cache().load('n')).toEqual(config(now.slice(1)));
  });

  it('is rewritten when a journal has grown by as much as it was, and by 256 KB', async () => {
    const made = cache();
    const sizes: number[] = [];
    for (let i = 0; i < 100; i++) {
      made.save('n', config([resource('a', `v${i}`, 5000)]));
      await made.flush();
      sizes.push(statSync(path()).size);
    }
    expect(Math.max(...sizes)).toBeLessThan(290_000);
    expect(sizes.filter((size, i) => size < (sizes[i - 1] ?? 0)).length).toBe(3);
    expect(await cache().load('n')).toEqual(config([resource('a', 'v99', 5000)]));
  });

  it('keeps no key of a secret that was replaced or removed', async () => {
    const [one, two] = [resource('gateway', 'first-key'), resource('gateway', 'second-key')];
    await saved(config([], [one]), config([], [one, resource('other', 'third-key')]));
    expect(readFileSync(path(), 'utf8')).toContain('first-key');
    await saved(config([], [one]), config([], [two]));
    expect(readFileSync(path(), 'utf8')).not.toContain('first-key');
    await saved(config([], [two]), config([resource('a')], []));
    expect(readFileSync(path(), 'utf8')).not.toContain('second-key');
  });

  /** The order in which a type's resources are listed does not matter. */
  const sorted = (state: CachedConfig) => state.clusters.toSorted((x, y) => (x.name < y.name ? -1 : 1));
  /** The states after 1, 2, … records, and where each record ends. */
  const history = async () => {
    const [a, b, c] = [resource('a'), resource('b', 'v1', 5), resource('c')];
    const states = [[a], [a, b], [b, c], [b, resource('c', 'v2'), a], [a]].map((clusters) => config(clusters));
    const made = cache();
    const ends: number[] = [];
    for (const state of states) {
      made.save('n', state);
      await made.flush();
      ends.push(statSync(path()).size);
    }
    return { states, ends, whole: readFileSync(path()) };
  };

  it('loads the last whole state of a journal that was cut at any byte, and continues from it', async () => {
    const { states, ends, whole } = await history();
    for (let size = 0; size <= whole.length; size++) {
      lines.length = 0;
      writeFileSync(path(), whole.subarray(0, size));
      const records = ends.filter((end) => end <= size).length;
      const next = cache();
      const loaded = await next.load('n');
      const state = states[records - 1];
      expect(loaded && sorted(loaded), `cut at ${size}`).toEqual(state && sorted(state));
      expect(lines, `cut at ${size}`).toHaveLength(ends.includes(size) ? 0 : 1);
      if (size % 21 !== 0) continue;
      const after = config([...(loaded?.clusters ?? []), resource('new')]);
      next.save('n', after);
      await next.flush();
      expect(await cache().load('n'), `saved after a cut at ${size}`).toEqual(after);
    }
  });

  it('loads nothing but a state that was saved, whichever byte is damaged', async () => {
    const { states, whole } = await history();
    for (let at = 0; at < whole.length; at++) {
      const damaged = Uint8Array.from(whole);
      damaged[at] = at % 2 === 0 && whole[at] !== 0x0a ? 0x0a : whole[at]! ^ 1;
      writeFileSync(path(), damaged);
      lines.length = 0;
      const loaded = await cache().load('n');
      if (loaded) expect(states.map(sorted)).toContainEqual(sorted(loaded));
      expect(lines).toHaveLength(1);
      expect(lines[0]).not.toContain('\n');
    }
  });

  it('takes no record out of its place, or from another journal', async () => {
    const { ends, whole } = await history();
    const part = (from: number, to: number) => whole.subarray(ends[from - 1] ?? 0, ends[to]);
    for (const records of [[part(0, 0), part(2, 4)], [part(0, 1), part(3, 3), part(2, 2), part(4, 4)], [part(1, 4)]]) {
      writeFileSync(path(), Buffer.concat(records));
      lines.length = 0;
      expect(await cache().load('n')).toBeUndefined();
      expect(lines).toEqual([
        `config cache ${path()} is ignored: its checksum does not match; config will come from the control plane`,
      ]);
    }
  });

  it.each(['', 'x', '\u0000', '\n', '\n\n'])('ignores a damaged file, saying so in one line (%j)', async (text) => {
    await saved(config([resource('a')]));
    writeFileSync(path(), text);
    expect(await cache().load('n')).toBeUndefined();
    expect(lines).toHaveLength(1);
  });

  it('rewrites the whole file when another process removed or extended it', async () => {
    const made = await saved(config([resource('a')]));
    rmSync(path());
    made.save('n', config([resource('b')]));
    await made.flush();
    expect(await cache().load('n')).toEqual(config([resource('b')]));
    writeFileSync(path(), 'more', { flag: 'a' });
    made.save('n', config([resource('c')]));
    await made.flush();
    expect(await cache().load('n')).toEqual(config([resource('c')]));
    expect(lines).toEqual([]);
  });

  it('says when it cannot write, and continues', async () => {
    writeFileSync(join(folder, 'data'), 'a file, not a folder');
    const first = await saved(config([resource('a')]));
    expect(lines).toHaveLength(1);
    rmSync(join(folder, 'data'));
    first.save('n', config([resource('b')]));
    await first.flush();
    expect(await cache().load('n')).toEqual(config([resource('b')]));
    expect(lines).toHaveLength(1);
  });

  describe('beside versions before the journal', () => {
    const writeOld = (nodeId: string, held: CachedConfig) => {
      const content = JSON.stringify({ format: 1, nodeId, config: held });
      mkdirSync(join(folder, 'data'), { recursive: true, mode: 0o700 });
      writeFileSync(oldPath(), `${createHash('sha256').update(content).digest('hex')}\n${content}`, { mode: 0o600 });
    };

    it('takes over their file once', async () => {
      writeOld('n', config([resource('old')]));
      expect(await cache().load('n')).toEqual(config([resource('old')]));
      expect(existsSync(oldPath())).toBe(false);
      expect(statSync(path()).mode & 0o777).toBe(0o600);
      expect(await cache().load('n')).toEqual(config([resource('old')]));
      expect(lines).toEqual([]);
    });

    it('takes the state of such a version that ran since', async () => {
      await saved(config([resource('a')]));
      writeOld('n', config([resource('since')]));
      const next = cache();
      expect(await next.load('n')).toEqual(config([resource('since')]));
      next.save('n', config([resource('b')]));
      await next.flush();
      expect(await cache().load('n')).toEqual(config([resource('b')]));
    });

    it("ignores a damaged file and another node's", async () => {
      await saved(config([resource('a')]));
      writeOld('other', config([resource('theirs')]));
      expect(await cache().load('n')).toEqual(config([resource('a')]));
      expect(lines).toEqual([]);
      writeFileSync(oldPath(), 'x');
      expect(await cache().load('n')).toEqual(config([resource('a')]));
      expect(lines).toEqual([
        `config cache ${oldPath()} is ignored: its checksum does not match; config will come from the control plane`,
      ]);
    });

    it('ignores a journal of a later format', async () => {
      const json = JSON.stringify({ format: 3, nodeId: 'n', config: config([resource('a')]) });
      mkdirSync(join(folder, 'data'));
      writeFileSync(path(), `${createHash('sha256').update(json).digest('hex')} ${json}\n`);
      expect(await cache().load('n')).toBeUndefined();
      expect(lines).toEqual([
        `config cache ${path()} is ignored: it has another format; config will come from the control plane`,
      ]);
    });
  });
});
