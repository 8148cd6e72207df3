/**
 * xxHash64 (github.com/Cyan4973/xxHash, doc/xxhash_spec.md) of a string of bytes. 64-bit numbers are kept in two halves:
 * BigInt would allocate at every step of what may run once per request.
 */

/** An unsigned 64-bit number in two unsigned halves. */
export interface Hash64 {
  readonly hi: number;
  readonly lo: number;
}

/** The accumulator of the operations below. */
let hi = 0;
let lo = 0;

/** @param text each character a byte, as header values are */
export function xxHash64(text: string, seed = 0): Hash64 {
  const { length } = text;
  let at = 0;
  if (length >= 32) at = longInput(text, seed);
  else set(0x27d4eb2f, 0x165667c5 + seed);
  add(0, length);
  for (; at + 8 <= length; at += 8) {
    const h = hi;
    const l = lo;
    round(0, 0, text, at);
    xor(h, l);
    rotate(27);
    multiply(0x9e3779b1, 0x85ebca87);
    add(0x85ebca77, 0xc2b2ae63);
  }
  if (at + 4 <= length) {
    const h = hi;
    const l = lo;
    set(0, lane(text, at));
    multiply(0x9e3779b1, 0x85ebca87);
    xor(h, l);
    rotate(23);
    multiply(0xc2b2ae3d, 0x27d4eb4f);
    add(0x165667b1, 0x9e3779f9);
    at += 4;
  }
  for (; at < length; at++) {
    const h = hi;
    const l = lo;
    set(0, text.charCodeAt(at) & 0xff);
    multiply(0x27d4eb2f, 0x165667c5);
    xor(h, l);
    rotate(11);
    multiply(0x9e3779b1, 0x85ebca87);
  }
  xor(0, hi >>> 1);
  multiply(0xc2b2ae3d, 0x27d4eb4f);
  xor(hi >>> 29, ((hi << 3) | (lo >>> 29)) >>> 0);
  multiply(0x165667b1, 0x9e3779f9);
  xor(0, hi);
  return { hi, lo };
}

/** The stripes of 32 bytes. @returns where they end */
function longInput(text: string, seed: number): number {
  const high = [0x60ea27ee, 0xc2b2ae3d, 0, 0x61c8864e];
  const low = [0xadc0b5d6, 0x27d4eb4f, 0, 0x7a143579];
  for (let i = 0; i < 4; i++) {
    set(high[i]!, low[i]!);
    add(0, seed);
    high[i] = hi;
    low[i] = lo;
  }
  let at = 0;
  for (; at + 32 <= text.length; at += 32) {
    for (let i = 0; i < 4; i++) {
      round(high[i]!, low[i]!, text, at + 8 * i);
      high[i] = hi;
      low[i] = lo;
    }
  }
  let sumHigh = 0;
  let sumLow = 0;
  for (const [i, bits] of [1, 7, 12, 18].entries()) {
    set(high[i]!, low[i]!);
    rotate(bits);
    add(sumHigh, sumLow);
    sumHigh = hi;
    sumLow = lo;
  }
  for (let i = 0; i < 4; i++) {
    set(0, 0);
    mergeRound(high[i]!, low[i]!, sumHigh, sumLow);
    sumHigh = hi;
    sumLow = lo;
  }
  return at;
}

function mergeRound(valueHigh: number, valueLow: number, sumHigh: number, sumLow: number): void {
  set(valueHigh, valueLow);
  multiply(0xc2b2ae3d, 0x27d4eb4f);
  rotate(31);
  multiply(0x9e3779b1, 0x85ebca87);
  xor(sumHigh, sumLow);
  multiply(0x9e3779b1, 0x85ebca87);
  add(0x85ebca77, 0xc2b2ae63);
}

/** One round on the accumulator given and the eight bytes at `at`. */
function round(accHigh: number, accLow: number, text: string, at: number): void {
  set(lane(text, at + 4), lane(text, at));
  multiply(0xc2b2ae3d, 0x27d4eb4f);
  add(accHigh, accLow);
  rotate(31);
  multiply(0x9e3779b1, 0x85ebca87);
}

/** Four bytes, the lowest first. */
function lane(text: string, at: number): number {
  return (
    ((text.charCodeAt(at) & 0xff) |
      ((text.charCodeAt(at + 1) & 0xff) << 8) |
      ((text.charCodeAt(at + 2) & 0xff) << 16) |
      (text.charCodeAt(at + 3) << 24)) >>>
    0
  );
}

function set(high: number, low: number): void {
  hi = high;
  lo = low;
}

function add(high: number, low: number): void {
  const sum = lo + low;
  hi = (hi + high + (sum > 0xffffffff ? 1 : 0)) >>> 0;
  lo = sum >>> 0;
}

function xor(high: number, low: number): void {
  hi = (hi ^ high) >>> 0;
  lo = (lo ^ low) >>> 0;
}

/** To the left by 1 to 31 bits. */
function rotate(bits: number): void {
  const high = hi;
  hi = ((high << bits) | (lo >>> (32 - bits))) >>> 0;
  lo = ((lo << bits) | (high >>> (32 - bits))) >>> 0;
}

function multiply(high: number, low: number): void {
  const a0 = lo & 0xffff;
  const a1 = lo >>> 16;
  const b0 = low & 0xffff;
  const b1 = low >>> 16;
  const bottom = a0 * b0;
  const middle = a0 * b1 + a1 * b0 + Math.floor(bottom / 0x10000);
  hi = (a1 * b1 + Math.floor(middle / 0x10000) + Math.imul(hi, low) + Math.imul(lo, high)) >>> 0;
  lo = (((middle & 0xffff) << 16) | (bottom & 0xffff)) >>> 0;
}

/** Rotates `hash` to the left by one and mixes `next` in: how several hash policies make one hash. */
export function combine(hash: Hash64 | undefined, next: Hash64): Hash64 {
  if (hash === undefined) return next;
  return {
    hi: (((hash.hi << 1) | (hash.lo >>> 31)) ^ next.hi) >>> 0,
    lo: (((hash.lo << 1) | (hash.hi >>> 31)) ^ next.lo) >>> 0,
  };
}

/** @param divisor below 2^26, so that nothing leaves the exact numbers */
export function modulo(hash: Hash64, divisor: number): number {
  return ((hash.hi % divisor) * (0x100000000 % divisor) + hash.lo) % divisor;
}

/** Sixteen digits less the leading zeros, as Envoy's Hex::uint64ToHex writes all sixteen. */
export function hex(hash: Hash64): string {
  return hash.hi.toString(16).padStart(8, '0') + hash.lo.toString(16).padStart(8, '0');
}

export function randomHash(random: () => number): Hash64 {
  return { hi: Math.floor(random() * 0x100000000), lo: Math.floor(random() * 0x100000000) };
}
