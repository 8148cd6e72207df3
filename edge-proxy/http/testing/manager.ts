/** A connection manager on connections in memory, for the tests of what it does. */
import type { Cluster, Endpoint } from '../../upstream/cluster.ts';
import { http1 } from '../codec/h1/upstream-connection.ts';
import { ConnectionManager } from '../downstream/connection-manager.ts';
import type { ConnectionManagerOptions } from '../downstream/manager-options.ts';
import type { DownstreamInfo, RequestContext } from '../request/request-context.ts';
import { NO_RETRY, planRetries, type RetryPlan } from '../routing/retry-plan.ts';
import type { ForwardAction, RouteEntry } from '../routing/route-table.ts';
import { MemoryRuntime, memoryPair, Wire } from './memory-network.ts';

export const downstream: DownstreamInfo = {
  remoteAddress: '10.1.1.1',
  remotePort: 1,
  localAddress: '10.0.0.1',
  localPort: 80,
  secure: false,
  serverName: '',
  peerUris: [],
  peerDns: [],
  peerSubject: '',
};

function endpoint(port: number): Endpoint {
  return {
    id: `10.0.0.9:${port}`,
    address: '10.0.0.9',
    port,
    hostname: '',
    weight: 1,
    priority: 0,
    locality: '',
    tls: () => undefined,
    metadata: undefined,
    active: 0,
  };
}

export function makeCluster(ports: readonly number[]): Cluster & { reports: unknown[] } {
  const all = ports.map(endpoint);
  let turn = 0;
  const reports: unknown[] = [];
  return {
    name: 'c',
    protocols: { forHttp1: http1, forHttp2: http1 },
    connectTimeoutMs: 1000,
    limits: { maxConnections: 10, maxPendingRequests: 10, maxRequests: 10, maxRetries: 3 },
    maxRequestsPerConnection: 0,
    idleTimeoutMs: 0,
    destination: undefined,
    use: { connections: 0, pending: 0, requests: 0, retries: 0 },
    pick: () => all[turn++ % Math.max(all.length, 1)],
    report: (at, outcome) => reports.push([at.port, outcome]),
    endpoints: () => all,
    reports,
  };
}

export const plan: RetryPlan = planRetries({
  ...NO_RETRY,
  maxRetries: 2,
  on: new Set(['reset', 'retriable-status-codes']),
  codes: new Set([503]),
  hosts: { avoidPrevious: true, maxAttempts: 5, priorityUpdateFrequency: 0 },
  backOffBaseMs: 1,
  backOffMaxMs: 1,
});

export function forward(over: Partial<ForwardAction> = {}): RouteEntry {
  return {
    name: 'r',
    virtualHost: 'v',
    includeAttemptCount: true,
    action: {
      kind: 'forward',
      pick: () => ({ cluster: 'c', editRequest() {}, editResponse() {} }),
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
      ...over,
    },
  };
}

const open: Wire[] = [];
/** After each test: destroys the connections it made. */
export function closeAll(): void {
  for (const wire of open.splice(0)) wire.connection.destroy();
}

export interface Setup {
  route?: RouteEntry | null;
  cluster?: Cluster;
  options?: Partial<ConnectionManagerOptions>;
}

/** A manager with backends on the given ports; each connection a backend accepts is a Wire. */
export function setup({ route = forward(), cluster = makeCluster([1]), options = {} }: Setup = {}) {
  const runtime = new MemoryRuntime();
  const finished: RequestContext[] = [];
  const accepted: Wire[] = [];
  const waiting: ((wire: Wire) => void)[] = [];
  for (const { port } of cluster.endpoints()) {
    if (port === 66) continue;
    void runtime.listen({ address: '10.0.0.9', port }, (connection) => {
      const wire = new Wire(connection);
      open.push(wire);
      const next = waiting.shift();
      if (next) next(wire);
      else accepted.push(wire);
    });
  }
  const manager = new ConnectionManager({
    config: { statPrefix: 't', serverHeaderTransformation: 'PASS_THROUGH', generateRequestId: false },
    routes: () => ({ name: 't', match: () => route }),
    filters: [],
    clusters: { get: (name) => (name === 'c' ? cluster : undefined) },
    runtime,
    observers: [{ finished: (request) => void finished.push(request) }],
    draining: () => false,
    ...options,
  });
  const connect = () => {
    const [client, server] = memoryPair();
    const wire = new Wire(client);
    open.push(wire);
    manager.accept(server, downstream);
    return wire;
  };
  const backend = () => {
    const ready = accepted.shift();
    return ready ? Promise.resolve(ready) : new Promise<Wire>((resolve) => waiting.push(resolve));
  };
  return { manager, finished, connect, backend, runtime, cluster };
}

export const get = 'GET /a HTTP/1.1\r\nHost: h\r\nX-Case: 1\r\n\r\n';
export const ok = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Back: b\r\n\r\nhi';
