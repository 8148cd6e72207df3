import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { files } from '../runtime/host.ts';
import { type CachedConfig, DiskCache } from './disk-cache.ts';

const config = (name: string): CachedConfig => ({
  secrets: [],
  clusters: [{ name, version: 'v1', resource: { name } }],
  endpoints: [],
  listeners: [],
  routes: [],
});

describe('DiskCache', () => {
  let folder: string;
  const lines: string[] = [];
  const cache = () => new DiskCache(files, join(folder, 'data'), (line) => lines.push(line));
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'tulle-cache-'));
    lines.length = 0;
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  it('gives back the latest of what was saved, to the same node only, from a file nobody else may read', async () => {
    const first = cache();
    expect(await first.load('n')).toBeUndefined();
    for (const name of ['a', 'b', 'c']) first.save('n', config(name));
    await first.flush();
    expect(await cache().load('n')).toEqual(config('c'));
    expect(await cache().load('other')).toBeUndefined();
    expect(statSync(join(folder, 'data', 'config.json')).mode & 0o777).toBe(0o600);
    expect(lines).toEqual([]);
  });

  it('ignores a damaged file, saying so in one line', async () => {
    const first = cache();
    first.save('n', config('a'));
    await first.flush();
    const path = join(folder, 'data', 'config.json');
    const whole = readFileSync(path, 'utf8');
    for (const damaged of [whole.slice(0, -1), whole.replace('v1', 'v2'), '', 'x', '\u0000']) {
      lines.length = 0;
      writeFileSync(path, damaged);
      expect(await cache().load('n')).toBeUndefined();
      expect(lines).toHaveLength(1);
      expect(lines[0]).not.toContain('\n');
    }
  });

  it('says when it cannot write, and goes on', async () => {
    writeFileSync(join(folder, 'data'), 'a file, not a folder');
    const first = cache();
    first.save('n', config('a'));
    await first.flush();
    expect(lines).toHaveLength(1);
  });
});
