/** Identity over HTTP: join tokens, X.509-SVIDs, JWT-SVIDs, and the public keys to verify them with. */
import { type Context, Hono } from 'hono';
import type { JSONWebKeySet } from 'jose';
import * as z from 'zod';
import { JwtSvidError } from '../../shared/identity/jwt-svid.ts';
import { formatWorkloadId, parseWorkloadId } from '../../shared/identity/spiffe.ts';
import { AccountError, type Accounts } from '../ca/accounts.ts';
import {
  type Authority,
  type CheckedRequest,
  CsrError,
  type IssuedCertificate,
  TtlError,
  ttlSeconds,
} from '../ca/authority.ts';
import {
  type JoinClaim,
  JoinTokenError,
  type JoinTokens,
  joinTokenTtlSeconds,
  type TokenHolder,
  TokenLimitError,
  type TokenSummary,
} from '../ca/join-tokens.ts';
import { JoinError, type Joins, joinByToken, type NewJoin } from '../ca/joins.ts';
import { JwtRequestError, type JwtSvids } from '../ca/jwt-svids.ts';
import { type ControlEvents, eventsTo } from '../telemetry/events.ts';
import { permission, requirePermission, requireUser } from './access/permission.ts';
import { accepted, bearer } from './auth.ts';
import type { ApiEnv } from './caller.ts';
import { DnsLabel, DnsSubdomain, readRequest, rfc3339, secretAnswer } from './identity-body.ts';
import { ApiError, badRequest, forbidden, respondToError } from './resources/status.ts';

/** Far above any CSR, and small: with a join token in the body, its caller is anonymous until it is read. */
const REQUEST = { bytes: 16 * 1024, timeoutMs: 10_000, depth: 4, values: 64 };

const JoinTokenRequest = z.strictObject({
  namespace: DnsLabel,
  serviceAccount: DnsSubdomain,
  ttlSeconds: z.int().min(joinTokenTtlSeconds.min).max(joinTokenTtlSeconds.max).optional(),
});
const RevocationRequest = z.strictObject({ namespace: DnsLabel, serviceAccount: DnsSubdomain });
const CertificateRequest = z.strictObject({
  csr: z.string(),
  token: z.string().max(256).optional(),
  ttlSeconds: z.int().min(ttlSeconds.min).max(ttlSeconds.max).optional(),
});
const JwtSvidRequest = z.strictObject({
  audience: z.array(z.string().min(1).max(512)).min(1).max(16),
  token: z.string().max(256).optional(),
  ttlSeconds: z.int().positive().optional(),
});

export interface CertificateRoutesOptions {
  authority: Authority;
  tokens: JoinTokens;
  accounts: Accounts;
  joins: Joins;
  jwtSvids: JwtSvids;
  /** Public keys of every token that the control plane signs. Default: those of JWT-SVIDs. */
  published?: JSONWebKeySet;
  events?: ControlEvents;
  /** Reports internal errors; details are not sent to clients. */
  report?: (error: unknown) => void;
}

/**
 * The routes; times in answers are RFC 3339. Mount behind `authenticate`.
 *
 * - `POST /v1/join-tokens` {namespace, serviceAccount, ttlSeconds?} -> {token, expires}
 * - `GET /v1/join-tokens?namespace=` -> {tokens: [{id, namespace, serviceAccount, state, uses, usesLeft, expires, group?, labels?, ephemeral?}]};
 *   secrets are not kept
 * - `DELETE /v1/join-tokens/ID` -> the token as it is then
 * - `GET /v1/revocations` -> {revocations: [{namespace, serviceAccount, since}]}
 * - `POST /v1/revocations` {namespace, serviceAccount}: takes the account's unused tokens and its identity back, and
 *   revokes its joins
 * - `POST /v1/certificates` {csr, token?, ttlSeconds?} -> {certificateChain, trustBundle, notAfter}
 * - `POST /v1/jwt-svids` {audience, token?, ttlSeconds?} -> {token, expires}; 403 for the token of an invitation with a group, or
 *   that is ephemeral
 * - `GET /v1/trust-bundle` -> {trustDomain, trustBundle}; `GET /keys`, also `GET /openid/v1/jwks`; `GET /.well-known/openid-configuration`
 *
 * The caller is identified by the join token in the body, else by the client certificate, else (JWT-SVIDs only) by a JWT-SVID
 * for the control plane's audience as bearer token.
 */
