import { expect, it } from 'vitest';
import { MeshTrust } from './mesh-trust.ts';

function setUp(disk = new Map<string, Uint8Array>()) {
  let now = 1000;
  const inForce: string[][] = [];
  const trusted: string[] = [];
  const lines: string[] = [];
  const trust = new MeshTrust({
    files: {
      read: async (path) => disk.get(path),
      writeAtomic: async (path, bytes) => void disk.set(path, bytes),
    },
    folder: '/state/',
    now: () => now,
    revoke: (serials) => void inForce.push([...serials]),
    async trust(bundle) {
      if (bundle === 'broken') throw new Error('cannot be read');
      trusted.push(bundle);
    },
    log: (line) => lines.push(line),
  });
  return { trust, inForce, trusted, lines, disk, later: (time: number) => void (now = time) };
}
const revoked = (...serials: string[]) => serials.map((serial) => ({ serial, notAfter: 5000 }));

it('adds to what is revoked, or replaces it, and forgets certificates that have expired', async () => {
  const { trust, inForce, trusted, later } = setUp();
  await trust.take({ version: 'a.1', whole: true, revoked: revoked('1', '2'), trustBundle: 'roots' });
  await trust.take({ version: 'a.2', revoked: [{ serial: '3', notAfter: 9000 }] });
  later(6000);
  await trust.take({ version: 'a.3', revoked: [] });
  await trust.take({ version: 'b.1', whole: true, revoked: [] });
  expect(inForce).toEqual([['1', '2'], ['1', '2', '3'], ['3'], []]);
  expect(trusted).toEqual(['roots']);
  expect(trust.version).toBe('b.1');
});

it('is in force again after a restart, before the control plane is reached', async () => {
  const { trust, disk } = setUp();
  await trust.take({ version: 'a.1', whole: true, revoked: revoked('1') });
  const next = setUp(disk);
  await next.trust.restore();
  expect(next.inForce).toEqual([['1']]);
  expect(next.trust.version).toBeUndefined();
});

it('acknowledges nothing where the roots cannot be used, and refuses the revoked all the same', async () => {
  const { trust, inForce } = setUp();
  const update = { version: 'a.1', whole: true, revoked: revoked('1'), trustBundle: 'broken' };
  await expect(trust.take(update)).rejects.toThrow('cannot be read');
  expect(inForce).toEqual([['1']]);
  expect(trust.version).toBeUndefined();
});

it('starts without a file that is damaged, saying so', async () => {
  const { trust, lines } = setUp(new Map([['/state/revoked.json', new TextEncoder().encode('{')]]));
  await trust.restore();
  expect(lines).toEqual([expect.stringMatching(/^\/state\/revoked\.json cannot be read/)]);
});
