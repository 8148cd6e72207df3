/** The proxy's admin endpoints, Envoy's paths and answers where Envoy has them. */
import { type IRequest, Router, text } from 'itty-router';
import { redacted } from '../../shared/log/redact.ts';
import { isUnixAddress } from '../../shared/match/unix-address.ts';
import { RESOURCE_TYPES, type Snapshot, TYPE_URLS } from '../../shared/xds/discovery.ts';
import type { HeldCertificates } from './certs.ts';
import { type ClusterState, clustersJson, clustersText } from './clusters.ts';
import { statsText } from './stats.ts';

export interface ListenerState {
  readonly name: string;
  readonly address: string;
  /** The real one, where the kernel chose it. */
  readonly port: number;
}

export interface AdminDeps {
  /** Has config and can serve. */
  readonly ready: () => boolean;
  readonly draining: () => boolean;
  /** Why it cannot serve although it has config, with the remedy; undefined: it can. */
  readonly failure: () => string | undefined;
  readonly metrics: () => string | Promise<string>;
  /** The xDS in force, as received. */
  readonly config: () => Partial<Snapshot>;
  readonly clusters: () => readonly ClusterState[] | Promise<readonly ClusterState[]>;
  readonly listeners: () => readonly ListenerState[];
  /** Resources that are refused now, as `listeners/0.0.0.0_80`, and why. */
  readonly refused: () => ReadonlyMap<string, string>;
  readonly info: { readonly version: string; readonly runtime: string; readonly nodeId: string };
  /** What the process took at its start. */
  readonly taken: { readonly workers: number; readonly drainMs: number };
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** Milliseconds since the start. */
  readonly uptimeMs: () => number;
  /** Ends the process, as SIGTERM does. */
  readonly quit: () => void;
  /** Has another process take the place of this one. @returns why it did not; undefined: it did */
  readonly hotRestart: () => Promise<string | undefined>;
  /** `graceful`: continues accepting for the drain time, each connection for one answer. */
  readonly drainListeners: (options: { readonly graceful: boolean; readonly inboundOnly: boolean }) => void;
  /** Envoy's statistics by name. */
  readonly stats: () => [string, number][] | Promise<[string, number][]>;
  readonly certificates: () => readonly HeldCertificates[] | Promise<readonly HeldCertificates[]>;
  /** Fails or restores the health check that load balancers read. */
  readonly setHealthy: (healthy: boolean) => void;
}

export type Admin = (request: Request) => Promise<Response>;

/** Paths that change something need POST (405 otherwise), as in Envoy. */
export function createAdmin(deps: AdminDeps): Admin {
  const router = Router<IRequest, []>({ catch: () => text('internal error\n', { status: 500 }) });
  const ready = () => {
    const state = stateOf(deps);
    const failure = state === 'LIVE' ? deps.failure() : undefined;
    return text(`${failure ?? state}\n`, { status: state === 'LIVE' && failure === undefined ? 200 : 503 });
  };
  const metrics = async () =>
    new Response(await deps.metrics(), { headers: { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' } });
  /** @param act may resolve with the reason why nothing was done */
  const acting = (path: string, act: (query: URLSearchParams) => unknown) => {
    router.post(path, async (request) => {
      const refused = await act(new URL(request.url).searchParams);
      return typeof refused === 'string' ? text(`${refused}\n`, { status: 503 }) : text('OK\n');
    });
    router.all(path, () => text('method not allowed, use POST\n', { status: 405, headers: { allow: 'POST' } }));
  };

  router.get('/ready', ready);
  router.get('/healthz/ready', ready);
  router.get('/live', () => text('LIVE\n'));
  router.get('/metrics', metrics);
  router.get('/stats/prometheus', metrics);
  router.get('/stats', async (request) => {
    try {
      const { type, body } = statsText(await deps.stats(), new URL(request.url).searchParams);
      return new Response(body, { headers: { 'content-type': type } });
    } catch (error) {
      return text(`${(error as Error).message}\n`, { status: 400 });
    }
  });
  router.get('/certs', async () => {
    // Load the certificate parser on first use of /certs; it costs several MB.
    const { certsJson } = await import('./certs.ts');
    return json(certsJson(await deps.certificates(), deps.now()));
  });
  router.get('/config_dump', () => json({ configs: configDump(deps.config()) }));
  router.get('/clusters', (request) => clusters(deps, new URL(request.url).searchParams.get('format')));
  router.get('/listeners', (request) => listeners(deps, new URL(request.url).searchParams.get('format')));
  router.get('/server_info', () => json(serverInfo(deps)));
  acting('/quitquitquit', deps.quit);
  acting('/hot_restart', deps.hotRestart);
  acting('/healthcheck/fail', () => deps.setHealthy(false));
  acting('/healthcheck/ok', () => deps.setHealthy(true));
  acting('/drain_listeners', (query) =>
    deps.drainListeners({ graceful: query.has('graceful'), inboundOnly: query.has('inboundonly') }),
  );
  router.all('*', () => text('invalid path\n', { status: 404 }));
  return (request) => router.fetch(request) as Promise<Response>;
}

const json = (value: unknown): Response =>
  new Response(`${JSON.stringify(value, null, 1)}\n`, { headers: { 'content-type': 'application/json' } });

function stateOf(deps: AdminDeps): 'LIVE' | 'DRAINING' | 'PRE_INITIALIZING' {
  if (deps.draining()) return 'DRAINING';
  return deps.ready() ? 'LIVE' : 'PRE_INITIALIZING';
}

function serverInfo(deps: AdminDeps) {
  const { version, runtime, nodeId } = deps.info;
  return {
    version: `tulle/${version}/${runtime}`,
    state: stateOf(deps),
    uptimeCurrentEpoch: `${Math.floor(deps.uptimeMs() / 1000)}s`,
    node: { id: nodeId },
    // Envoy's names, though the values may come from ProxyConfig.
    commandLineOptions: { concurrency: deps.taken.workers, drainTime: `${deps.taken.drainMs / 1000}s` },
  };
}

/** One entry per resource type: `{"@type", resources}`. Private keys, and secrets that sign tokens, read `[redacted]`. */
function configDump(config: Partial<Snapshot>): { type: string; '@type': string; resources: unknown[] }[] {
  return RESOURCE_TYPES.map((type) => ({
    type,
    '@type': TYPE_URLS[type],
    resources: (config[type] ?? []).map(redacted),
  }));
}

async function clusters(deps: AdminDeps, format: string | null): Promise<Response> {
  const states = await deps.clusters();
  return format === 'json' ? json(clustersJson(states)) : text(clustersText(states));
}

const oneLine = (reason: string): string => reason.replace(/\s+/g, ' ');

function listeners(deps: AdminDeps, format: string | null): Response {
  const all = deps.listeners();
  const refused = [...deps.refused()].flatMap(([resource, reason]) =>
    resource.startsWith('listeners/') ? [{ name: resource.slice('listeners/'.length), reason }] : [],
  );
  if (format !== 'json') {
    const open = all.map(({ name, address, port }) => `${name}::${address}:${port}\n`);
    // One line a listener, whatever the reason holds.
    return text([...open, ...refused.map(({ name, reason }) => `${name}::refused: ${oneLine(reason)}\n`)].join(''));
  }
  return json({
    ...(refused.length > 0 && { refusedListeners: refused }),
    listenerStatuses: all.map(({ name, address, port }) => ({
      name,
      localAddress: isUnixAddress(address)
        ? { pipe: { path: address.slice('unix://'.length) } }
        : { socketAddress: { address, portValue: port } },
    })),
  });
}
