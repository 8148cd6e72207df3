/** Who is calling: a user by bearer token or client certificate, a workload by the certificate the TLS server verified, or anonymous. */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import type { Context, MiddlewareHandler } from 'hono';
import { JwtSvidError } from '../../shared/identity/jwt-svid.ts';
import { parseWorkloadId } from '../../shared/identity/spiffe.ts';
import { type Authorizer, authorizer } from '../access/authorizer.ts';
import {
  type HeaderLines,
  ImpersonationError,
  impersonatedUser,
  impersonationLines,
  impersonationRequests,
} from '../access/impersonation.ts';
import { ADMIN, authenticated, type User } from '../access/user.ts';
import { readIfPresent, writeDurably } from '../ca/files.ts';
import type { SharedState } from '../store/state/state.ts';
import { requireAccess } from './access/permission.ts';
import type { ApiEnv, Caller } from './caller.ts';
import { badRequest, unauthorized } from './resources/status.ts';

/** Stores the hash of the admin token, never the token. */
export interface TokenStore {
  /** SHA-256 of the token in hexadecimal; undefined before the first start. */
  readHash(): Promise<string | undefined>;
  /** @returns false: another control plane has written one since it was read */
  writeHash(hash: string): Promise<boolean>;
}

/** Answers whether a bearer token is the admin's. */
export type AdminCheck = (token: string) => boolean;

/** A token store in one file of mode 0600. @throws when the file exists and does not hold a hash */
export function fileTokenStore(path: string): TokenStore {
  return {
    async readHash() {
      const text = (await readIfPresent(path))?.trim();
      if (text === undefined) return undefined;
      if (!/^[0-9a-f]{64}$/.test(text))
        throw new Error(`${path}: does not hold a SHA-256 hash; delete it to make a new admin token at the next start`);
      return text;
    },
    // Whole or not at all: a half-written file would lock the admin out.
    async writeHash(hash) {
      await writeDurably(path, `${hash}\n`);
      return true;
    },
  };
}

/** That of control planes that share a store. */
export function sharedTokenStore(state: SharedState): TokenStore {
  return {
    readHash: async () => (await state.fetch(ADMIN_HASH))?.text,
    writeHash: async (hash) => (await state.commit([{ key: ADMIN_HASH, text: hash, expected: 0 }])) !== undefined,
  };
}

const ADMIN_HASH = 'hashes/admin-token';

/**
 * The admin token of this control plane. The first start makes one of 256 random bits and returns it as `created`: show it
 * once, it cannot be read again.
 */
export async function adminToken(store: TokenStore): Promise<{ check: AdminCheck; created?: string }> {
  const known = await store.readHash();
  if (known) return { check: checkAgainst(known) };
  const created = `tulle_${randomBytes(32).toString('base64url')}`;
  const hash = sha256(created).toString('hex');
  if (!(await store.writeHash(hash))) return adminToken(store);
  return { check: checkAgainst(hash), created };
}

/** @param hash SHA-256 of the token, hexadecimal */
export function checkAgainst(hash: string): AdminCheck {
  const wanted = Buffer.from(hash, 'hex');
  return (token) => timingSafeEqual(sha256(token), wanted);
}

export const sha256 = (text: string) => createHash('sha256').update(text).digest();

/** The user that presents a bearer token; undefined: it is no user's, or not valid any more. */
export type UserTokenCheck = (token: string) => Promise<User | undefined>;

export interface Authentication {
  readonly isAdmin: AdminCheck;
  /** Of tokens other than the admin's. Default: there are none. */
  readonly userOf?: UserTokenCheck;
  /** Default: only the group `system:masters` may do anything. */
  readonly authorizer?: Authorizer;
}

/**
 * Sets `caller` and `authorizer` for every request. An unknown bearer token leaves the caller anonymous (join tokens are not
 * accepted here). Impersonation is obeyed for those who may, else refused. @throws ApiError 400, 403
 */
