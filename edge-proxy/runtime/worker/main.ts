/** The edge worker: the proxy core behind `fetch`, as one module of workerd. */
import { Router } from 'itty-router';
import { Backoff } from '../../config/backoff.ts';
import { DiscoveryClient } from '../../config/discovery-client.ts';
import { buildNode } from '../../config/node.ts';
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
  /** Renews and discovers for ever; must run within a request's `waitUntil`, for workerd binds I/O to a request. */
  run(): Promise<void>;
}

const log = (line: string) => console.log(line);

function createWorker(env: WorkerEnv): Worker {
  const settings = readSettings(env);
  const post = controlPost(env.CONTROL, settings.CONTROL_PLANE_URL);
  const identity = new WorkerIdentity({
    post,
    joinToken: settings.JOIN_TOKEN,
    audience: settings.AUDIENCE,
    ttl: settings.SVID_TTL,
    now: Date.now,
  });
  const routes = settings.ROUTES === '' ? undefined : new WorkerRoutes(settings.ROUTES);
  const forward = createForward({
    gateway: env.GATEWAY,
    token: () => identity.gatewayToken,
    routes: () => (routes ? routes.table : null),
  });
  const ready = () => identity.gatewayToken !== undefined && (!routes || routes.table !== undefined);
  const own = Router({ base: '/.tulle' })
    .get('/live', () => new Response('ok'))
    .get('/ready', () => (ready() ? new Response('ready') : new Response('not ready', { status: 503 })))
    .all('*', () => new Response(null, { status: 404 }));
  return {
    handle: (request) => (new URL(request.url).pathname.startsWith('/.tulle/') ? own.fetch(request) : forward(request)),
    run: async () => {
      await renewFor(identity, undefined);
      if (routes) discoveryOf(settings, post, identity, routes).start();
      await renewFor(identity, Number.POSITIVE_INFINITY);
    },
  };
}

/** Keeps the tokens renewed; returns after the first time when `until` is undefined. */
async function renewFor(identity: WorkerIdentity, until: number | undefined): Promise<void> {
  const backoff = new Backoff();
  const never = new AbortController().signal;
  let failing = false;
  for (;;) {
    try {
      await identity.renew();
      if (failing) log('identity: the control plane is back');
      failing = false;
      backoff.reset();
      if (until === undefined) return;
    } catch (error) {
      if (!failing) log(`identity: ${error instanceof Error ? error.message : String(error)}; retrying`);
      failing = true;
      await backoff.wait(never);
      continue;
    }
    // A day is more than any timer here needs, and less than timers can count.
    const wait = Math.min(identity.dueIn, 24 * 3600 * 1000);
    await new Promise<void>((resolve) => setTimeout(resolve, wait));
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
    log,
  });
}

let worker: Worker | undefined;

export default {
  async fetch(request: Request, env: WorkerEnv, context: Context): Promise<Response> {
    if (!worker) {
      worker = createWorker(env);
      context.waitUntil(worker.run());
    }
    return worker.handle(request);
  },
};
