/** One request through the worker: filters, route, then the gateway with the worker's JWT-SVID. Top to bottom. */
import { textOfWire } from '../../../shared/match/wire.ts';
import type { HttpFilter as XdsHttpFilter } from '../../../shared/xds/http-connection-manager.ts';
import { compileHttpFilters } from '../../config/compile-filters.ts';
import { FilterChain } from '../../http/filters/chain.ts';
import { FilterRun } from '../../http/filters/filter-run.ts';
import { isPermit, runRequestHeads, runResponseHeads } from '../../http/filters/permit.ts';
import { HeaderMap as Fields } from '../../http/message/header-map.ts';
import type { ClusterChoice, ForwardAction, RouteTable } from '../../http/route-table.ts';
import type { SideCall } from '../../http/side-call/side-call.ts';
import type { LocalReply, RequestContext } from '../../http/stream.ts';
import type { ClockAndRandom } from '../runtime.ts';
import { fetchHeaders, fieldsOf, JWT_SVID_HEADER, requestContext } from './request.ts';
import type { Fetcher } from './settings.ts';

const FILTER = 'type.googleapis.com/envoy.extensions.filters.http';
/** Those of a gateway that need neither its listeners nor bodies. */
const FILTERS: readonly XdsHttpFilter[] = [
  { name: 'envoy.filters.http.fault', typedConfig: { '@type': `${FILTER}.fault.v3.HTTPFault` } },
  { name: 'envoy.filters.http.cors', typedConfig: { '@type': `${FILTER}.cors.v3.Cors` } },
  { name: 'envoy.filters.http.router', typedConfig: { '@type': `${FILTER}.router.v3.Router` } },
];

export interface ForwardEnv {
  readonly gateway: Fetcher;
  /** The token for the gateway, undefined when there is none that is valid. */
  token(): string | undefined;
  /** null: everything goes to the gateway; undefined: no configuration has come. */
  routes(): RouteTable | null | undefined;
  readonly time: ClockAndRandom;
}

/** Answers 404 and 503 with empty bodies as Envoy does where there is no route or no configuration. */
export function createForward(env: ForwardEnv): (request: Request) => Promise<Response> {
  const chain = new FilterChain(
    compileHttpFilters(FILTERS, {
      now: () => env.time.now(),
      random: () => env.time.random(),
      call: NO_CALLS,
      sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
    }),
  );

  return async (request) => {
    const table = env.routes();
    if (table === undefined) return new Response(null, { status: 503 });
    const context = requestContext(request, env.time.monotonicMs());
    if (table === null) return send(env, request, context, 0, undefined);
    const entry = table.match(context);
    context.route = entry;
    const run = new FilterRun(context, chain.of(entry));
    const refusal = await refusalOf(run);
    if (refusal) return localReply(refusal, run);
    if (!entry) return new Response(null, { status: 404 });
    const { action } = entry;
    if (action.kind === 'forward') return forward(env, request, action, run);
    const headers = new Fields();
    if (action.kind === 'redirect') headers.append('location', action.location(context));
    else if (action.body !== '') headers.append('content-type', 'text/plain');
    action.editResponse(context, headers);
    return finish(run, action.status, headers, action.kind === 'direct' ? action.body : null);
  };
}

const noCalls = () => Promise.reject(new Error('an edge worker calls no clusters: it has none'));
const NO_CALLS: SideCall = { http: noCalls, unary: noCalls };

/** What of a request its filters keep, see FilterRun. */
type Run = FilterRun<RequestContext>;

/** @returns the answer of the filter that stopped the request; undefined: all let it through */
async function refusalOf(run: Run): Promise<LocalReply | undefined> {
  for (let from = 0; ; ) {
    const result = runRequestHeads(run, from, false);
    if (isPermit(result)) return undefined;
    const answer = await result.answer;
    if (answer !== undefined && 'status' in answer) return answer;
    if (answer !== undefined) throw new Error('an edge worker has no filter that sees bodies');
    from = result.at + 1;
  }
}

function localReply(reply: LocalReply, run: Run): Response {
  const headers = new Fields();
  if (reply.body !== '') headers.append('content-type', 'text/plain');
  for (const [name, value] of Object.entries(reply.headers ?? {})) headers.append(name, value);
  return finish(run, reply.status, headers, reply.body);
}

function forward(env: ForwardEnv, request: Request, action: ForwardAction, run: Run): Promise<Response> {
  const context = run.request;
  const choice = action.pick(context, env.time.random());
  choice.editRequest(context);
  action.rewrite(context);
  return send(env, request, context, action.timeoutMs, { choice, run });
}

/** @param edits undefined: the answer is passed on as it is */
async function send(
  env: ForwardEnv,
  request: Request,
  context: RequestContext,
  timeoutMs: number,
  edits: { choice: ClusterChoice; run: Run } | undefined,
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
  return finish(edits.run, answer.status, fields, answer.body);
}

function finish(run: Run, status: number, headers: Fields, body: Response['body'] | string): Response {
  const empty = status === 204 || status === 205 || status === 304;
  if (runResponseHeads(run, 0, { status, headers }, empty || body === '') !== 'passed')
    throw new Error('an edge worker has no filter that holds responses');
  return new Response(empty || body === '' ? null : body, { status, headers: fetchHeaders(headers) });
}
