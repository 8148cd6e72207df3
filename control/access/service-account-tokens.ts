/**
 * Tokens of ServiceAccounts, as kube-apiserver issues them
 * (https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/#bound-service-account-tokens): JWTs for
 * some audiences that expire, and end with their ServiceAccount. They are signed with a key of their own: no JWT-SVID can
 * pass for one, nor one for a JWT-SVID.
 */
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import {
  calculateJwkThumbprint,
  decodeJwt,
  errors,
  exportJWK,
  exportPKCS8,
  generateKeyPair,
  importPKCS8,
  type JWK,
  jwtVerify,
  SignJWT,
} from 'jose';
import * as z from 'zod';
import { type KeyPlace, keyFile } from '../ca/signing-key.ts';
import type { ResourceStore } from '../store/store.ts';
import { type ServiceAccountName, serviceAccountGroups, serviceAccountUserName, type User } from './user.ts';

const ALGORITHM = 'ES256';
/** In the data folder. */
export const ACCOUNT_KEY_FILE = 'service-account-key.pem';
const CLAIM = 'kubernetes.io';
const CLOCK_SKEW_SECONDS = 10;
/** How long tokens of an object that is being deleted are valid, as in Kubernetes. */
const DELETED_MS = 60_000;

/** Seconds; as in Kubernetes. Longer ones are cut to the maximum, as its API servers do. */
export const TOKEN_SECONDS = { default: 3600, min: 600, max: 48 * 3600 } as const;

/** An object of the namespace that a token ends with. */
export interface BoundObject {
  readonly kind: 'Secret';
  readonly name: string;
  readonly uid: string;
}

const Claims = z.looseObject({
  jti: z.string(),
  aud: z.union([z.string(), z.array(z.string())]),
  [CLAIM]: z.object({
    namespace: z.string(),
    serviceaccount: z.object({ name: z.string(), uid: z.string() }),
    secret: z.object({ name: z.string(), uid: z.string() }).optional(),
  }),
});

export interface ServiceAccountTokensOptions {
  /** Where the signing key is kept, 0600. */
  readonly folder: string;
  /** Where it is kept instead. */
  readonly key?: KeyPlace;
  readonly issuer: string;
  readonly store: Pick<ResourceStore, 'get'>;
  /** Throws where the account was taken back. */
  readonly checkAccount: (account: { namespace: string; serviceAccount: string }) => Promise<void>;
  /** Milliseconds since the epoch. */
  readonly now?: () => number;
}

export interface ServiceAccountTokens {
  /** Verifies tokens, besides those of JWT-SVIDs. */
  readonly jwk: JWK;
  /** The audience of tokens for this API. */
  readonly audience: string;
  /** @param seconds until it expires @returns the token, and when it expires in ms */
  issue(
    account: ServiceAccountName & { readonly uid: string },
    audiences: readonly string[],
    seconds: number,
    bound?: BoundObject,
  ): Promise<{ token: string; expires: number }>;
  /** The account that a valid token is of, for any audience; undefined: it is no token of an account, or not valid any more. */
  read(token: string): Promise<{ user: User; audiences: readonly string[] } | undefined>;
}

