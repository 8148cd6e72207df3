import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Authority, openAuthority } from '../../control/ca/authority.ts';
import { parseSvid } from '../../shared/identity/svid.ts';
import type { Files, KeyPair } from '../runtime/runtime.ts';
import { type Identity, IdentityManager, type IdentityOptions } from './identity.ts';

const id = 'spiffe://td/ns/a/sa/b';
const path = '/state/identity.json';

let folder: string;
let now: number;
let authority: Authority;
let managers: IdentityManager[];
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'tulle-identity-'));
  now = Math.floor(Date.now() / 1000) * 1000;
  authority = await openAuthority({ folder, trustDomain: 'td', now: () => now });
  managers = [];
});
afterEach(() => {
  for (const manager of managers) manager.stop();
  rmSync(folder, { recursive: true, force: true });
});

class Disk implements Files {
  readonly stored = new Map<string, { bytes: Uint8Array; mode: number }>();
  read = async (name: string) => this.stored.get(name)?.bytes;
  writeAtomic = async (name: string, bytes: Uint8Array, mode: number) => void this.stored.set(name, { bytes, mode });
  append = () => Promise.reject(new Error('an identity is written whole'));
  makeFolder = async () => {};
  remove = async (name: string) => void this.stored.delete(name);
  watchFolder = () => () => {};
}

/** A wall clock that moves only by `fire`, which runs the one timer that is due next. */
class Clock {
  timers: { at: number; callback: () => void }[] = [];
  now = () => now;
  after = (milliseconds: number, callback: () => void) => {
    const timer = { at: now + milliseconds, callback };
    this.timers.push(timer);
    return () => void (this.timers = this.timers.filter((other) => other !== timer));
  };
  fire(): void {
    const next = this.timers.sort((a, b) => a.at - b.at).shift();
    if (!next) throw new Error('no timer is set');
    now = Math.max(now, next.at);
    next.callback();
  }
}

interface Call {
  at: string;
  body: { csr: string; token?: string; ttlSeconds?: number };
  identity: KeyPair | undefined;
}
type Answer = { status: number; body: unknown };

/** A control plane whose token is "good", once. */
class Control {
  calls: Call[] = [];
  used = false;
  failure: (() => Answer) | undefined;
  /** What it answers an expired certificate with; undefined: the next one. */
  refusal: string | undefined;
  request = async (_method: string, at: string, body: unknown, identity?: KeyPair): Promise<Answer> => {
    const call = { at, body, identity } as Call;
    this.calls.push(call);
    if (this.failure) return this.failure();
    if (at === '/v1/rejoin/challenge') return { status: 200, body: { nonce: 'n' } };
    if (at === '/v1/rejoin') {
      if (this.refusal) return { status: 403, body: { message: this.refusal } };
      const { certificateChain } = await authority.issue(call.body.csr, id, 3600);
      return { status: 200, body: { certificateChain, trustBundle: authority.trustBundle } };
    }
    if (!identity && (call.body.token !== 'good' || this.used)) {
      return { status: 401, body: { kind: 'Status', message: 'join token was already used' } };
    }
    this.used ||= !identity;
    const { certificateChain } = await authority.issue(call.body.csr, id, call.body.ttlSeconds ?? 3600);
    return { status: 200, body: { certificateChain, trustBundle: authority.trustBundle, notAfter: '' } };
  };
}

function setUp(options: Partial<IdentityOptions> = {}, disk = new Disk(), control = new Control()) {
  const clock = new Clock();
  const lines: string[] = [];
  const manager = new IdentityManager({
    files: disk,
    folder: '/state/',
    request: control.request,
    clock,
    random: () => 0.5,
    log: (line) => lines.push(line),
    ...options,
  });
  managers.push(manager);
  return { manager, disk, control, clock, lines };
}
const unreachable = () => {
  throw new Error('connect ECONNREFUSED 127.0.0.1:1');
};

