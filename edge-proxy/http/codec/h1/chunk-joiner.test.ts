import { expect, it } from 'vitest';
import { Outlet } from '../../../runtime/writes/outlet.ts';
import { ChunkJoiner } from './chunk-joiner.ts';

/** Chunks of 64 bytes that hold `value`, as many as are joined at most. */
function joined(value: number): ChunkJoiner {
  const joiner = new ChunkJoiner();
  const read = new Uint8Array(64).fill(value);
  while (joiner.add(read, 0, read.length));
  return joiner;
}

it('what was joined stays as it was while a write of it waits', () => {
  const sent: Uint8Array[] = [];
  const writer = {
    copies: false,
    write: (bytes: Uint8Array) => {
      sent.push(bytes);
      return false;
    },
  };
  const owner = { onRoom() {}, onAllSent() {} };
  const outlet = new Outlet(() => writer, owner);
  const pass = (value: number) => joined(value).pass((bytes) => void outlet.writeBoth('4000\r\n', bytes));
  for (const value of [1, 2, 3]) pass(value);
  for (let i = 0; i < 6; i++) outlet.onWritten();
  const bodies = sent.filter(({ length }) => length === 16 * 1024);
  expect(bodies.map((bytes) => [...new Set(bytes)])).toEqual([[1], [2], [3]]);
});
