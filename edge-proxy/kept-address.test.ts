import { expect, it } from 'vitest';
import { KeptAddress } from './kept-address.ts';
import { OwnAddress } from './own-address.ts';

function disk() {
  const held = new Map<string, Uint8Array>();
  return {
    held,
    read: async (path: string) => held.get(path),
    writeAtomic: async (path: string, bytes: Uint8Array) => void held.set(path, bytes),
  };
}
const fail = (line: string) => {
  throw new Error(line);
};

it('a second run begins with the address of the first', async () => {
  const files = disk();
  const addresses = ['172.17.0.1', '10.0.0.5'];
  const first = new OwnAddress(() => addresses);
  const kept = new KeptAddress(files, '/data', fail);
  await kept.restore(first);
  await kept.keep(first);
  expect(files.held.size).toBe(0);
  first.observed('10.0.0.5');
  await kept.keep(first);
  const second = new OwnAddress(() => addresses);
  await new KeptAddress(files, '/data', fail).restore(second);
  expect([second.current, second.isHeld]).toEqual(['10.0.0.5', true]);
});

it('a damaged file is none, and one that cannot be written is logged', async () => {
  const files = { ...disk(), writeAtomic: () => Promise.reject(new Error('disk full')) };
  files.held.set('/data/own-address', new TextEncoder().encode('10.0.0.5; x'));
  const address = new OwnAddress(() => ['10.0.0.6']);
  const lines: string[] = [];
  const kept = new KeptAddress(files, '/data', (line) => lines.push(line));
  await kept.restore(address);
  expect(address.current).toBe('10.0.0.6');
  address.observed('10.0.0.6');
  await kept.keep(address);
  expect(lines).toEqual(['/data/own-address cannot be written: disk full']);
});
