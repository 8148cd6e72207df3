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
import { callersNode, checkNodeSize, ownerOf } from './caller-node.ts';
import { allProxies } from './replicas/all-proxies.ts';
import type { Peers } from './replicas/peers.ts';
import { ApiError, badRequest, forbidden, respondToError, unauthorized } from './resources/status.ts';
import { warningHeader } from './resources/warning-header.ts';
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
export function discoveryApi(
  discovery: DiscoveryService,
  report: (error: unknown) => void = () => {},
  others?: OtherControlPlanes,
): Hono<ApiEnv> {
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

  app.get('/v1/proxies', async (c) => {
    requirePermission(c, { verb: 'list', resource: 'proxies' });
    const own = discovery.status();
    if (!others) return c.json({ proxies: own });
    const { proxies, missing } = await allProxies(own, others.url, others.peers);
    for (const message of missing) c.header('Warning', warningHeader({ path: '', message }), { append: true });
    return c.json({ proxies });
  });

  app.get('/v1/proxies/:id/config', async (c) => {
    requirePermission(c, { verb: 'get', resource: 'proxies/config' });
    const { type, serviceAccount } = c.req.query();
    const id = c.req.param('id');
    const own = shownConfig(discovery, id, { type, serviceAccount });
    const config = own ?? (await others?.peers.configOf(id, new URL(c.req.url).search));
    if (!config) throw new ApiError(404, 'NotFound', `no proxy "${id}" is known`);
    return c.json(config);
  });

  return app;
}

/** Those that share the store, and what this one is reached by. */
export interface OtherControlPlanes {
  readonly url: string;
  readonly peers: Pick<Peers, 'proxies' | 'configOf'>;
}

/** A proxy's config without its secrets; undefined: it is not known. @throws ApiError 400, DiscoveryError */
export function shownConfig(
  discovery: Pick<DiscoveryService, 'configOf'>,
  id: string,
  { type, serviceAccount }: { readonly type?: string | undefined; readonly serviceAccount?: string | undefined },
): object | undefined {
  if (type !== undefined && !isType(type))
    throw badRequest(`type: must be one of ${RESOURCE_TYPES.join(', ')}, found "${type}"`);
  const config = discovery.configOf(id, serviceAccount);
  if (!config) return undefined;
  const { snapshot, notFetched } = config;
  const shown = redacted(snapshot) as Snapshot;
  const missing = Object.keys(notFetched).length > 0 && { notFetched };
  return { ...(type === undefined ? shown : { [type]: shown[type] }), ...missing };
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

/** A service's errors as responses. All others are internal errors. */
export function refusal(error: Error): Error {
  if (error instanceof RegistrationError)
    return error.code === 'conflict' ? new ApiError(409, 'Conflict', error.message) : forbidden(error.message);
  if (!(error instanceof DiscoveryError)) return error;
  if (error.code === 'invalid') return badRequest(error.message);
  if (error.code === 'limited') return new ApiError(429, 'TooManyRequests', error.message);
  if (error.code === 'ambiguous') return new ApiError(409, 'Conflict', error.message);
  return new ApiError(503, 'ServiceUnavailable', error.message);
}

const isType = (value: string): value is ResourceType => (RESOURCE_TYPES as readonly string[]).includes(value);
