/**
 * The labels by which Istio's service and workload dashboards ask: both ends of a call name both workloads, by metadata that
 * proxies exchange. An application and a client outside the mesh see nothing of it, and what they forge has no effect.
 */
import { connect, createServer, type Server } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RUNTIMES } from '../kit/environment.ts';
import { LoopbackMesh, type Workload } from '../kit/mesh.ts';
import { until } from '../kit/waiting.ts';
import { get, PRINCIPAL } from './shop-mesh.ts';

const ECHO = 'tests/e2e/echo.ts';
const METADATA = 'x-envoy-peer-metadata';
/** WORKLOAD_NAME: forged, NAMESPACE: default, LABELS: { app: forged }; as protobuf writes it. */
const FORGED = {
  [METADATA]:
    'CkoKBkxBQkVMUxJAKj4KDwoDYXBwEggaBmZvcmdlZAorCh9zZXJ2aWNlLmlzdGlvLmlvL2Nhbm9uaWNhbC1uYW1lEggaBmZvcmdlZAoWCglOQU1FU1BBQ0USCRoHZGVmYXVsdAoZCg1XT1JLTE9BRF9OQU1FEggaBmZvcmdlZA==',
  [`${METADATA}-id`]: 'sidecar~10.0.0.9~forged.default~default.svc.cluster.local',
};

const resources = (books: string) => `
apiVersion: v1
kind: ConfigMap
metadata: { name: istio, namespace: istio-system }
data:
  mesh: |
    accessLogFile: /dev/stdout
    accessLogEncoding: JSON
    accessLogFormat: '{"path": "%REQ(:PATH)%", "from": "%FILTER_STATE(downstream_peer:FIELD:workload)%", "to": "%FILTER_STATE(upstream_peer:FIELD:workload)%"}'
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: books }
spec:
  hosts: [books.default.svc.cluster.local]
  location: MESH_INTERNAL
  resolution: STATIC
  ports:
    - { number: 9080, name: http, protocol: HTTP }
    - { number: 7000, name: tcp-db, protocol: TCP }
  workloadSelector: { labels: { app: books } }
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: { name: books-v1 }
spec: { address: ${books}, serviceAccount: books, labels: { app: books, version: v1 } }
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: front }
spec:
  hosts: [front.default.svc.cluster.local]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{ number: 9081, name: http, protocol: HTTP }]
  workloadSelector: { labels: { app: front } }
---
# On loopback the kernel chooses 127.0.0.1 as the source of connections: it is the client's address.
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: { name: front-v2 }
spec: { address: 127.0.0.1, serviceAccount: front, labels: { app: front, version: v2 } }
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: { name: ingress }
spec:
  selector: { app: ingress }
  servers: [{ port: { number: 8080, name: http, protocol: HTTP }, hosts: ["*"] }]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: books }
spec:
  hosts: ["*"]
  gateways: [ingress]
  http: [{ route: [{ destination: { host: books.default.svc.cluster.local, port: { number: 9080 } } }] }]
`;

type Labels = Record<string, string>;

const FRONT: Labels = {
  source_workload: 'front-v2',
  source_workload_namespace: 'default',
  source_principal: `${PRINCIPAL}front`,
  source_app: 'front',
  source_version: 'v2',
  source_canonical_service: 'front',
  source_canonical_revision: 'v2',
  source_cluster: 'Kubernetes',
};
const UNKNOWN: Labels = Object.fromEntries(
  Object.keys(FRONT).map((name) => [name, name.endsWith('revision') ? 'latest' : 'unknown']),
);
const BOOKS: Labels = {
  destination_workload: 'books-v1',
  destination_workload_namespace: 'default',
  destination_principal: `${PRINCIPAL}books`,
  destination_app: 'books',
  destination_version: 'v1',
  destination_service: 'books.default.svc.cluster.local',
  destination_canonical_service: 'books',
  destination_canonical_revision: 'v1',
  // Istio's too: a service of a ServiceEntry is named by its host.
  destination_service_name: 'books.default.svc.cluster.local',
  destination_service_namespace: 'default',
  destination_cluster: 'Kubernetes',
};
const HTTP: Labels = { request_protocol: 'http', response_code: '200', grpc_response_status: '', response_flags: '-' };
const TCP: Labels = { request_protocol: 'tcp', response_flags: '-' };
const AT_SOURCE: Labels = { reporter: 'source', connection_security_policy: 'unknown' };
const AT_DESTINATION: Labels = { reporter: 'destination', connection_security_policy: 'mutual_tls' };