describe('joining', () => {
  it('uses the token once, keeps key and certificate 0600, sends no key', async () => {
    const { manager, disk, control } = setUp({ joinToken: 'good', ttlSeconds: 60 });
    const identity = await manager.start();
    expect(identity).toMatchObject({ spiffeId: id, notAfter: now + 60_000 });
    expect(manager.current).toBe(identity);
    expect(disk.stored.get(path)?.mode).toBe(0o600);
    expect(JSON.stringify(control.calls)).not.toContain('PRIVATE KEY');
  });

  it('starts from disk with the control plane away', async () => {
    const first = setUp({ joinToken: 'good' });
    const joined = await first.manager.start();
    const control = new Control();
    control.failure = unreachable;
    const second = setUp({}, first.disk, control);
    expect(await second.manager.start()).toEqual(joined);
    expect(control.calls).toEqual([]);
  });

  it('says which token is needed without one', async () => {
    await expect(setUp().manager.start()).rejects.toMatchObject({
      code: 'token-needed',
      message: expect.stringContaining('no certificate in /state/identity.json; join with a new invitation'),
    });
  });

  it('gives up on a refused token, with the reason', async () => {
    const { manager } = setUp({ joinToken: 'bad' });
    await expect(manager.start()).rejects.toMatchObject({ code: 'refused', message: /join token was already used/ });
  });

  it('keeps trying while the control plane is away or failing', async () => {
    const { manager, control, clock, lines } = setUp({ joinToken: 'good' });
    control.failure = unreachable;
    const started = manager.start();
    await expect.poll(() => lines.length).toBe(1);
    control.failure = () => ({ status: 503, body: 'x' });
    clock.fire();
    await expect.poll(() => lines.length).toBe(2);
    control.failure = undefined;
    clock.fire();
    expect((await started).spiffeId).toBe(id);
    expect(lines[0]).toMatch(/not joined yet: connect ECONNREFUSED/);
  });

  it('can be stopped while trying', async () => {
    const { manager, control, lines } = setUp({ joinToken: 'good' });
    control.failure = unreachable;
    const started = manager.start();
    await expect.poll(() => lines.length).toBe(1);
    manager.stop();
    await expect(started).rejects.toMatchObject({ code: 'stopped' });
  });

  const spoiled: [string, (text: string) => string | Promise<string>, RegExp][] = [
    ['garbage', () => '{"privateKey": "-----BEGIN', /corrupt/],
    ['a cut file', (text) => text.slice(0, 500), /corrupt/],
    ['a broken certificate', (text) => text.replace(/(BEGIN CERTIFICATE-----.n....)..../, '$1AAAA'), /certificate/i],
    ['a broken key', (text) => text.replace(/(BEGIN PRIVATE KEY-----.n....)..../, '$1AAAA'), /key cannot be read/],
  ];
  it.each(spoiled)('says that the disk holds %s and rejoins', async (_name, spoil, message) => {
    const { manager, disk } = setUp({ joinToken: 'good' });
    await manager.start();
    const text = new TextDecoder().decode(disk.stored.get(path)!.bytes);
    disk.stored.set(path, { bytes: new TextEncoder().encode(await spoil(text)), mode: 0o600 });
    await expect(setUp({}, disk).manager.start()).rejects.toMatchObject({ code: 'token-needed', message });
    const rejoined = setUp({ joinToken: 'good' }, disk);
    expect((await rejoined.manager.start()).spiffeId).toBe(id);
    expect(rejoined.lines.join()).toMatch(message);
    expect(rejoined.lines.join()).not.toMatch(/PRIVATE KEY-----/);
  });

  it('does not use an expired certificate from disk', async () => {
    const { manager, disk } = setUp({ joinToken: 'good', ttlSeconds: 60 });
    await manager.start();
    now += 61_000;
    const control = new Control();
    control.refusal = 'no';
    await expect(setUp({}, disk, control).manager.start()).rejects.toThrow(/expired at/);
  });

  it('does not use what was issued for another key', async () => {
    const { manager, control } = setUp({ joinToken: 'good' });
    const other = await new Control().request('', '', { csr: (await otherCsr()).csr, token: 'good' });
    control.failure = () => other;
    await expect(manager.start()).rejects.toMatchObject({
      code: 'bad-answer',
      message: /key is of another certificate/,
    });
  });
});

