import { randomBytes } from 'node:crypto';
import { expect, it } from 'vitest';
import { keySealer } from './key-sealer.ts';
import { readKeys } from './read-keys.ts';
import { plainSealer } from './sealer.ts';

const key = (id: string) => ({ id, key: randomBytes(32) });
const [one, two] = [key('one'), key('two')];
const plain = Buffer.from('the password');

it('opens what it sealed, at the same place alone, and shows nothing of it', () => {
  const sealer = keySealer([one]);
  const sealed = sealer.seal('a', plain);
  expect(Buffer.from(sealed).toString('latin1')).toMatch(/^tulle:enc:v1:one:/);
  expect(Buffer.from(sealed).includes('password')).toBe(false);
  expect(sealer.seal('a', plain)).not.toEqual(sealed);
  expect(Buffer.from(sealer.open('a', sealed))).toEqual(plain);
  expect(() => sealer.open('b', sealed)).toThrow('b is encrypted with the key one, which does not open it');
  for (let at = 0; at < sealed.length; at++) {
    const changed = Buffer.from(sealed);
    changed[at]! ^= 1;
    let opened: Uint8Array | undefined;
    try {
      opened = sealer.open('a', changed);
    } catch (error) {
      expect((error as Error).message).toMatch(/^a is encrypted with the key/);
    }
    // A header that is none any more marks plain text, which is not the secret.
    expect(opened === undefined || opened === changed).toBe(true);
  }
  expect(() => sealer.open('a', sealed.subarray(0, 20))).toThrow('does not open it');
});

it('reads older keys, and knows what is to be written again', () => {
  const old = keySealer([one]).seal('a', plain);
  const rotated = keySealer([two, one]);
  expect(Buffer.from(rotated.open('a', old))).toEqual(plain);
  expect([rotated.isStale(old), rotated.isStale(plain), rotated.isStale(rotated.seal('a', plain))]).toEqual([
    true,
    true,
    false,
  ]);
  expect(rotated.open('a', plain)).toBe(plain);
  expect(() => keySealer([two]).open('a', old)).toThrow(
    'a is encrypted with the key one, which is not among the encryption keys (two)',
  );
  expect(() => keySealer([{ ...two, id: 'one' }]).open('a', old)).toThrow('the key is another one');
  expect(() => plainSealer.open('a', old)).toThrow(
    'a is encrypted with the key one: name it with --encryption-key-file',
  );
});

it('reads keys, and names the line that is none without showing it', () => {
  const text = randomBytes(32).toString('base64');
  expect(readKeys(`# the newest\nb:${text}\n\na:${text}\n`, 'f').map(({ id }) => id)).toEqual(['b', 'a']);
  for (const [bad, why] of [
    ['', 'f: holds no key'],
    [`a:${text}\na:${text}`, 'f: line 2: the id a is there twice'],
    [`a:${text.slice(4)}`, 'f: line 1 must be ID:KEY'],
    [`A:${text}`, 'f: line 1 must be ID:KEY'],
  ] as const) {
    expect(() => readKeys(bad, 'f')).toThrow(why);
    expect(() => readKeys(bad, 'f')).not.toThrow(text.slice(4));
  }
});
