/** Routes of discovery: the proxies' long-poll, and the operators' queries about proxies. */
import { type Context, Hono } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import {
  DiscoveryPoll,
  RESOURCE_TYPES,
  type ResourceType,
  type Snapshot,
  TYPE_URLS,
} from '../../shared/xds/discovery.ts';
import { answerBody } from '../discovery/answer.ts';
import { DiscoveryError, type DiscoveryService } from '../discovery/service.ts';
import type { ApiEnv, Caller } from './caller.ts';
import { foreignNode, malformedNodeId } from './caller-node.ts';

const MAX_POLL_BYTES = 1024 * 1024;
const NEVER = new AbortController().signal;

const REASONS: Record<number, string> = {
  400: 'BadRequest',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'NotFound',
  413: 'RequestEntityTooLarge',
  429: 'TooManyRequests',
  503: 'ServiceUnavailable',
};

const STATUSES = { invalid: 400, limited: 429, unavailable: 503 } as const;

/**
 * `POST /v3/delta-discovery` (workloads), `GET /v1/proxies` and `GET /v1/proxies/:id/config?type=` (admin).
 * Failures are Kubernetes `Status` bodies.
 */
export function discoveryApi(discovery: DiscoveryService): Hono<ApiEnv> {
  const app = new Hono<ApiEnv>();
  const limit = bodyLimit({
    maxSize: MAX_POLL_BYTES,
    onError: (c) => failure(c, 413, `a poll must not exceed ${MAX_POLL_BYTES} bytes`),
  });

  app.post('/v3/delta-discovery', limit, async (c) => {
    const caller = c.get('caller');
    if (caller.kind === 'anonymous') return failure(c, 401, 'discovery needs a workload identity (SVID)');
    if (caller.kind !== 'workload') return failure(c, 403, 'only workloads may discover config');
    const parsed = DiscoveryPoll.safeParse(await c.req.json().catch(() => undefined));
    if (!parsed.success) {
      const issue = parsed.error.issues[0];
      return failure(
        c,
        400,
        `not a discovery poll: ${issue?.path.join('.') || 'body'}: ${issue?.message ?? 'invalid'}`,
      );
    }
    const malformed = malformedNodeId(parsed.data.node.id);
    if (malformed) return failure(c, 400, malformed);
    const foreign = foreignNode(parsed.data.node, caller);
    if (foreign) return failure(c, 403, foreign);
    try {
      const signal = c.req.raw.signal ?? NEVER;
      const answer = await discovery.poll(permitted(parsed.data, caller), ownerOf(caller), signal);
      return c.body(answerBody(answer), 200, { 'content-type': 'application/json' });
    } catch (error) {
      if (!(error instanceof DiscoveryError)) throw error;
      return failure(c, STATUSES[error.code], error.message);
    }
  });

  app.get('/v1/proxies', (c) => refuseNonAdmin(c) ?? c.json({ proxies: discovery.status() }));

  app.get('/v1/proxies/:id/config', (c) => {
    const refusal = refuseNonAdmin(c);
    if (refusal) return refusal;
    const type = c.req.query('type');
    if (type !== undefined && !isType(type))
      return failure(c, 400, `type: must be one of ${RESOURCE_TYPES.join(', ')}, found "${type}"`);
    const snapshot = discovery.snapshotOf(c.req.param('id'));
    if (!snapshot) return failure(c, 404, `no proxy "${c.req.param('id')}" is known`);
    const redacted = withoutKeys(snapshot);
    return c.json(type === undefined ? redacted : { [type]: redacted[type] });
  });

  return app;
}

/** Secrets hold the private keys of gateways: they are sent only to holders of an X.509-SVID, never for a bearer token. */
function permitted(poll: DiscoveryPoll, caller: Caller & { kind: 'workload' }): DiscoveryPoll {
  if (!caller.byToken) return poll;
  return { ...poll, requests: poll.requests.filter(({ typeUrl }) => typeUrl !== TYPE_URLS.secrets) };
}

/** A session opened with a certificate cannot be continued with a token. */
const ownerOf = ({ spiffeId, byToken }: Caller & { kind: 'workload' }): string =>
  byToken ? `${spiffeId} by token` : spiffeId;

function refuseNonAdmin(c: Context<ApiEnv>): Response | undefined {
  const { kind } = c.get('caller');
  if (kind === 'admin') return undefined;
  return kind === 'anonymous' ? failure(c, 401, 'needs an admin token') : failure(c, 403, 'needs an admin token');
}

function failure(c: Context<ApiEnv>, code: 400 | 401 | 403 | 404 | 413 | 429 | 503, message: string): Response {
  const reason = REASONS[code];
  return c.json({ kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Failure', message, reason, code }, code);
}

const isType = (value: string): value is ResourceType => (RESOURCE_TYPES as readonly string[]).includes(value);

/** Private keys read `[redacted]`, as in Envoy's config dump. */
function withoutKeys(snapshot: Snapshot): Snapshot {
  const secrets = snapshot.secrets.map((secret) =>
    secret.tlsCertificate?.privateKey
      ? { ...secret, tlsCertificate: { ...secret.tlsCertificate, privateKey: { inlineString: '[redacted]' } } }
      : secret,
  );
  return { ...snapshot, secrets };
}
