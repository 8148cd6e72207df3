/**
 * Two connection managers on one runtime, with the filters of these tests: HTTP/1.1, and the toy protocol of several streams.
 * Arguments: the ports of the application and of the checking service. Writes {http1, multi}, their ports; then, for each
 * line on standard input, {rss, active, requests, finished}; the line `drain` drains both first.
 */
import process from 'node:process';
import { createInterface } from 'node:readline';
import { ConnectionManager } from '../../edge-proxy/http/downstream/connection-manager.ts';
import type { OpenCodec } from '../../edge-proxy/http/downstream/session.ts';
import { HTTP_FILTERS } from '../../edge-proxy/http/filters/index.ts';
import { sideCalls } from '../../edge-proxy/http/side-call/side-call.ts';
import { openMultiStream } from '../../edge-proxy/http/testing/multi-stream-connection.ts';
import { currentRuntime } from '../../edge-proxy/runtime/index.ts';
import type { Cluster } from '../../edge-proxy/upstream/cluster.ts';
import { sharedPool } from '../../edge-proxy/upstream/upstream-pool.ts';
import { compileCluster } from '../../edge-proxy/xds/cluster/compile-cluster.ts';
import { compileHttpFilters } from '../../edge-proxy/xds/filter/compile-filters.ts';
import { filterRegistry } from '../../edge-proxy/xds/filter/filter-registry.ts';
import { compileRouteConfiguration } from '../../edge-proxy/xds/route/compile-routes.ts';
import { Cluster as ClusterMessage } from '../../shared/xds/cluster.ts';
import { externalCheck } from './external-check/index.ts';
import { upperCase } from './upper-case/index.ts';

const runtime = currentRuntime();
const [app, check] = runtime.process.args.map(Number);
const clusters = new Map<string, Cluster>(
  (
    [
      ['app', app!],
      ['check', check!],
    ] as const
  ).map(([name, port]) => [name, compile(name, port)]),
);
const call = sideCalls({ get: (name) => clusters.get(name) }, sharedPool(runtime), runtime);
const finished: object[] = [];
let connections = 0;

function compile(name: string, port: number): Cluster {
  const endpoint = { address: { socketAddress: { address: '127.0.0.1', portValue: port } } };
  const config = ClusterMessage.parse({
    name,
    type: 'STATIC',
    loadAssignment: { clusterName: name, endpoints: [{ lbEndpoints: [{ endpoint }] }] },
  });
  return compileCluster(config, undefined, {
    tls: () => () => undefined,
    resolve: (host) => runtime.resolve(host),
    now: () => runtime.monotonicMs(),
    random: () => runtime.random(),
  });
}

const typed = (type: string, config: object = {}) => ({
  name: type,
  typedConfig: { '@type': `type.googleapis.com/${type}`, ...config },
});
const registry = filterRegistry([...HTTP_FILTERS, externalCheck, upperCase]);
const filters = compileHttpFilters(
  [
    typed('tulle.tests.ExternalCheck', { cluster: 'check', timeout: '1.5s', maxRequestBytes: 1000 }),
    typed('tulle.tests.UpperCase'),
    typed('envoy.extensions.filters.http.router.v3.Router'),
  ],
  {
    now: () => runtime.now(),
    random: () => runtime.random(),
    sleep: () => Promise.reject(new Error('no filter here sleeps')),
    call,
  },
  registry,
);
const table = compileRouteConfiguration(
  {
    name: 'r',
    virtualHosts: [
      { name: 'v', domains: ['*'], routes: [{ match: { prefix: '/' }, route: { cluster: 'app', timeout: '0s' } }] },
    ],
  },
  { env: runtime, filters: registry },
);

async function serve(openCodec?: OpenCodec) {
  const manager = new ConnectionManager({
    config: { statPrefix: 't' },
    routes: () => table,
    filters,
    clusters: { get: (name) => clusters.get(name) },
    runtime,
    observers: [
      {
        finished: ({ path, responseCode, flags, details }) =>
          void finished.push({ path, responseCode, flags, details }),
      },
    ],
    onInternalError: (error) => runtime.process.writeError(String(error)),
    draining: () => false,
    ...(openCodec ? { openCodec } : {}),
  });
  const { port } = await runtime.listen({ address: '127.0.0.1', port: 0 }, (connection) => {
    connections++;
    connection.gone = () => connections--;
    const { remoteAddress, remotePort, localAddress, localPort } = connection;
    manager.accept(connection, {
      ...{ remoteAddress, remotePort, localAddress, localPort },
      ...{ secure: false, serverName: '', peerUris: [], peerDns: [], peerSubject: '' },
    });
  });
  return { manager, port };
}

const served = [await serve(), await serve(openMultiStream)];
runtime.process.writeOut(JSON.stringify({ http1: served[0]!.port, multi: served[1]!.port }));
for await (const line of createInterface({ input: process.stdin })) {
  if (line === 'drain') for (const { manager } of served) manager.drain();
  const requests = served.reduce((sum, { manager }) => sum + manager.activeRequests, 0);
  runtime.process.writeOut(
    JSON.stringify({ rss: runtime.process.residentBytes(), connections, requests, finished: finished.splice(0) }),
  );
}
process.exit(0);
