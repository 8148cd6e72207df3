/**
 * HTTP/2 and gRPC in a mesh of real processes: through two sidecars with mTLS and through a gateway, between clients and
 * applications of either version.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ROOT, RUNTIMES } from '../kit/environment.ts';
import { LoopbackMesh, type Workload } from '../kit/mesh.ts';
import { until } from '../kit/waiting.ts';
import { serverLeaf } from '../mtls/certificates.ts';
import { chat, exchange, get2, type Seen, tunnel1, tunnel2 } from './http2-clients.ts';
import { get, PRINCIPAL } from './shop-mesh.ts';

const HOST = (name: string) => `${name}.default.svc.cluster.local`;
const SERVICES = { greet: [9000, 'GRPC', 'h2c'], web: [9080, 'HTTP', 'http1'], any: [7000, '', 'both'] } as const;
type Name = keyof typeof SERVICES;

const service = (name: Name, address: string) => `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: ${name} }
spec:
  hosts: [${HOST(name)}]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{ number: ${SERVICES[name][0]}, name: http, protocol: "${SERVICES[name][1]}" }]
  workloadSelector: { labels: { app: ${name} } }
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: { name: ${name} }
spec: { address: ${address}, serviceAccount: ${name}, labels: { app: ${name} } }
`;
const LOGS = `
apiVersion: v1
kind: ConfigMap
metadata: { name: istio, namespace: istio-system }
data: { mesh: "{ accessLogFile: /dev/stdout }" }
`;
const UPGRADE = `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: web }
spec:
  host: ${HOST('web')}
  trafficPolicy: { connectionPool: { http: { h2UpgradePolicy: UPGRADE, http2KeepAlive: { interval: 10s, timeout: 5s } } } }
`;
const gateway = (port: number, tlsPort: number) => `
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: { name: edge }
spec:
  selector: { app: edge }
  servers:
  - { port: { number: ${port}, name: grpc, protocol: GRPC }, hosts: ["*"] }
  - { port: { number: ${tlsPort}, name: https, protocol: HTTPS }, hosts: ["*.test"], tls: { mode: SIMPLE, credentialName: edge } }
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: greet }
spec:
  hosts: [greet.test]
  gateways: [edge]
  http: [{ route: [{ destination: { host: ${HOST('greet')} } }] }]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: web }
spec:
  hosts: [web.test]
  gateways: [edge]
  http: [{ route: [{ destination: { host: ${HOST('web')} } }] }]
`;
const EDGE = [8080, 8443] as const;

describe.each(RUNTIMES)('HTTP/2 in a mesh of %s proxies', (runtime) => {
  const mesh = new LoopbackMesh();
  let front: Workload;
  let edge: Workload;
  const authority = (name: Name) => `${HOST(name)}:${SERVICES[name][0]}`;
  const url = (name: Name) => `http://${front.outboundAddress}:${SERVICES[name][0]}`;
  /** Over HTTP/2 through the sidecar of the client. */
  const ask2 = async (name: Name, path = '/'): Promise<Seen> => {
    const { status, body } = await get2(url(name), authority(name), path);
    if (status !== 200) throw new Error(`${status} ${body}`);
    return JSON.parse(body);
  };
  /** Over HTTP/1.1. */
  const ask1 = async (name: Name, path = '/'): Promise<Seen> => {
    const call = { host: front.outboundAddress, port: SERVICES[name][0], path, headers: { host: authority(name) } };
    const answer = await get(call);
    if (answer.status !== 200) throw new Error(`${answer.status} ${answer.body}`);
    return answer.json() as unknown as Seen;
  };
  /** The version in which a request reached the sidecar of the service, by its access log. */
  const hop = async (name: Name, path: string): Promise<string> => {
    const { proxy } = mesh.workloads.get(name)!;
    const logged = new RegExp(`"GET ${path} (HTTP/[\\d.]+)"`);
    await until(`${name} logs ${path}`, () => proxy.lines.some((line) => logged.test(line)));
    return proxy.lines.map((line) => logged.exec(line)?.[1]).find((version) => version !== undefined)!;
  };

  beforeAll(async () => {
    await mesh.startControl();
    await mesh.apply(LOGS);
    const start = (name: string, type: 'sidecar' | 'router', app?: readonly string[], address?: string) =>
      mesh.start({ name, type, serviceAccount: name, labels: { app: name }, runtime, ...(app && { app }) }, address);
    for (const name of Object.keys(SERVICES) as Name[]) {
      const address = mesh.address();
      await mesh.apply(service(name, address));
      await start(name, 'sidecar', [`${ROOT}/tests/e2e/http2-echo.ts`, SERVICES[name][2], '{port}'], address);
    }
    const { cert, key } = await serverLeaf('P-256', ['web.test', 'greet.test']);
    const secret = { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'edge', namespace: 'default' } };
    await mesh.api.call('POST', '/api/v1/namespaces/default/secrets', { ...secret, stringData: { cert, key } });
    await mesh.apply(gateway(...EDGE));
    front = await start('front', 'sidecar');
    edge = await start('edge', 'router');
    for (const name of Object.keys(SERVICES) as Name[])
      await until(`${name} answers`, () =>
        ask2(name).then(
          () => true,
          () => false,
        ),
      );
  });
  afterAll(() => mesh.stop());

  it('gRPC streams pass two sidecars both ways, message by message, with trailers and the identity of the client', async () => {
    const answer = await chat(url('greet'), authority('greet'), ['one', 'two', 'three']);
    expect(answer).toMatchObject({ contentType: 'application/grpc', messages: ['one', 'two', 'three'] });
    expect(answer.trailers['grpc-status']).toBe('0');
    expect(answer.trailers['x-peer']).toContain(`URI=${PRINCIPAL}front`);
    const log = mesh.workloads.get('greet')!.proxy;
    await until('greet logs the call', () =>
      log.lines.some((line) => line.includes('"POST /greet.Greeter/Chat HTTP/2"')),
    );
  });

  it('a large gRPC message passes windows on every hop', async () => {
    const message = 'x'.repeat(3 * 1024 * 1024);
    const { messages } = await chat(url('greet'), authority('greet'), [message]);
    expect(messages[0]!.length).toBe(message.length);
  });

  it('a client of HTTP/1.1 calls a service of HTTP/2, and the reverse', async () => {
    expect(await ask1('greet')).toMatchObject({ version: '2.0', headers: { ':authority': authority('greet') } });
    expect(await ask2('web', '/plain')).toMatchObject({ version: '1.1', headers: { host: authority('web') } });
    expect(await hop('web', '/plain')).toBe('HTTP/1.1');
  });

  it('where nothing is declared each client is served in its version, and what is no HTTP is passed on', async () => {
    expect((await ask1('any', '/one')).version).toBe('1.1');
    expect((await ask2('any', '/two')).version).toBe('2.0');
    expect([await hop('any', '/one'), await hop('any', '/two')]).toEqual(['HTTP/1.1', 'HTTP/2']);
    expect(await exchange(front.outboundAddress, SERVICES.any[0], 'PING\n')).toBe('bytes:PING\n');
  });

  it('h2UpgradePolicy: calls of HTTP/1.1 cross the mesh as HTTP/2, and reach the application as it speaks', async () => {
    await mesh.apply(UPGRADE);
    let calls = 0;
    const upgraded = async () => {
      const path = `/upgraded-${++calls}`;
      expect((await ask1('web', path)).version).toBe('1.1');
      return (await hop('web', path)) === 'HTTP/2';
    };
    await until('calls are upgraded', upgraded);
  });

  it('WebSocket: from HTTP/1.1 and from HTTP/2 over an HTTP/2 hop to an application of HTTP/1.1', async () => {
    const headers = { host: authority('web') };
    const { outboundAddress: host } = front;
    expect(await tunnel1(host, SERVICES.web[0], '/socket', headers, 'hello')).toEqual([101, 'hello']);
    expect(await tunnel2(url('web'), authority('web'), 'hello')).toEqual([200, 'hello']);
    await mesh.remove(UPGRADE);
    await until('calls are not upgraded any more', async () => {
      const path = `/again-${Math.random()}`;
      await ask1('web', path);
      return (await hop('web', path)) === 'HTTP/1.1';
    });
    expect(await tunnel2(url('web'), authority('web'), 'hello')).toEqual([200, 'hello']);
  });

  describe('through a gateway', () => {
    const options = { rejectUnauthorized: false };
    const plain = () => `http://${edge.address}:${EDGE[0]}`;
    const secure = (host: string) => [`https://${edge.address}:${EDGE[1]}`, { ...options, servername: host }] as const;

    it('gRPC comes with prior knowledge and by ALPN', async () => {
      for (const [at, tls] of [[plain(), {}] as const, secure('greet.test')]) {
        const { messages, trailers } = await chat(at, 'greet.test', ['one', 'two'], tls);
        expect([messages, trailers['grpc-status']]).toEqual([['one', 'two'], '0']);
        expect(trailers['x-peer']).toContain(`URI=${PRINCIPAL}edge`);
      }
    });

    it('either version reaches an application of the other', async () => {
      const [at, tls] = secure('web.test');
      expect(JSON.parse((await get2(at, 'web.test', '/', tls)).body)).toMatchObject({ version: '1.1' });
      const call = { host: edge.address, port: EDGE[0], path: '/', headers: { host: 'greet.test' } };
      expect((await get(call)).json()).toMatchObject({ version: '2.0' });
    });

    it('WebSocket over HTTP/2 reaches an application of HTTP/1.1', async () => {
      const [at, tls] = secure('web.test');
      expect(await tunnel2(at, 'web.test', 'hello', tls)).toEqual([200, 'hello']);
    });
  });
});