export function authenticate(given: Authentication): MiddlewareHandler<ApiEnv> {
  const decide = given.authorizer ?? authorizer();
  return async function authenticate(c, next) {
    const caller = await callerOf(given, c.req.header('authorization'), c.env ?? {});
    if (caller.kind === 'user') accepted(c, caller.name);
    c.set('authorizer', decide);
    c.set('caller', caller);
    const lines = impersonationLines(c.env?.headerLines?.() ?? c.req.raw.headers);
    if (lines.length > 0) c.set('caller', impersonated(c, caller, lines));
    await next();
  };
}

/** Whom the caller acts as. @throws ApiError 403; 400 for headers that Kubernetes does not have */
function impersonated(c: Context<ApiEnv>, caller: Caller, lines: HeaderLines): Caller {
  const requests = requestsOf(lines);
  for (const attributes of requests) requireAccess(c, attributes, caller);
  c.set('impersonation', c.get('decisions') ?? []);
  c.set('decisions', []);
  if (caller.kind !== 'user') throw unauthorized();
  const { kind: _, impersonator: _none, ...impersonator } = caller;
  return { kind: 'user', ...impersonatedUser(requests), impersonator };
}

function requestsOf(lines: HeaderLines) {
  try {
    return impersonationRequests(lines);
  } catch (error) {
    throw error instanceof ImpersonationError ? badRequest(error.message) : error;
  }
}

/** The workload that presents a JWT-SVID for the control plane's audience. @throws JwtSvidError */
export type WorkloadTokenCheck = (token: string) => Promise<{ spiffeId: string }>;

/**
 * Behind `authenticate`, on paths that also take workloads without a client certificate: edge workers present a JWT-SVID
 * as bearer token. Not for every path: a bearer token must not suffice to obtain an X.509-SVID.
 */
export function acceptWorkloadTokens(verify: WorkloadTokenCheck): MiddlewareHandler<ApiEnv> {
  return async function acceptWorkloadTokens(c, next) {
    const token = c.get('caller').kind === 'anonymous' ? bearer(c.req.header('authorization')) : undefined;
    if (token !== undefined) {
      const caller = await tokenCaller(verify, token);
      if (caller?.kind === 'workload') {
        accepted(c, caller.spiffeId);
        c.set('caller', caller);
      }
    }
    await next();
  };
}

async function tokenCaller(verify: WorkloadTokenCheck, token: string): Promise<Caller | undefined> {
  try {
    const caller = workload((await verify(token)).spiffeId);
    return caller && { ...caller, byToken: true };
  } catch (error) {
    if (error instanceof JwtSvidError) return undefined;
    throw error;
  }
}

/** The caller proved an identity, by a token or a certificate of a user: its connection counts as that identity's. */
export function accepted(c: Context<ApiEnv>, identity: string): void {
  c.set('tokenAccepted', true);
  c.env?.authenticated?.(identity);
}

/** The bearer token of a header (RFC 6750 section 2.1), ID tokens with many groups included; undefined: none. */
export function bearer(authorization: string | undefined): string | undefined {
  return /^Bearer +([!-~]{1,12288})$/i.exec(authorization ?? '')?.[1];
}

async function callerOf(
  { isAdmin, userOf }: Authentication,
  authorization: string | undefined,
  { peerSpiffeId, peerCertificate, peerUser }: Partial<ApiEnv['Bindings']>,
): Promise<Caller> {
  // As in kube-apiserver: a certificate counts before a token.
  if (peerUser) return { kind: 'user', ...authenticated(peerUser) };
  const token = bearer(authorization);
  if (token !== undefined && isAdmin(token)) return { kind: 'user', ...ADMIN };
  const user = token === undefined ? undefined : await userOf?.(token);
  if (user) return { kind: 'user', ...authenticated(user) };
  const peer = peerSpiffeId === undefined ? undefined : workload(peerSpiffeId);
  if (!peer) return { kind: 'anonymous' };
  return peerCertificate ? { ...peer, certificate: peerCertificate } : peer;
}

/** undefined for an id that is not a workload's: such a peer is anonymous. */
function workload(spiffeId: string): (Caller & { kind: 'workload' }) | undefined {
  try {
    return { kind: 'workload', spiffeId, ...parseWorkloadId(spiffeId) };
  } catch {
    return undefined;
  }
}