export function certificateRoutes(options: CertificateRoutesOptions): Hono<ApiEnv> {
  const { authority, tokens, accounts, joins, jwtSvids, events = eventsTo() } = options;
  const app = new Hono<ApiEnv>();
  app.onError((error, c) => {
    const refused = refusal(error);
    if (error instanceof CsrError) events.refused({ cause: 'csr', reason: error.message });
    else if (refused instanceof ApiError && refused.code === 401)
      events.refused({ cause: 'authentication', reason: error.message });
    return respondToError(options.report ?? (() => {}))(refused, c);
  });

  app.post('/v1/join-tokens', requireUser, async (c) => {
    const { namespace, serviceAccount, ttlSeconds: ttl } = await readRequest(c, JoinTokenRequest, REQUEST);
    requirePermission(c, { verb: 'create', resource: 'jointokens', namespace });
    await accounts.check({ namespace, serviceAccount });
    const { token, expires } = await tokens.create({ namespace, serviceAccount }, ttl);
    return secretAnswer(c, { token, expires: rfc3339(expires) });
  });

  app.get('/v1/join-tokens', async (c) => {
    const namespace = c.req.query('namespace');
    requirePermission(c, { verb: 'list', resource: 'jointokens', namespace });
    return c.json({ tokens: (await tokens.list(namespace)).map(shown) });
  });

  app.delete('/v1/join-tokens/:id', permission('delete', 'jointokens'), async (c) => {
    const revoked = await tokens.revoke(c.req.param('id'));
    if (!revoked) throw new ApiError(404, 'NotFound', `join token "${c.req.param('id')}" is not known here`);
    if (revoked.state === 'used')
      throw new ApiError(409, 'Conflict', `join token "${revoked.id}" was used: revoke its service account instead`);
    return c.json(shown(revoked));
  });

  app.get('/v1/revocations', permission('list', 'revocations'), (c) =>
    c.json({ revocations: accounts.list().map(({ since, ...claim }) => ({ ...claim, since: rfc3339(since) })) }),
  );

  app.post('/v1/revocations', requireUser, async (c) => {
    const claim = await readRequest(c, RevocationRequest, REQUEST);
    requirePermission(c, { verb: 'create', resource: 'revocations', namespace: claim.namespace });
    await accounts.revoke(claim);
    for (const { id, serviceAccount, state } of await tokens.list(claim.namespace))
      if (serviceAccount === claim.serviceAccount && state === 'unused') await tokens.revoke(id);
    await revokeJoins(claim, 'its service account was revoked');
    return c.json(claim);
  });

  app.post('/v1/certificates', async (c) => {
    const { csr, token, ttlSeconds: ttl } = await readRequest(c, CertificateRequest, REQUEST);
    events.requested();
    const spiffeId = await allowed(token === undefined ? workloadCaller(c) : await tokenHolder(token));
    // Every check precedes the use of the token: an invalid request must not cost a token.
    const checked = await authority.check(csr, spiffeId, ttl);
    const holder = token === undefined ? undefined : await tokens.redeem(token);
    await allowed(spiffeId);
    const issued = holder ? await firstCertificate(checked, holder) : await renewal(c, checked);
    const { certificateChain, notAfter } = issued;
    const proof = token === undefined ? 'certificate' : 'join token';
    events.issued({ identity: spiffeId, proof, document: 'X.509-SVID', expires: notAfter });
    return secretAnswer(c, { certificateChain, trustBundle: authority.trustBundle, notAfter: rfc3339(notAfter) });
  });

  app.post('/v1/jwt-svids', async (c) => {
    const { audience, token, ttlSeconds: ttl } = await readRequest(c, JwtSvidRequest, REQUEST);
    const caller = token === undefined ? await jwtCaller(c) : { spiffeId: await plainHolder(token), join: undefined };
    const spiffeId = await allowed(caller.spiffeId);
    jwtSvids.check(audience, ttl);
    if (token !== undefined) await tokens.redeem(token);
    await allowed(spiffeId);
    const issued = await jwtSvids.issue(spiffeId, audience, ttl, caller.join);
    const held = c.get('caller').kind === 'anonymous' ? 'JWT-SVID' : 'certificate';
    const proof = token === undefined ? held : 'join token';
    events.issued({ identity: spiffeId, proof, document: 'JWT-SVID', expires: issued.expires });
    return secretAnswer(c, { token: issued.token, expires: rfc3339(issued.expires) });
  });

  app.get('/v1/trust-bundle', (c) =>
    c.json({ trustDomain: authority.trustDomain, trustBundle: authority.trustBundle }),
  );
  app.get('/.well-known/openid-configuration', (c) => c.json(jwtSvids.discovery));
  for (const path of ['/keys', '/openid/v1/jwks']) app.get(path, (c) => c.json(options.published ?? jwtSvids.jwks));
  return app;

  async function revokeJoins({ namespace, serviceAccount }: JoinClaim, reason: string): Promise<void> {
    const all = joins.list().filter((join) => join.namespace === namespace && join.serviceAccount === serviceAccount);
    await Promise.all(all.map(({ id }) => joins.revoke(id, reason)));
  }

  async function tokenHolder(token: string): Promise<string> {
    return formatWorkloadId({ trustDomain: authority.trustDomain, ...(await tokens.peek(token)) });
  }

  /**
   * A JWT-SVID for a token is of no join, and is renewed by itself: it would outlast an ephemeral join, and escape the revocation of
   * one. @throws ApiError 403 for an invitation of a machine
   */
  async function plainHolder(token: string): Promise<string> {
    const { group, ephemeral } = await tokens.peek(token);
    if (group !== undefined || ephemeral)
      throw forbidden(
        'the token is an invitation for a machine: join with it ("tulle join", POST /v1/join), then ask with the certificate',
      );
    return tokenHolder(token);
  }

  /** Handed out once its join is durable. */
  async function firstCertificate(checked: CheckedRequest, holder: TokenHolder): Promise<IssuedCertificate> {
    const issued = await authority.sign(checked);
    await joins.begin(joinByToken(holder), issued);
    return issued;
  }

  /** By the certificate that the client presented. */
  async function renewal(c: Context<ApiEnv>, checked: CheckedRequest): Promise<IssuedCertificate> {
    const caller = c.get('caller');
    if (caller.kind !== 'workload' || !caller.certificate) throw new Error('the caller has no certificate');
    const { spiffeId, certificate } = caller;
    const join =
      (await joins.forRenewal(certificate.serial)) ??
      (await joins.adopt(plainJoin(spiffeId, 'a certificate of an earlier version'), certificate));
    const issued = await authority.sign(checked, await joins.nextSerial(join.id));
    await joins.renewed(join.id, issued);
    return issued;
  }

  /** Asked at every issue and renewal, again right before it signs: a revocation may have come meanwhile. */
  async function allowed(spiffeId: string): Promise<string> {
    await accounts.check(parseWorkloadId(spiffeId));
    return spiffeId;
  }

  function workloadCaller(c: Context<ApiEnv>): string {
    const caller = c.get('caller');
    if (caller.kind === 'user') throw forbidden('a user has no workload identity: give a join token');
    if (caller.kind === 'anonymous') {
      throw new ApiError(401, 'Unauthorized', 'give a join token, or the certificate you hold as client certificate');
    }
    return caller.spiffeId;
  }

  /** With the join that a token ends with: that of the certificate, or of the token that is renewed. */
  async function jwtCaller(c: Context<ApiEnv>): Promise<{ spiffeId: string; join: string | undefined }> {
    const token = bearer(c.req.header('authorization'));
    const caller = c.get('caller');
    if (caller.kind === 'anonymous' && token !== undefined) {
      const holder = await jwtSvids.authenticate(token);
      accepted(c, holder.spiffeId);
      return holder;
    }
    const serial = caller.kind === 'workload' ? caller.certificate?.serial : undefined;
    return { spiffeId: workloadCaller(c), join: serial === undefined ? undefined : joins.ofSerial(serial)?.id };
  }
}

/** Of a workload that belongs to no WorkloadGroup. */
function plainJoin(spiffeId: string, by: string): NewJoin {
  const { namespace, serviceAccount } = parseWorkloadId(spiffeId);
  return { namespace, serviceAccount, group: undefined, by, labels: {}, ephemeral: false };
}

/** The authority's errors as responses. All others are internal errors. */
function refusal(error: Error): Error {
  if (error instanceof CsrError || error instanceof TtlError || error instanceof JwtRequestError) {
    return badRequest(error.message);
  }
  if (error instanceof JoinTokenError || error instanceof JwtSvidError) {
    return new ApiError(401, 'Unauthorized', error.message);
  }
  if (error instanceof AccountError || error instanceof JoinError) return forbidden(error.message);
  if (error instanceof TokenLimitError) return new ApiError(409, 'Conflict', error.message);
  return error;
}

const shown = ({ expires, ...token }: TokenSummary) => ({ ...token, expires: rfc3339(expires) });
