/** Signs JWT-SVIDs and publishes the keys to verify them with. */
import { join } from 'node:path';
import {
  calculateJwkThumbprint,
  decodeJwt,
  exportJWK,
  exportPKCS8,
  generateKeyPair,
  importPKCS8,
  type JSONWebKeySet,
  type JWK,
  SignJWT,
} from 'jose';
import {
  controlPlaneAudience,
  createJwtSvidVerifier,
  JwtSvidError,
  jwtSvidAlgorithm,
  type VerifiedJwtSvid,
} from '../../shared/identity/jwt-svid.ts';
import { parseWorkloadId } from '../../shared/identity/spiffe.ts';
import { makePrivateFolder } from './files.ts';
import { type KeyPlace, keyFile } from './signing-key.ts';

/** Seconds. Edge workers renew with tokens for the control plane, so these live longer. */
const jwtTtlSeconds = { default: 300, min: 10, max: 3600, controlPlane: 24 * 3600 } as const;
/** In the data folder. */
export const JWT_KEY_FILE = 'jwt-key.pem';
/** The claim that names the join of the certificate that a token was obtained with. */
const JOIN_CLAIM = 'tulle.dev/join';

export interface JwtSvidOptions {
  /** Where the signing key is kept (`jwt-key.pem`, 0600). */
  folder: string;
  /** Where it is kept instead. */
  key?: KeyPlace;
  trustDomain: string;
  /** The `iss` of tokens and of the discovery document: the URL at which workloads reach the control API. */
  issuer: string;
  /** Whether the join of this id may still have an identity: else its tokens authenticate no more. Default: every join. */
  isHeld?: (join: string) => boolean;
  /** Milliseconds since the epoch. */
  now?: () => number;
}

/** Who presents a token, and the join of the certificate that it was obtained with. */
export interface TokenHolderSvid extends VerifiedJwtSvid {
  readonly join: string | undefined;
}

/** The request is refused; the message gives the reason to the client. */
export class JwtRequestError extends Error {
  override name = 'JwtRequestError';
}

export interface JwtSvids {
  /**
   * Everything `issue` would refuse, without signing. @throws JwtRequestError
   */
  check(audience: readonly string[], ttl?: number): void;
  /**
   * @param ttl seconds
   * @param join id of the join that the token ends with
   * @returns the token and its expiry in ms
   * @throws JwtRequestError, SpiffeIdError
   */
  issue(
    spiffeId: string,
    audience: readonly string[],
    ttl?: number,
    join?: string,
  ): Promise<{ token: string; expires: number }>;
  /** The workload that presents this token to the control plane. @throws JwtSvidError */
  authenticate(token: string): Promise<TokenHolderSvid>;
  readonly jwks: JSONWebKeySet;
  /** OpenID Connect Discovery 1.0 section 3, the fields that token verifiers read. */
  readonly discovery: Readonly<Record<string, unknown>>;
}

/** Opens the signing key, or makes one. @throws Error when the key file is broken, naming it */
export async function openJwtSvids(options: JwtSvidOptions): Promise<JwtSvids> {
  const { trustDomain, issuer } = options;
  const now = options.now ?? Date.now;
  const key = await openKey(options.key ?? (await fileIn(options.folder)));
  const { d: _private, ...publicJwk } = await exportJWK(key);
  const kid = await calculateJwkThumbprint(publicJwk);
  const jwks: JSONWebKeySet = { keys: [{ ...publicJwk, kid, alg: jwtSvidAlgorithm, use: 'sig' } as JWK] };
  const verify = createJwtSvidVerifier(jwks);
  return {
    jwks,
    discovery: {
      issuer,
      jwks_uri: `${issuer.replace(/\/$/, '')}/keys`,
      response_types_supported: ['id_token'],
      subject_types_supported: ['public'],
      id_token_signing_alg_values_supported: [jwtSvidAlgorithm],
    },
    check: (audience, ttl) => void lifetime(audience, ttl),
    async issue(spiffeId, audience, ttl, join) {
      if (parseWorkloadId(spiffeId).trustDomain !== trustDomain) {
        throw new JwtRequestError(`this authority is of trust domain "${trustDomain}"`);
      }
      const issuedAt = Math.floor(now() / 1000);
      const expires = issuedAt + lifetime(audience, ttl);
      const token = await new SignJWT({ aud: [...audience], ...(join !== undefined && { [JOIN_CLAIM]: join }) })
        .setProtectedHeader({ alg: jwtSvidAlgorithm, kid, typ: 'JWT' })
        .setIssuer(issuer)
        .setSubject(spiffeId)
        .setIssuedAt(issuedAt)
        .setExpirationTime(expires)
        .sign(key);
      return { token, expires: expires * 1000 };
    },
    authenticate: async (token) => {
      const verified = await verify(token, controlPlaneAudience, { now: now(), trustDomain, issuer });
      if (verified.audience.length !== 1)
        throw new JwtSvidError('wrong-audience', 'token has an audience besides the control plane');
      // Its signature was verified: the claim is of this authority.
      const claim = decodeJwt(token)[JOIN_CLAIM];
      const join = typeof claim === 'string' ? claim : undefined;
      if (join !== undefined && options.isHeld?.(join) === false)
        throw new JwtSvidError('revoked', `token is of join ${join}, which was revoked or has ended`);
      return { ...verified, join };
    },
  };
}

/** Checks an audience and gives the life time in seconds. */
function lifetime(audience: readonly string[], ttl: number | undefined): number {
  if (audience.length === 0) throw new JwtRequestError('audience must name at least one recipient');
  const forControlPlane = audience.includes(controlPlaneAudience);
  if (forControlPlane && audience.length > 1) {
    throw new JwtRequestError(
      `audience "${controlPlaneAudience}" must be the only audience: another recipient could impersonate the workload`,
    );
  }
  const seconds = ttl ?? (forControlPlane ? jwtTtlSeconds.controlPlane : jwtTtlSeconds.default);
  const max = forControlPlane ? jwtTtlSeconds.controlPlane : jwtTtlSeconds.max;
  if (!Number.isInteger(seconds) || seconds < jwtTtlSeconds.min || seconds > max) {
    throw new JwtRequestError(`token life time must be ${jwtTtlSeconds.min} to ${max} seconds`);
  }
  return seconds;
}

async function fileIn(folder: string): Promise<KeyPlace> {
  await makePrivateFolder(folder);
  return keyFile(join(folder, JWT_KEY_FILE));
}

async function openKey(place: KeyPlace) {
  const text = (await place.read()) ?? (await place.create(await makeKey()));
  return importPKCS8(text, jwtSvidAlgorithm, { extractable: true }).catch(() => {
    throw new Error(
      `${place.name} is not an EC P-256 private key in PKCS#8 PEM: restore it, or remove it to make another`,
    );
  });
}

async function makeKey(): Promise<string> {
  return exportPKCS8((await generateKeyPair(jwtSvidAlgorithm, { extractable: true })).privateKey);
}