async function otherCsr() {
  const { createCsr } = await import('../../shared/identity/csr.ts');
  const { generateKeys } = await import('../../shared/identity/keys.ts');
  return { csr: await createCsr(await generateKeys()) };
}

describe('renewal', () => {
  it('comes at half life, with the held certificate, a new key, and tells subscribers', async () => {
    const { manager, clock, control, disk } = setUp({ joinToken: 'good', ttlSeconds: 100 });
    const first = await manager.start();
    const start = now;
    const seen: Identity[] = [];
    manager.subscribe((identity) => seen.push(identity));
    for (let round = 1; round <= 3; round++) {
      clock.fire();
      expect(now).toBe(start + round * 50_000);
      await expect.poll(() => seen.length).toBe(round);
    }
    expect(control.calls[1]?.identity).toEqual(first.keyPair);
    expect(control.calls[1]?.body.token).toBeUndefined();
    const keys = [first, ...seen].map(({ keyPair }) => keyPair.privateKey);
    expect(new Set(keys).size).toBe(4);
    const stored = JSON.parse(new TextDecoder().decode(disk.stored.get(path)!.bytes));
    expect(parseSvid(stored.certificateChain).notAfter).toBe(seen[2]!.notAfter);
  });

  it('backs off on failure, keeps the certificate, and recovers', async () => {
    const { manager, clock, control, lines } = setUp({ joinToken: 'good', ttlSeconds: 100 });
    const first = await manager.start();
    control.failure = unreachable;
    const waits: number[] = [];
    for (let round = 1; round <= 4; round++) {
      const before = now;
      clock.fire();
      waits.push(now - before);
      await expect.poll(() => lines.length).toBe(round);
    }
    expect(waits).toEqual([50_000, 375, 750, 1500]);
    expect(manager.current).toBe(first);
    expect(lines[0]).toMatch(/not renewed yet, valid until .*ECONNREFUSED.*next attempt in/);
    control.failure = undefined;
    clock.fire();
    await expect.poll(() => manager.current).not.toBe(first);
  });

  it('says when the certificate has expired meanwhile', async () => {
    const { manager, clock, control, lines } = setUp({ joinToken: 'good', ttlSeconds: 100 });
    await manager.start();
    control.failure = unreachable;
    now += 101_000;
    clock.fire();
    await expect.poll(() => lines.at(-1)).toMatch(/expired at .* is not renewed yet: .*; next attempt in/);
  });

  it('keeps what it holds when the answer cannot be used', async () => {
    const { manager, control, lines } = setUp({ joinToken: 'good' });
    const first = await manager.start();
    control.failure = () => ({
      status: 200,
      body: { certificateChain: first.keyPair.certificateChain, trustBundle: 'x' },
    });
    await manager.renew();
    expect(manager.current).toBe(first);
    expect(lines.at(-1)).toMatch(/cannot be used/);
  });

  it('is shared by those who ask at once, and one bad subscriber does not starve the others', async () => {
    const { manager, control, lines } = setUp({ joinToken: 'good' });
    await manager.start();
    let rotations = 0;
    manager.subscribe(() => {
      throw new Error('broken');
    });
    manager.subscribe(() => rotations++);
    await Promise.all([manager.renew(), manager.renew(), manager.renew()]);
    expect([control.calls.length, rotations]).toEqual([2, 1]);
    expect(lines.at(-1)).toMatch(/did not take the new one: broken/);
  });
});

