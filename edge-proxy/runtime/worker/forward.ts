/**
 * A fetch Request through the request core: the exchange, its filters, routes and attempts are those of every proxy; the
 * streams on both sides are fetch's.
 */
import type { HttpFilter as XdsHttpFilter } from '../../../shared/xds/http-connection-manager.ts';
import { Exchange } from '../../http/exchange/exchange.ts';
import type { ExchangeConfig } from '../../http/exchange/exchange-config.ts';
import { FilterChain } from '../../http/filters/chain.ts';
import { HeaderTreatment } from '../../http/headers/forward-headers.ts';
import { compileObservers } from '../../http/request/request-observer.ts';
import { TimerPool } from '../../http/request/timers.ts';
import type { RouteTable } from '../../http/routing/route-table.ts';
import type { SideCall } from '../../http/side-call/side-call.ts';
import { compileHttpFilters } from '../../xds/filter/compile-filters.ts';
import type { FilterRegistry } from '../../xds/filter/filter-registry.ts';
import type { ClockAndRandom } from '../runtime.ts';
import { FetchDownstream } from './downstream-stream.ts';
import { GatewayStreams, gatewayClusters } from './gateway-streams.ts';
import { downstreamOf, headOf } from './request.ts';
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
  readonly filters: FilterRegistry;
  /** Reports exceptions in this proxy, which a client sees as 500. */
  readonly onInternalError: (error: unknown) => void;
}

/** Answers 503 with an empty body where no configuration has come. */
export function createForward(env: ForwardEnv): (request: Request) => Promise<Response> {
  const shared = compileExchange(env);
  const { monotonicMs } = env.time;
  return (request) => {
    const table = env.routes();
    if (table === undefined) return Promise.resolve(new Response(null, { status: 503 }));
    // workerd ends a request's timers with the request: each has a pool of its own.
    const router = { ...shared.router, timers: new TimerPool(monotonicMs) };
    const config = { ...shared, routes: () => table ?? ALL_TO_GATEWAY, router };
    const stream = new FetchDownstream(request);
    const whole = request.body === null;
    const exchange = new Exchange(stream, headOf(request), whole, downstreamOf(request), config, OWNER);
    exchange.start();
    stream.begin(exchange);
    return stream.response;
  };
}

const OWNER = { exchangeEnded: () => {} };

const NO_CLUSTERS = 'an edge worker calls no clusters: it has none';
const noCalls = () => Promise.reject(new Error(NO_CLUSTERS));
const NO_CALLS: SideCall = {
  http: noCalls,
  unary: noCalls,
  stream: () => {
    throw new Error(NO_CLUSTERS);
  },
};

/** The settings of Istio's gateways, as far as a worker has them. */
function compileExchange({
  gateway,
  token,
  time,
  filters: known,
  onInternalError,
}: ForwardEnv): Omit<ExchangeConfig, 'routes'> {
  const filters = compileHttpFilters(
    FILTERS,
    {
      now: () => time.now(),
      random: () => time.random(),
      call: NO_CALLS,
      sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
    },
    known,
  );
  const manager = { statPrefix: '', useRemoteAddress: true, serverHeaderTransformation: 'PASS_THROUGH' } as const;
  return {
    filters: new FilterChain(filters),
    headers: new HeaderTreatment(manager, time),
    decorator: undefined,
    mapReply: undefined,
    // Istio's default (BASE): the worker's routes see the path that the gateway's policies will see.
    normalization: { normalize: true },
    upgrades: new Set(['websocket']),
    bufferLimit: 64 * 1024,
    streamIdleMs: 300_000,
    requestMs: 0,
    maxStreamMs: 0,
    scaledIdleMs: (ms) => ms,
    onInternalError,
    router: {
      clock: time,
      random: () => time.random(),
      clusters: gatewayClusters,
      upstreams: new GatewayStreams(gateway, token),
      timers: new TimerPool(() => time.monotonicMs()),
      events: compileObservers([], onInternalError),
      suppressEnvoyHeaders: true,
      proxyContinue: false,
      onInternalError,
    },
  };
}

const ALL_TO_GATEWAY: RouteTable = {
  name: 'gateway',
  match: () => ({
    name: '',
    virtualHost: '',
    includeAttemptCount: false,
    action: {
      kind: 'forward',
      pick: () => ({ cluster: 'gateway', editRequest() {}, editResponse() {} }),
      timeoutMs: 0,
      perAttemptMs: 0,
      perAttemptIdleMs: 0,
      grpc: undefined,
      streamDuration: undefined,
      highPriority: false,
      idleTimeoutMs: undefined,
      retry: undefined,
      mirrors: [],
      rewrite: () => false,
      upgrades: undefined,
    },
  }),
};
