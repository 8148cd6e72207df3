import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { parseKeySet } from './key-set.ts';
import { outputHeaderProblem } from './output-header.ts';

const rsa = (modulusLength: number, publicExponent = 65537) =>
  generateKeyPairSync('rsa', { modulusLength, publicExponent }).publicKey.export({ format: 'jwk' });
const ec = (namedCurve: string) => generateKeyPairSync('ec', { namedCurve }).publicKey.export({ format: 'jwk' });
const RSA = rsa(2048);
const P256 = ec('P-256');
const ED = generateKeyPairSync('ed25519').publicKey.export({ format: 'jwk' });
const algorithms = (...keys: unknown[]) => parseKeySet(JSON.stringify({ keys })).map((key) => key.algorithms);

describe('the algorithms of a key', () => {
  it.each<[string, object, string[]]>([
    ['RSA', RSA, ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512']],
    ['P-256', P256, ['ES256']],
    ['P-384', ec('P-384'), ['ES384']],
    ['P-521', ec('P-521'), ['ES512']],
    ['P-256 by its alg', { ...P256, crv: undefined, alg: 'ES256' }, ['ES256']],
    ['Ed25519', ED, ['EdDSA']],
    ['a secret', { kty: 'oct', k: 'AQAB' }, ['HS256', 'HS384', 'HS512']],
  ])('%s', (_, key, wanted) => expect(algorithms(key)).toEqual([wanted]));
});

it.each<[string, unknown]>([
  ['RSA of 1024 bits', rsa(1024)],
  ['RSA with an exponent of its own', { ...RSA, e: 'Aw4' }],
  ['RSA without modulus', { ...RSA, n: undefined }],
  ['RSA with padding', { ...RSA, n: `${RSA.n}==` }],
  ['RSA with an alg of EC', { ...RSA, alg: 'ES256' }],
  ['RSA with an alg of secrets', { ...RSA, alg: 'HS256' }],
  ['EC with the alg of another curve', { ...P256, alg: 'ES384' }],
  ['EC of an unknown curve', { ...P256, crv: 'secp256k1' }],
  ['EC whose curve is no text', { ...P256, crv: 5 }],
  ['a key for encryption', { ...P256, use: 'enc' }],
  ['a key for signing alone', { ...P256, key_ops: ['sign'] }],
  ['X25519', { ...ED, crv: 'X25519' }],
  ['an empty secret', { kty: 'oct', k: '' }],
  ['a kid that is no text', { ...P256, kid: 5 }],
  ['an unknown kind', { kty: 'AKP' }],
  ['no object', 'key'],
  ['null', null],
])('%s is left out, and the others stay', (_, key) => expect(algorithms(key, P256)).toEqual([['ES256']]));

it.each([
  '',
  'null',
  '[]',
  '{}',
  '{"keys":{}}',
  '{"keys":[]}',
  `{"keys":[],"keys":[${JSON.stringify(P256)}]}`,
  `${JSON.stringify({ keys: [P256] })} `.repeat(2),
  JSON.stringify({ keys: [P256], pad: 'x'.repeat(1024 * 1024) }),
])('%.40s has no keys', (text) => expect(parseKeySet(text)).toEqual([]));

it('takes no part of a private key', () => {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const [key] = parseKeySet(JSON.stringify({ keys: [privateKey.export({ format: 'jwk' })] }));
  expect(Object.keys(key!.jwk).sort()).toEqual(['crv', 'kty', 'x', 'y']);
});

it('headers that tokens may set', () => {
  for (const name of ['x-user', 'X_User', 'authorization']) expect(outputHeaderProblem(name)).toBeUndefined();
  for (const name of ['', 'a b', 'a\r\nb', ':path', 'é'])
    expect(outputHeaderProblem(name)).toBe('must be a header name');
  for (const name of ['Host', 'content-length', 'Transfer-Encoding', 'connection'])
    expect(outputHeaderProblem(name)).toContain('frames the message');
});