describe('an expired certificate', () => {
  const expired = async () => {
    const first = setUp({ joinToken: 'good', ttlSeconds: 60 });
    await first.manager.start();
    first.manager.stop();
    now += 3600_000;
    return first.disk;
  };

  it('is renewed by its key at the start, and the token is not spent', async () => {
    const { manager, control } = setUp({ joinToken: 'good' }, await expired());
    const identity = await manager.start();
    expect(identity.notAfter).toBe(now + 3_600_000);
    expect(control.calls.map(({ at }) => at)).toEqual(['/v1/rejoin/challenge', '/v1/rejoin']);
    expect(JSON.stringify(control.calls)).not.toContain('PRIVATE KEY');
    expect(control.used).toBe(false);
  });

  it('gives way to the token where it is refused, or says what to do without one', async () => {
    const disk = await expired();
    const control = new Control();
    control.refusal = 'join 1 was revoked';
    await expect(setUp({}, disk, control).manager.start()).rejects.toThrow(
      /expired at .* and is not renewed: .*join 1 was revoked; join with a new invitation \("tulle join"\)/,
    );
    const { manager, lines } = setUp({ joinToken: 'good' }, disk, control);
    await manager.start();
    expect(control.used).toBe(true);
    expect(lines).toContainEqual(expect.stringMatching(/join 1 was revoked; joining with the token/));
  });

  it('is not presented, and is renewed by its key while the proxy runs', async () => {
    const { manager, control } = setUp({ joinToken: 'good', ttlSeconds: 60 });
    const first = await manager.start();
    expect(manager.keyPair).toBe(first.keyPair);
    now += 61_000;
    expect(manager.keyPair).toBeUndefined();
    await manager.renew();
    expect(control.calls.map(({ at }) => at).slice(1)).toEqual(['/v1/rejoin/challenge', '/v1/rejoin']);
    expect(manager.keyPair).toBe(manager.current!.keyPair);
  });
});

describe('a renewed certificate', () => {
  it('is not used while the disk does not take it, until little is left of the one before', async () => {
    const { manager, disk, lines } = setUp({ joinToken: 'good', ttlSeconds: 100 });
    const first = await manager.start();
    disk.writeAtomic = () => Promise.reject(new Error('no space'));
    await manager.renew();
    expect(manager.current).toBe(first);
    now += 90_000;
    await manager.renew();
    expect(manager.current).not.toBe(first);
    expect(lines.at(-1)).toMatch(/not kept on disk: no space; a restart will need a new invitation/);
  });

  it('of another process with the same folder is taken from the disk', async () => {
    const { manager, disk, control } = setUp({ joinToken: 'good' });
    await manager.start();
    const other = setUp({}, disk);
    await other.manager.start();
    now += 60_000;
    await other.manager.renew();
    await manager.renew();
    expect(manager.current).toMatchObject({ keyPair: other.manager.current!.keyPair });
    expect(control.calls).toHaveLength(1);
  });

  it('does not bring back roots that came before its answer', async () => {
    const control = new Control();
    let gate = Promise.resolve();
    const request: IdentityOptions['request'] = async (...call) => {
      const answer = await control.request(...call);
      await gate;
      return answer;
    };
    const { manager, disk } = setUp({ joinToken: 'good', request });
    await manager.start();
    let rotations = 0;
    manager.subscribe(() => rotations++);
    const other = await openAuthority({ folder: join(folder, 'other'), trustDomain: 'td', now: () => now });
    const both = authority.trustBundle + other.trustBundle;
    const { promise, resolve } = Promise.withResolvers<void>();
    gate = promise;
    const renewal = manager.renew();
    await expect.poll(() => control.calls.length).toBe(2);
    await manager.trust(both);
    resolve();
    await renewal;
    expect(manager.current!.trustBundle).toBe(both);
    expect(new TextDecoder().decode(disk.stored.get(path)!.bytes)).toContain(JSON.stringify(both).slice(1, -1));
    expect(rotations).toBe(2);
    await expect(manager.trust('no roots')).rejects.toThrow(/the roots of the mesh cannot be used/);
  });
});
