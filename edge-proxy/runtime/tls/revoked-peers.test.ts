import { expect, it } from 'vitest';
import type { Connection } from '../runtime.ts';
import { RevokedPeers } from './revoked-peers.ts';

function peer(peerSerial: string | undefined) {
  const destroyed: string[] = [];
  const connection = {
    tls: peerSerial === undefined ? undefined : { peerSerial },
    destroy: (error?: Error) => void destroyed.push(error?.message ?? ''),
  } as unknown as Connection;
  return { connection, destroyed };
}

it('closes the connections of who is revoked, and no other', () => {
  const peers = new RevokedPeers();
  const [a, b, plain, anonymous, gone] = [peer('1'), peer('2'), peer(undefined), peer(''), peer('1')];
  for (const { connection } of [a, b]) expect(peers.watch(connection)).toBeDefined();
  for (const { connection } of [plain, anonymous]) expect(peers.watch(connection)).toBeUndefined();
  peers.watch(gone.connection)?.();
  peers.set(new Set(['1', '']));
  expect([a, b, plain, anonymous, gone].map(({ destroyed }) => destroyed.length)).toEqual([1, 0, 0, 0, 0]);
  expect(() => peers.check('1')).toThrow('TLS: peer certificate is revoked');
  expect(() => peers.check('2')).not.toThrow();
  peers.set(new Set(['2']));
  expect(() => peers.check('1')).not.toThrow();
});
