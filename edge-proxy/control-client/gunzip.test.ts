import { gzipSync } from 'node:zlib';
import { expect, it } from 'vitest';
import { gunzip } from './gunzip.ts';

const text = 'a resource '.repeat(20_000);

it('decompresses', async () => {
  expect(new TextDecoder().decode(await gunzip(gzipSync(text), text.length))).toBe(text);
  expect(await gunzip(gzipSync(''), 0)).toEqual(new Uint8Array(0));
});

it('refuses what is larger than it may be, without holding it', async () => {
  await expect(gunzip(gzipSync(Buffer.alloc(50_000_000)), 1_000_000)).rejects.toThrow('larger than 1000000 bytes');
});

it('refuses what is damaged or cut short', async () => {
  const good = gzipSync(text);
  const damaged = new Uint8Array(good);
  damaged[good.length - 6]! ^= 1;
  await expect(gunzip(damaged, text.length)).rejects.toThrow('cannot be decompressed');
  await expect(gunzip(good.subarray(0, good.length - 9), text.length)).rejects.toThrow('cannot be decompressed');
  await expect(gunzip(new TextEncoder().encode('{"session":"s"}'), 100)).rejects.toThrow('cannot be decompressed');
});
