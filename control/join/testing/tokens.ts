/** Tokens of issuers of tests. */
import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { type Key, parseKeySet } from '../../../shared/jwt/key-set.ts';

export interface TestIssuer {
  readonly issuer: string;
  /** JSON Web Key Set. */
  readonly jwks: string;
  readonly keys: readonly Key[];
  readonly privateKey: KeyObject;
  /** A compact JWS, ES256, with `iss`. */
  token(claims: object, header?: object): string;
}

export function testIssuer(issuer: string, kid = 'one'): TestIssuer {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const jwks = JSON.stringify({ keys: [{ ...publicKey.export({ format: 'jwk' }), kid, alg: 'ES256', use: 'sig' }] });
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  return {
    issuer,
    jwks,
    keys: parseKeySet(jwks),
    privateKey,
    token: (claims, header = {}) => {
      const signed = `${part({ alg: 'ES256', typ: 'JWT', kid, ...header })}.${part({ iss: issuer, ...claims })}`;
      const signature = sign('sha256', Buffer.from(signed), { key: privateKey, dsaEncoding: 'ieee-p1363' });
      return `${signed}.${signature.toString('base64url')}`;
    },
  };
}

/** What a token of a Kubernetes service account says (bound tokens, KEP-1205), besides `iss`. @param now milliseconds */
export function serviceAccountClaims(namespace: string, name: string, audience: string, now: number): object {
  const seconds = Math.floor(now / 1000);
  return {
    aud: [audience],
    exp: seconds + 3600,
    iat: seconds,
    nbf: seconds,
    jti: 'c4b2e7e0-8a3c-4a0f-9d8e-1f2a3b4c5d6e',
    'kubernetes.io': {
      namespace,
      node: { name: 'worker-1', uid: '9a7b' },
      pod: { name: 'shop-7d9c', uid: '1b2c' },
      serviceaccount: { name, uid: '3d4e' },
    },
    sub: `system:serviceaccount:${namespace}:${name}`,
  };
}

/** What a token of GitHub Actions says, besides `iss`. @param now milliseconds */
export function workflowClaims(repository: string, audience: string, now: number): object {
  const seconds = Math.floor(now / 1000);
  return {
    aud: audience,
    exp: seconds + 300,
    iat: seconds,
    nbf: seconds - 300,
    jti: '4a8e3b1c-0000-4000-8000-000000000001',
    sub: `repo:${repository}:ref:refs/heads/main`,
    repository,
    ref: 'refs/heads/main',
    environment: 'production',
    run_attempt: '1',
  };
}
