import { expect, it } from 'vitest';
import { redacted } from './redact.ts';

const jwks = (...keys: object[]) => JSON.stringify({ keys });
const PUBLIC = { kty: 'EC', crv: 'P-256', x: 'x', y: 'y' };
const SECRET = { kty: 'oct', k: 'c2VjcmV0' };

it('shows no private keys, and no keys that sign tokens', () => {
  const dumped = redacted({
    secrets: [{ tlsCertificate: { certificateChain: { inlineString: 'CERT' }, privateKey: { inlineBytes: 'S0VZ' } } }],
    providers: {
      a: { issuer: 'a', localJwks: { inlineString: jwks(PUBLIC, SECRET) } },
      b: { issuer: 'b', localJwks: { inlineBytes: btoa(jwks(SECRET)) } },
      d: { issuer: 'd', localJwks: { inlineString: jwks({ ...SECRET, use: 'enc' }) } },
      c: { issuer: 'c', local_jwks: { inlineString: jwks(PUBLIC) } },
    },
    port: 80,
    nothing: null,
  });
  const hidden = { inlineString: '[redacted]' };
  expect(dumped).toEqual({
    secrets: [{ tlsCertificate: { certificateChain: { inlineString: 'CERT' }, privateKey: hidden } }],
    providers: {
      a: { issuer: 'a', localJwks: hidden },
      b: { issuer: 'b', localJwks: hidden },
      d: { issuer: 'd', localJwks: hidden },
      c: { issuer: 'c', local_jwks: { inlineString: jwks(PUBLIC) } },
    },
    port: 80,
    nothing: null,
  });
});
