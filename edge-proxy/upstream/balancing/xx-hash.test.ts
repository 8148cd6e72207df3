import { expect, it } from 'vitest';
import { combine, hex, modulo, xxHash64 } from './xx-hash.ts';

it.each([
  // xxhsum 0.8's answers.
  ['', 0, 'ef46db3751d8e999'],
  ['a', 0, 'd24ec4f1a98c6e5b'],
  ['abc', 0, '44bc2cf5ad770999'],
  ['foo', 0, '33bf00a859c4ba3f'],
])('hashes %j', (text, seed, expected) => {
  expect(hex(xxHash64(text, seed))).toBe(expected);
});

/** The specification in BigInt, slow and plain. */
function reference(text: string, seed: bigint): string {
  const mask = (1n << 64n) - 1n;
  const p1 = 0x9e3779b185ebca87n;
  const p2 = 0xc2b2ae3d27d4eb4fn;
  const p3 = 0x165667b19e3779f9n;
  const p4 = 0x85ebca77c2b2ae63n;
  const p5 = 0x27d4eb2f165667c5n;
  const bytes = Buffer.from(text, 'latin1');
  const rotate = (x: bigint, by: bigint) => ((x << by) | (x >> (64n - by))) & mask;
  const round = (acc: bigint, lane: bigint) => (rotate((acc + lane * p2) & mask, 31n) * p1) & mask;
  let at = 0;
  let hash = (seed + p5) & mask;
  if (bytes.length >= 32) {
    const acc = [seed + p1 + p2, seed + p2, seed, seed - p1].map((x) => x & mask);
    for (; at + 32 <= bytes.length; at += 32)
      for (let i = 0; i < 4; i++) acc[i] = round(acc[i]!, bytes.readBigUInt64LE(at + 8 * i));
    hash = (rotate(acc[0]!, 1n) + rotate(acc[1]!, 7n) + rotate(acc[2]!, 12n) + rotate(acc[3]!, 18n)) & mask;
    for (const one of acc) hash = ((hash ^ round(0n, one)) * p1 + p4) & mask;
  }
  hash = (hash + BigInt(bytes.length)) & mask;
  for (; at + 8 <= bytes.length; at += 8)
    hash = (rotate(hash ^ round(0n, bytes.readBigUInt64LE(at)), 27n) * p1 + p4) & mask;
  if (at + 4 <= bytes.length) {
    hash = (rotate(hash ^ ((BigInt(bytes.readUInt32LE(at)) * p1) & mask), 23n) * p2 + p3) & mask;
    at += 4;
  }
  for (; at < bytes.length; at++) hash = (rotate(hash ^ ((BigInt(bytes[at]!) * p5) & mask), 11n) * p1) & mask;
  hash = ((hash ^ (hash >> 33n)) * p2) & mask;
  hash = ((hash ^ (hash >> 29n)) * p3) & mask;
  return (hash ^ (hash >> 32n)).toString(16).padStart(16, '0');
}

it('agrees with the specification on inputs of every length', () => {
  let seed = 7;
  for (let i = 0; i < 1500; i++) {
    let text = '';
    for (let j = 0; j < i % 140; j++) text += String.fromCharCode((seed = (seed * 16807) % 2147483647) & 0xff);
    for (const start of [0, 1]) expect(hex(xxHash64(text, start))).toBe(reference(text, BigInt(start)));
  }
});

it('takes remainders and mixes hashes exactly', () => {
  const hash = { hi: 0xfedcba98, lo: 0x76543210 };
  const whole = 0xfedcba9876543210n;
  for (const divisor of [2, 100, 1021, 65537, 5_000_011])
    expect(modulo(hash, divisor)).toBe(Number(whole % BigInt(divisor)));
  const mixed = combine(hash, { hi: 1, lo: 2 });
  const rotated = ((whole << 1n) | (whole >> 63n)) & ((1n << 64n) - 1n);
  expect(hex(mixed)).toBe((rotated ^ 0x100000002n).toString(16).padStart(16, '0'));
});
