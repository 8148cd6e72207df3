/** Renewal of an expired certificate, by its key. */
import { Hono } from 'hono';
import { ChainError } from '../../shared/identity/chain-path.ts';
import { PemError } from '../../shared/identity/pem.ts';
import { parseWorkloadId } from '../../shared/identity/spiffe.ts';
import { RejoinRequest } from '../../shared/join/rejoin.ts';
import { AccountError, type Accounts } from '../ca/accounts.ts';
import { type Authority, CsrError, TtlError } from '../ca/authority.ts';
import { JoinError, type Joins } from '../ca/joins.ts';
import { judgeRejoin, Nonces, RejoinError, RejoinLimit } from '../ca/life/rejoin.ts';
import { type ControlEvents, eventsTo } from '../telemetry/events.ts';
import type { ApiEnv } from './caller.ts';
import { ApiError, badRequest, forbidden, respondToError } from './resources/status.ts';
import { verifyClientChain } from './server/client-chain.ts';
import { networkOf } from './server/connection-limits.ts';
import { readJson } from './server/read-json.ts';

/** Chains of six certificates, and a CSR. */
const REQUEST = { bytes: 48 * 1024, timeoutMs: 10_000, depth: 2, values: 16 };

export interface RejoinRoutesOptions {
  readonly authority: Authority;
  readonly joins: Joins;
  readonly accounts: Accounts;
  /** Milliseconds after its end in which a certificate may rejoin; 0: never. */
  readonly graceMs: number;
  /** Authenticates nonces. Default: a key of this process. */
  readonly nonceKey?: Uint8Array;
  readonly events?: ControlEvents;
  /** Milliseconds since the epoch. */
  readonly now?: () => number;
  readonly report?: (error: unknown) => void;
}

/**
 * - `POST /v1/rejoin/challenge` {} -> {nonce}
 * - `POST /v1/rejoin` {certificateChain, csr, nonce, signature, ttlSeconds?} -> as `POST /v1/certificates`
 *
 * The certificate opens nothing else. A superseded one revokes its join, as at renewal.
 */
export function rejoinRoutes(options: RejoinRoutesOptions): Hono<ApiEnv> {
  const { authority, joins, accounts, graceMs, events = eventsTo(), now = Date.now } = options;
  const nonces = new Nonces(now, options.nonceKey);
  const limit = new RejoinLimit(now);
  const judge = {
    graceMs,
    nonces,
    now,
    verifyChain: (chain: readonly Uint8Array[], at: number) => verifyClientChain(chain, authority, at),
  };
  const app = new Hono<ApiEnv>();
  app.onError((error, c) => {
    const refused = refusal(error);
    if (refused instanceof ApiError) events.refused({ cause: 'authentication', reason: error.message });
    return respondToError(options.report ?? (() => {}))(refused, c);
  });

  app.post('/v1/rejoin/challenge', (c) => {
    limit.take(networkOf(c.env?.remoteAddress ?? ''));
    c.header('Cache-Control', 'no-store');
    return c.json({ nonce: nonces.create() });
  });

  app.post('/v1/rejoin', async (c) => {
    limit.take(networkOf(c.env?.remoteAddress ?? ''));
    const parsed = RejoinRequest.safeParse(await readJson(c, REQUEST));
    if (!parsed.success) {
      const [issue] = parsed.error.issues;
      throw badRequest(`not a request to rejoin: ${issue?.path.join('.') || 'body'}: ${issue?.message ?? 'invalid'}`);
    }
    events.requested();
    const { csr, ttlSeconds: ttl } = parsed.data;
    const { spiffeId, serial } = await judgeRejoin(parsed.data, judge);
    const checked = await authority.check(csr, spiffeId, ttl);
    await accounts.check(parseWorkloadId(spiffeId));
    const join = await joins.forRenewal(serial);
    if (!join)
      throw new RejoinError(
        'refused',
        'the certificate is of no join that is known here: join again with a new invitation',
      );
    if (join.ephemeral)
      throw new RejoinError('refused', `join ${join.id} was ephemeral and has ended: join again with a new invitation`);
    const issued = await authority.sign(checked, await joins.nextSerial(join.id));
    await joins.renewed(join.id, issued);
    const { certificateChain, notAfter } = issued;
    events.issued({ identity: spiffeId, proof: 'expired certificate', document: 'X.509-SVID', expires: notAfter });
    c.header('Cache-Control', 'no-store');
    return c.json({ certificateChain, trustBundle: authority.trustBundle, notAfter: new Date(notAfter).toISOString() });
  });
  return app;
}

function refusal(error: Error): Error {
  if (error instanceof CsrError || error instanceof TtlError || error instanceof PemError)
    return badRequest(error.message);
  if (error instanceof RejoinError && error.code === 'limited')
    return new ApiError(429, 'TooManyRequests', error.message);
  if (error instanceof RejoinError || error instanceof ChainError || error instanceof JoinError)
    return forbidden(error.message);
  return error instanceof AccountError ? forbidden(error.message) : error;
}
