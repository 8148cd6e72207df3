/** The edge worker: the proxy core behind `fetch`, as one module of workerd. */
import { Router } from 'itty-router';
import { Backoff } from '../../control-client/backoff.ts';
import { DiscoveryClient } from '../../control-client/discovery-client.ts';
import { buildNode } from '../../control-client/node.ts';
import { HTTP_FILTERS } from '../../http/filters/index.ts';
import { filterRegistry } from '../../xds/filter/filter-registry.ts';
import type { ClockAndRandom } from '../runtime.ts';
import { controlPost, type Post } from './control.ts';
import { createForward } from './forward.ts';
import { WorkerIdentity } from './identity.ts';
import { WorkerRoutes } from './routes.ts';
import { readSettings, type WorkerEnv, type WorkerSettings } from './settings.ts';

interface Context {
  waitUntil(work: Promise<unknown>): void;
}

interface Worker {
  handle(request: Request): Promise<Response>;
  /** Renews and discovers without end; must run within a request's `waitUntil`, for workerd binds I/O to a request. */
  run(): Promise<void>;
  /** Whether `run` has shown no sign of life for so long that its request must have been ended. */
  stalled(): boolean;
}

/** Milliseconds: how often the loop shows a sign of life, and when it is given up. */
const BEAT = 30_000;
const STALLED = 4 * BEAT;

const time: ClockAndRandom = {
  now: () => Date.now(),
  monotonicMs: () => performance.now(),
  random: () => Math.random(),
};

const filters = filterRegistry(HTTP_FILTERS);

const log = (line: string) => console.log(line);

function createWorker(env: WorkerEnv): Worker {
  const settings = readSettings(env);
  const post = controlPost(env.CONTROL, settings.CONTROL_PLANE_URL);
  const identity = new WorkerIdentity({
    post,
    joinToken: settings.JOIN_TOKEN,
    audience: settings.AUDIENCE,
    ttl: settings.SVID_TTL,
    now: time.now,
  });
  const routes = settings.ROUTES === '' ? undefined : new WorkerRoutes(settings.ROUTES, { env: time, filters });
  const forward = createForward({
    gateway: env.GATEWAY,
    token: () => identity.gatewayToken,
    routes: () => (routes ? routes.table : null),
    time,
    filters,
    // The text of an error could quote what a client sent.
    onInternalError: (error) =>
      log(`a request failed within the worker: ${error instanceof Error ? error.name : typeof error}`),
  });
  const ready = () => identity.gatewayToken !== undefined && (!routes || routes.table !== undefined);
  let beat = time.now();
  const alive = () => {
    beat = time.now();
  };
  const own = Router({ base: '/.tulle' })
    .get('/live', () => new Response('ok'))
    .get('/ready', () => (ready() ? new Response('ready') : new Response('not ready', { status: 503 })))
    .all('*', () => new Response(null, { status: 404 }));
  return {
    handle: (request) => (new URL(request.url).pathname.startsWith('/.tulle/') ? own.fetch(request) : forward(request)),
    run: async () => {
      alive();
      let discovery: DiscoveryClient | undefined;
      await keepRenewed(identity, () => {
        alive();
        if (routes && identity.controlToken !== undefined && !discovery) {
          discovery = discoveryOf(settings, post, identity, routes);
          discovery.start();
        }
      });
    },
    stalled: () => time.now() - beat > STALLED,
  };
}

/** Renews the tokens without end; calls `turn` after each check. */
async function keepRenewed(identity: WorkerIdentity, turn: () => void): Promise<never> {
  const backoff = new Backoff(time.random);
  const never = new AbortController().signal;
  let failing = false;
  for (;;) {
    try {
      await identity.renew();
      if (failing) log('identity: the control plane is back');
      failing = false;
      backoff.reset();
    } catch (error) {
      if (!failing) log(`identity: ${error instanceof Error ? error.message : String(error)}; retrying`);
      failing = true;
    }
    turn();
    if (failing) await backoff.wait(never);
    else await new Promise<void>((resolve) => setTimeout(resolve, Math.min(identity.dueIn, BEAT)));
  }
}

function discoveryOf(settings: WorkerSettings, post: Post, identity: WorkerIdentity, target: WorkerRoutes) {
  const node = buildNode({
    // It is compiled for as a gateway: Gateway resources choose it by its labels.
    type: 'router',
    namespace: settings.NAMESPACE,
    serviceAccount: settings.SERVICE_ACCOUNT,
    name: settings.NAME,
    ip: settings.ADDRESS,
    labels: settings.LABELS,
    interceptionMode: 'NONE',
    domainSuffix: 'cluster.local',
    locality: undefined,
    version: '0.1.0',
    runtime: 'workerd',
    appPorts: {},
    outboundBind: undefined,
    httpProxyPort: undefined,
    answersDns: false,
  });
  return new DiscoveryClient({
    client: {
      request: (_method, path, body, options) =>
        post(path, body, {
          bearer: identity.controlToken,
          signal: options?.signal,
          timeoutMs: options?.timeoutMs,
        }),
    },
    node: () => node,
    target,
    // It compiles the one configuration it serves whole.
    features: ['tulle.held-digests', 'tulle.answer-pages'],
    time,
    log,
  });
}

let worker: Worker | undefined;

/** What workerd calls for each request. */
const entry: { fetch(request: Request, env: WorkerEnv, context: Context): Promise<Response> } = {
  async fetch(request: Request, env: WorkerEnv, context: Context): Promise<Response> {
    const first = worker === undefined;
    worker ??= createWorker(env);
    if (first || worker.stalled()) context.waitUntil(worker.run());
    return worker.handle(request);
  },
};

export default entry;