/** Opens the signing key, or makes one. @throws Error when the key file is broken, naming it */
export async function openServiceAccountTokens(options: ServiceAccountTokensOptions): Promise<ServiceAccountTokens> {
  const { issuer, store, checkAccount, now = Date.now } = options;
  const { privateKey, publicKey, jwk } = await openKey(options.key ?? keyFile(join(options.folder, ACCOUNT_KEY_FILE)));
  const kid = jwk.kid!;

  async function verified(token: string) {
    // Before a signature is verified: other tokens are the business of others.
    if (unverifiedIssuer(token) !== issuer) return undefined;
    try {
      const { payload } = await jwtVerify(token, publicKey, {
        issuer,
        algorithms: [ALGORITHM],
        requiredClaims: ['exp', 'sub'],
        clockTolerance: CLOCK_SKEW_SECONDS,
        currentDate: new Date(now()),
      });
      const claims = Claims.safeParse(payload).data;
      const account = claims && { namespace: claims[CLAIM].namespace, name: claims[CLAIM].serviceaccount.name };
      return account && payload.sub === serviceAccountUserName(account) ? { claims, account } : undefined;
    } catch (error) {
      if (error instanceof errors.JOSEError) return undefined;
      throw error;
    }
  }

  async function exists(plural: string, namespace: string, { name, uid }: { name: string; uid: string }) {
    const metadata = (await store.get({ group: '', plural, namespace, name }))?.metadata;
    if (metadata?.uid !== uid) return false;
    // A finalizer may hold it for as long as it likes.
    const { deletionTimestamp } = metadata;
    return !deletionTimestamp || now() < Date.parse(deletionTimestamp) + DELETED_MS;
  }

  return {
    jwk,
    audience: issuer,
    async issue({ namespace, name, uid }, audiences, seconds, bound) {
      const issuedAt = Math.floor(now() / 1000);
      const secret = bound && { name: bound.name, uid: bound.uid };
      const claim = { namespace, serviceaccount: { name, uid }, ...(secret && { secret }) };
      const token = await new SignJWT({ aud: [...audiences], [CLAIM]: claim })
        .setProtectedHeader({ alg: ALGORITHM, kid })
        .setIssuer(issuer)
        .setSubject(serviceAccountUserName({ namespace, name }))
        .setIssuedAt(issuedAt)
        .setNotBefore(issuedAt)
        .setExpirationTime(issuedAt + seconds)
        .setJti(randomUUID())
        .sign(privateKey);
      return { token, expires: (issuedAt + seconds) * 1000 };
    },
    async read(token) {
      const found = await verified(token);
      if (!found) return undefined;
      const { claims, account } = found;
      const { serviceaccount, secret } = claims[CLAIM];
      if (!(await exists('serviceaccounts', account.namespace, serviceaccount))) return undefined;
      if (secret && !(await exists('secrets', account.namespace, secret))) return undefined;
      if (!(await isAllowed(checkAccount, account))) return undefined;
      return {
        user: {
          name: serviceAccountUserName(account),
          uid: serviceaccount.uid,
          groups: serviceAccountGroups(account.namespace),
          extra: { 'authentication.kubernetes.io/credential-id': [`JTI=${claims.jti}`] },
        },
        audiences: [claims.aud].flat(),
      };
    },
  };
}

async function isAllowed(
  check: ServiceAccountTokensOptions['checkAccount'],
  { namespace, name }: ServiceAccountName,
): Promise<boolean> {
  try {
    await check({ namespace, serviceAccount: name });
    return true;
  } catch (error) {
    if ((error as Error).name === 'AccountError') return false;
    throw error;
  }
}

export function unverifiedIssuer(token: string): string | undefined {
  try {
    return decodeJwt(token).iss;
  } catch {
    return undefined;
  }
}

async function openKey(place: KeyPlace) {
  const pem = (await place.read()) ?? (await place.create(await makeKey()));
  try {
    const privateKey = await importPKCS8(pem, ALGORITHM, { extractable: true });
    const { d: _private, ...jwk } = await exportJWK(privateKey);
    const kid = await calculateJwkThumbprint(jwk);
    return {
      privateKey,
      publicKey: { ...jwk, alg: ALGORITHM } as JWK,
      jwk: { ...jwk, kid, alg: ALGORITHM, use: 'sig' } as JWK,
    };
  } catch (error) {
    throw new Error(`${place.name}: is not a private key for ${ALGORITHM} in PKCS #8 PEM`, { cause: error });
  }
}

async function makeKey(): Promise<string> {
  return exportPKCS8((await generateKeyPair(ALGORITHM, { extractable: true })).privateKey);
}
