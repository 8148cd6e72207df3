/** One request through the worker: filters, route, then the gateway with the worker's JWT-SVID. Top to bottom. */
import type { PathNormalization } from '../../../shared/match/path.ts';
import { textOfWire } from '../../../shared/match/wire.ts';
import { normalizeTarget } from '../../http/exchange-path.ts';
import { createCorsFilter } from '../../http/filters/cors.ts';
import { createFaultFilter } from '../../http/filters/fault.ts';
import { Headers as Fields } from '../../http/headers.ts';
import type { ClusterChoice, ForwardAction, RouteEntry, RouteTable } from '../../http/route-table.ts';
import type { HeadFilter, LocalReply, RequestContext } from '../../http/stream.ts';
import { fetchHeaders, fieldsOf, JWT_SVID_HEADER, requestContext } from './request.ts';
import type { Fetcher } from './settings.ts';

export interface ForwardEnv {
  readonly gateway: Fetcher;
  /** The token for the gateway, undefined when there is none that is valid. */
  token(): string | undefined;
  /** null: everything goes to the gateway; undefined: no configuration has come. */
  routes(): RouteTable | null | undefined;
}

/** Istio's default (BASE), so that the worker's routes see the path that the gateway's policies will see. */
const NORMALIZATION: PathNormalization = { normalize: true };

/** Answers 404 and 503 with empty bodies as Envoy does where there is no route or no configuration. */
export function createForward(env: ForwardEnv): (request: Request) => Promise<Response> {
  const route = (context: RequestContext): RouteEntry | null => {
    if (context.route === undefined) context.route = env.routes()?.match(context) ?? null;
    return context.route;
  };
  const sleep = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));
  const filters = [createFaultFilter({ random: Math.random, sleep, route }), createCorsFilter({ route })];

  return async (request) => {
    const table = env.routes();
    if (table === undefined) return new Response(null, { status: 503 });
    const context = requestContext(request);
    const malformed = normalizeTarget(context, NORMALIZATION);
    if (malformed) return localReply(malformed, [], context);
    if (table === null) return send(env, request, context, 0, undefined);
    const refusal = await runFilters(filters, context);
    if (refusal) return localReply(refusal, filters, context);
    const entry = route(context);
    if (!entry) return new Response(null, { status: 404 });
    const { action } = entry;
    if (action.kind === 'forward') return forward(env, request, context, action, filters);
    const headers = new Fields();
    if (action.kind === 'redirect') headers.append('location', action.location(context));
    else if (action.body !== '') headers.append('content-type', 'text/plain');
    action.editResponse(context, headers);
    return finish(filters, context, action.status, headers, action.kind === 'direct' ? action.body : null);
  };
}

async function runFilters(filters: readonly HeadFilter[], context: RequestContext): Promise<LocalReply | undefined> {
  for (const filter of filters) {
    const verdict = await filter.onRequest?.(context);
    if (verdict) return verdict;
  }
  return undefined;
}

function localReply(reply: LocalReply, filters: readonly HeadFilter[], context: RequestContext): Response {
  const headers = new Fields();
  if (reply.body !== '') headers.append('content-type', 'text/plain');
  for (const [name, value] of Object.entries(reply.headers ?? {})) headers.append(name, value);
  return finish(filters, context, reply.status, headers, reply.body);
}

function forward(
  env: ForwardEnv,
  request: Request,
  context: RequestContext,
  action: ForwardAction,
  filters: readonly HeadFilter[],
): Promise<Response> {
  const choice = action.pick(context, Math.random());
  choice.editRequest(context);
  action.rewrite(context);
  return send(env, request, context, action.timeoutMs, { choice, filters });
}

/** @param edits undefined: the answer is passed on as it is */
async function send(
  env: ForwardEnv,
  request: Request,
  context: RequestContext,
  timeoutMs: number,
  edits: { choice: ClusterChoice; filters: readonly HeadFilter[] } | undefined,
): Promise<Response> {
  const token = env.token();
  // Without an identity of its own the worker would be let in as nobody, or as whoever a policy lets nobody be.
  if (token === undefined) return new Response('no valid identity', { status: 503 });
  // A rewrite must not reach into the authority before it.
  if (context.path[0] !== '/') return new Response(null, { status: 400 });
  const headers = fetchHeaders(context.headers);
  if (context.remoteIp !== '') headers.set('x-forwarded-for', context.remoteIp);
  headers.set(JWT_SVID_HEADER, token);
  const websocket = request.headers.get('upgrade')?.toLowerCase() === 'websocket';
  if (websocket) headers.set('upgrade', 'websocket');
  const deadline = new AbortController();
  const timer = timeoutMs > 0 && !websocket ? setTimeout(() => deadline.abort(), timeoutMs) : undefined;
  let answer: Response;
  try {
    answer = await env.gateway.fetch(`http://${context.authority}${textOfWire(context.path) ?? context.path}`, {
      method: context.method,
      headers,
      body: request.body,
      redirect: 'manual',
      signal: deadline.signal,
    });
  } catch {
    clearTimeout(timer);
    return deadline.signal.aborted
      ? new Response('upstream request timeout', { status: 504 })
      : new Response('upstream connect error', { status: 503 });
  }
  // The deadline is the whole response's: a body still on its way is cut off by it.
  if (!answer.body) clearTimeout(timer);
  if (!edits || answer.status === 101) return answer;
  const fields = fieldsOf(answer.headers);
  edits.choice.editResponse(context, fields);
  return finish(edits.filters, context, answer.status, fields, answer.body);
}

function finish(
  filters: readonly HeadFilter[],
  context: RequestContext,
  status: number,
  headers: Fields,
  body: Response['body'] | string,
): Response {
  for (const filter of filters) filter.onResponse?.(context, status, headers);
  const empty = status === 204 || status === 205 || status === 304;
  return new Response(empty || body === '' ? null : body, { status, headers: fetchHeaders(headers) });
}