describe.each(RUNTIMES)('peer metadata of %s proxies', (runtime) => {
  const mesh = new LoopbackMesh();
  let books: Workload;
  let front: Workload;
  let ingress: Workload;
  let database: Server;

  /** The label sets of a metric that were counted. */
  const series = async (workload: Workload, metric: string): Promise<Labels[]> => {
    const { body } = await get({ host: '127.0.0.1', port: workload.adminPort, path: '/metrics' });
    return body
      .split('\n')
      .filter((line) => line.startsWith(`${metric}{`))
      .map((line) =>
        Object.fromEntries([...line.matchAll(/(\w+)="([^"]*)"/g)].map(([, name, value]) => [name!, value!])),
      );
  };
  const counts = (workload: Workload, metric: string, labels: Labels) =>
    until(
      `${metric} ${JSON.stringify(labels)}`,
      async () => {
        const found = await series(workload, metric);
        const same = found.find((one) => JSON.stringify(sorted(one)) === JSON.stringify(sorted(labels)));
        if (!same) throw new Error(`there is ${JSON.stringify(found, null, 1)}`);
        return true;
      },
      30_000,
    );
  const viaFront = (path: string, headers: Record<string, string> = {}) => {
    const host = 'books.default.svc.cluster.local:9080';
    return get({
      host: '127.0.0.1',
      port: front.httpProxyPort,
      path: `http://${host}${path}`,
      headers: { host, ...headers },
    });
  };
  /** @throws where the answer, or what the application saw, has the headers */
  const hidden = ({ headers, json }: Awaited<ReturnType<typeof get>>) => {
    const all = { ...headers, ...json<{ headers: object }>().headers };
    expect(Object.keys(all).filter((name) => name.startsWith(METADATA))).toEqual([]);
  };

  beforeAll(async () => {
    database = createServer((socket) => socket.on('error', () => {}).pipe(socket));
    await new Promise<void>((listening) => database.listen(0, '127.0.0.1', listening));
    const { port } = database.address() as { port: number };
    await mesh.startControl();
    const address = mesh.address();
    await mesh.apply(resources(address));
    const eager = ['--discovery', 'eager'];
    const of = (name: string, app: string, version: string) => ({
      name,
      serviceAccount: app,
      labels: { app, version },
      runtime,
    });
    [books, front, ingress] = await Promise.all([
      mesh.start(
        { ...of('books-v1', 'books', 'v1'), app: [ECHO, '{port}'], flags: ['--app-port', `tcp-db=${port}`, ...eager] },
        address,
      ),
      mesh.start({ ...of('front-v2', 'front', 'v2'), flags: eager }),
      mesh.start({ ...of('ingress', 'ingress', 'v3'), type: 'router' }),
    ]);
    await until('books answers', async () => (await viaFront('/')).status === 200);
  });
  afterAll(async () => {
    await mesh.stop();
    database?.close();
  });

  it('both ends of a request name both workloads, and the application sees none of it', async () => {
    const answer = await viaFront('/labels', FORGED);
    expect(answer.status).toBe(200);
    hidden(answer);
    for (const metric of ['istio_requests_total', 'istio_response_bytes_count'])
      await counts(front, metric, { ...FRONT, ...BOOKS, ...HTTP, ...AT_SOURCE });
    await counts(books, 'istio_requests_total', { ...FRONT, ...BOOKS, ...HTTP, ...AT_DESTINATION });
  });

  it('access logs name the peers', async () => {
    await viaFront('/logged');
    const entry = (workload: Workload) =>
      workload.proxy.line((line) => (line.includes('"path":"/logged"') ? (JSON.parse(line) as object) : undefined));
    expect(await entry(front)).toEqual({ path: '/logged', from: null, to: 'books-v1' });
    expect(await entry(books)).toEqual({ path: '/logged', from: 'front-v2', to: null });
  });

  it('both ends of a TCP connection name both workloads, by what discovery knows of them', async () => {
    const { body } = await get({ host: '127.0.0.1', port: front.adminPort, path: '/listeners' });
    const host = /(127\.[\d.]+):7000/.exec(body)?.[1];
    const socket = connect(7000, host!);
    const echoed = await new Promise<string>((resolve, reject) => {
      socket.on('error', reject).on('data', (bytes) => resolve(String(bytes)));
      socket.write('ping');
    });
    expect(echoed).toBe('ping');
    await counts(front, 'istio_tcp_connections_opened_total', { ...FRONT, ...BOOKS, ...TCP, ...AT_SOURCE });
    await counts(books, 'istio_tcp_connections_opened_total', { ...FRONT, ...BOOKS, ...TCP, ...AT_DESTINATION });
    socket.destroy();
  });

  it('a client of the gateway has no say: the gateway speaks for itself, and tells it nothing', async () => {
    const answer = await until('the gateway serves', async () => {
      const found = await get({ host: ingress.address, port: 8080, path: '/outside', headers: FORGED });
      return found.status === 200 && found;
    });
    hidden(answer);
    const own = Object.fromEntries(
      Object.entries(FRONT).map(([name, value]) => [
        name,
        value.replace('front-v2', 'ingress').replace('front', 'ingress').replace('v2', 'v3'),
      ]),
    );
    await counts(ingress, 'istio_requests_total', { ...own, ...BOOKS, ...HTTP, ...AT_SOURCE });
    await counts(books, 'istio_requests_total', { ...own, ...BOOKS, ...HTTP, ...AT_DESTINATION });
  });

  it('a client in plaintext has no say', async () => {
    const answer = await get({ host: books.address, port: 9080, path: '/plain', headers: FORGED });
    expect(answer.status).toBe(200);
    hidden(answer);
    const none = { ...AT_DESTINATION, connection_security_policy: 'none' };
    await counts(books, 'istio_requests_total', {
      ...UNKNOWN,
      ...BOOKS,
      ...HTTP,
      ...none,
      destination_principal: 'unknown',
    });
    const all = await Promise.all([books, front, ingress].map((one) => series(one, 'istio_requests_total')));
    expect(JSON.stringify(all)).not.toContain('forged');
  });
});

const sorted = (labels: Labels) => Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1));
