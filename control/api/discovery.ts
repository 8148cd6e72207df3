/** Routes of discovery: the proxies' long-poll, and the operators' queries about proxies. */

import { Hono } from 'hono';
import { redacted } from '../../shared/log/redact.ts';
import {
  DiscoveryPoll,
  isConfidential,
  MAX_POLL_NAMES,
  RESOURCE_TYPES,
  type ResourceType,
  type Snapshot,
} from '../../shared/xds/discovery.ts';
import { answerBody } from '../discovery/answer.ts';
import { CompressedBlocks } from '../discovery/compressed-blocks.ts';
import { DiscoveryError, type DiscoveryService } from '../discovery/service.ts';
import { RegistrationError } from '../workloads/registration-error.ts';
import { requirePermission } from './access/permission.ts';
import type { ApiEnv, Caller } from './caller.ts';
import { callersNode, checkNodeSize } from './caller-node.ts';
import { ApiError, badRequest, forbidden, respondToError, unauthorized } from './resources/status.ts';
import { readJson } from './server/read-json.ts';

/** Names that a proxy holds make up most of a poll. */
const POLL = { bytes: 1024 * 1024, timeoutMs: 10_000, depth: 32, values: 65_536 };
/** Of one poll: a proxy sends one request for each type, or for each response of an answer. */
const MAX_REQUESTS = 16;
const NEVER = new AbortController().signal;

/**
 * `POST /v3/delta-discovery` (workloads), `GET /v1/proxies` and `GET /v1/proxies/:id/config?type=&serviceAccount=` (admin).
 * A config's `notFetched` has the names of what the proxy may fetch and has not. Failures are Kubernetes `Status` bodies.
 * @param report takes internal errors; details are not sent to clients
 */
export function discoveryApi(discovery: DiscoveryService, report: (error: unknown) => void = () => {}): Hono<ApiEnv> {
  const app = new Hono<ApiEnv>();
  app.onError((error, c) => respondToError(report)(refusal(error), c));

  const blocks = new CompressedBlocks();
  app.post('/v3/delta-discovery', async (c) => {
    const caller = c.get('caller');
    if (caller.kind === 'anonymous') throw unauthorized('discovery needs a workload identity (SVID)');
    if (caller.kind !== 'workload') throw forbidden('only workloads may discover config');
    const poll = readPoll(await readJson(c, POLL), caller);
    const answer = await discovery.poll(
      permitted(poll, caller),
      ownerOf(caller),
      c.req.raw.signal ?? NEVER,
      caller.certificate,
    );
    const gzip = acceptsGzip(c.req.header('accept-encoding'));
    return c.body(answerBody(answer, gzip ? blocks : undefined), 200, {
      'content-type': 'application/json',
      ...(gzip && { 'content-encoding': 'gzip' }),
    });
  });

  app.get('/v1/proxies', (c) => {
    requirePermission(c, { verb: 'list', resource: 'proxies' });
    return c.json({ proxies: discovery.status() });
  });

  app.get('/v1/proxies/:id/config', (c) => {
    requirePermission(c, { verb: 'get', resource: 'proxies/config' });
    const type = c.req.query('type');
    if (type !== undefined && !isType(type))
      throw badRequest(`type: must be one of ${RESOURCE_TYPES.join(', ')}, found "${type}"`);
    const config = discovery.configOf(c.req.param('id'), c.req.query('serviceAccount'));
    if (!config) throw new ApiError(404, 'NotFound', `no proxy "${c.req.param('id')}" is known`);
    const { snapshot, notFetched } = config;
    const shown = redacted(snapshot) as Snapshot;
    const missing = Object.keys(notFetched).length > 0 && { notFetched };
    return c.json({ ...(type === undefined ? shown : { [type]: shown[type] }), ...missing });
  });

  return app;
}

/** @throws ApiError 400, 403 */
function readPoll(body: unknown, caller: Caller & { kind: 'workload' }): DiscoveryPoll {
  checkNodeSize(body);
  const parsed = DiscoveryPoll.safeParse(body);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    throw badRequest(`not a discovery poll: ${issue?.path.join('.') || 'body'}: ${issue?.message ?? 'invalid'}`);
  }
  if (parsed.data.requests.length > MAX_REQUESTS)
    throw badRequest(`not a discovery poll: requests: must not be more than ${MAX_REQUESTS}`);
  const poll = parsed.data as DiscoveryPoll;
  if (namesIn(poll) > MAX_POLL_NAMES)
    throw badRequest(`not a discovery poll: requests: must not have more than ${MAX_POLL_NAMES} names`);
  return { ...poll, node: callersNode(poll.node, caller) };
}

function namesIn({ requests }: DiscoveryPoll): number {
  let count = 0;
  for (const { resourceNamesSubscribe = [], resourceNamesUnsubscribe = [], initialResourceVersions = {} } of requests) {
    count += resourceNamesSubscribe.length + resourceNamesUnsubscribe.length;
    count += Object.keys(initialResourceVersions).length;
  }
  return count;
}

/** RFC 9110 section 12.5.3. Only gzip by its name: a client that takes any coding gets the plain text. */
function acceptsGzip(header: string | undefined): boolean {
  return (header ?? '').split(',').some((coding) => {
    const [name, ...parameters] = coding.split(';').map((part) => part.trim().toLowerCase());
    return name === 'gzip' && !parameters.some((parameter) => /^q=0(\.0{0,3})?$/.test(parameter));
  });
}

/** Secrets hold the private keys of gateways: they are sent only to holders of an X.509-SVID, never for a bearer token. */
function permitted(poll: DiscoveryPoll, caller: Caller & { kind: 'workload' }): DiscoveryPoll {
  if (!caller.byToken) return poll;
  return { ...poll, requests: poll.requests.filter(({ typeUrl }) => !isConfidential(typeUrl)) };
}

/** A session opened with a certificate cannot be continued with a token. */
const ownerOf = ({ spiffeId, byToken }: Caller & { kind: 'workload' }): string =>
  byToken ? `${spiffeId} by token` : spiffeId;

/** A service's errors as responses. All others are internal errors. */
function refusal(error: Error): Error {
  if (error instanceof RegistrationError)
    return error.code === 'conflict' ? new ApiError(409, 'Conflict', error.message) : forbidden(error.message);
  if (!(error instanceof DiscoveryError)) return error;
  if (error.code === 'invalid') return badRequest(error.message);
  if (error.code === 'limited') return new ApiError(429, 'TooManyRequests', error.message);
  if (error.code === 'ambiguous') return new ApiError(409, 'Conflict', error.message);
  return new ApiError(503, 'ServiceUnavailable', error.message);
}

const isType = (value: string): value is ResourceType => (RESOURCE_TYPES as readonly string[]).includes(value);
