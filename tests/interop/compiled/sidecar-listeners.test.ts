/**
 * Listeners that Sidecars declare, and hosts that are looked up for each request, on hosts of their own: the same resources in a
 * real Envoy and in Tulle on each runtime, with the same outcome.
 */
import { writeFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import net from 'node:net';
import { join } from 'node:path';
import tls from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RuntimeName } from '../../../control/cli/runtimes.mjs';
import { compileNode } from '../../../control/compile/node/node.ts';
import { buildView } from '../../../control/mesh/build-view.ts';
import type { Resource } from '../../../shared/resources/resource.ts';
import { RUNTIMES, temporaryFolder } from '../../kit/environment.ts';
import { ENVOY, startEnvoy } from '../../kit/envoy.ts';
import { HOSTS, type TestHost, TestNetwork } from '../../kit/hosts.ts';
import { type RunningProxy, startTulle } from '../../kit/proxy.ts';
import { serverLeaf } from '../../mtls/certificates.ts';
import { bootstrapOf } from './compiled.ts';

type Engine = 'envoy' | RuntimeName;
const ENGINES: readonly Engine[] = [...(ENVOY ? (['envoy'] as const) : []), ...RUNTIMES];

const [WEB, DB, PROXY, TLS_INGRESS] = [8080, 5432, 3128, 8443];

const resource = (kind: string, name: string, spec: object, group = 'networking'): Resource => ({
  apiVersion: `${group}.istio.io/v1`,
  kind,
  metadata: { name, namespace: 'default' },
  spec,
});
const external = (host: string, number: number, protocol: string, address: string, at: number) =>
  resource('ServiceEntry', host, {
    hosts: [host],
    location: 'MESH_EXTERNAL',
    resolution: 'STATIC',
    ports: [{ number, name: 'port', protocol }],
    endpoints: [{ address, ports: { port: at } }],
  });
const workload = (app: string, address: string) =>
  resource('WorkloadEntry', app, { address, labels: { app }, serviceAccount: app });

interface Answer {
  readonly status: number;
  readonly body: string;
}

function ask(options: http.RequestOptions): Promise<Answer> {
  const { promise, resolve, reject } = Promise.withResolvers<Answer>();
  const client = options.protocol === 'https:' ? https : http;
  const request = client.get({ agent: false, ...options }, (response) => {
    let body = '';
    response.setEncoding('utf8');
    response.on('data', (text: string) => (body += text));
    response.on('end', () => resolve({ status: response.statusCode ?? 0, body }));
  });
  request.setTimeout(20_000, () => request.destroy(new Error('no answer')));
  request.on('error', reject);
  return promise;
}

/** All bytes that come until the connection ends; '' where it is refused or cut. */
function bytesFrom(socket: net.Socket, say = ''): Promise<string> {
  return new Promise((resolve) => {
    let got = '';
    socket.setEncoding('utf8');
    socket.on('data', (text: string) => (got += text));
    socket.on('error', () => {});
    socket.on('close', () => resolve(got));
    if (say !== '') socket.write(say);
  });
}

describe.skipIf(!HOSTS)('listeners of Sidecars, compiled', () => {
  const folder = temporaryFolder();
  const at = (name: string) => join(folder.path, name);
  const proxies: RunningProxy[] = [];
  const servers: net.Server[] = [];
  const hosts = new Map<Engine, TestHost>();
  let network: TestNetwork;
  let roots = '';
  const ports = { web: 0, gateway: 0, db: 0, tls: 0 };

  const serving = async (server: net.Server, path?: string): Promise<number> => {
    servers.push(server);
    await new Promise<void>((done) => (path ? server.listen(path, done) : server.listen(0, '0.0.0.0', done)));
    return path ? 0 : (server.address() as net.AddressInfo).port;
  };
  const web = (name: string) => http.createServer((request, answer) => answer.end(`${name} ${request.headers.host}`));

  function resourcesFor(engine: Engine, { address }: TestHost): Resource[] {
    const { address: far } = network;
    const front = { workloadSelector: { labels: { app: 'front' } } };
    const back = { workloadSelector: { labels: { app: 'back' } } };
    const gateway = { host: 'gateway.test', port: { number: 80 } };
    return [
      workload('front', address),
      external('web.test', WEB!, 'HTTP', far, ports.web),
      external('db.test', DB!, 'TCP', far, ports.db),
      external('gateway.test', 80, 'HTTP', far, ports.gateway),
      resource('ServiceEntry', 'dynamic', {
        hosts: ['*.dynamic.test'],
        location: 'MESH_EXTERNAL',
        resolution: 'DYNAMIC_DNS',
        ports: [
          { number: 8000, name: 'http', protocol: 'HTTP' },
          { number: ports.tls, name: 'tls', protocol: 'TLS' },
        ],
      }),
      resource('PeerAuthentication', 'front', { mtls: { mode: 'DISABLE' } }, 'security'),
      resource('Sidecar', 'front', {
        ...front,
        egress: [
          { port: { number: WEB, name: 'web', protocol: 'HTTP' }, bind: address, hosts: ['*/web.test'] },
          { port: { number: DB, name: 'db', protocol: 'TCP' }, bind: address, hosts: ['*/db.test'] },
          { port: { number: PROXY, name: 'proxy', protocol: 'HTTP_PROXY' }, bind: address, hosts: ['*/web.test'] },
          {
            port: { number: 0, name: 'socket', protocol: 'HTTP' },
            bind: `unix://${at(`${engine}.sock`)}`,
            hosts: ['*/web.test'],
          },
          { bind: address, hosts: ['*/*.dynamic.test'] },
        ],
        ingress: [
          {
            port: { number: TLS_INGRESS, name: 'https', protocol: 'HTTPS' },
            defaultEndpoint: `unix://${at('app.sock')}`,
            tls: { mode: 'SIMPLE', serverCertificate: at('cert.pem'), privateKey: at('key.pem') },
          },
        ],
      }),
      resource('Sidecar', 'back', {
        ...back,
        egress: [
          {
            port: { number: 0, name: 'socket', protocol: 'HTTP' },
            bind: `unix://${at(`${engine}-back.sock`)}`,
            hosts: ['*/web.test'],
          },
        ],
        outboundTrafficPolicy: { mode: 'ALLOW_ANY', egressProxy: gateway },
      }),
      {
        apiVersion: 'v1',
        kind: 'ConfigMap',
        metadata: { name: 'istio', namespace: 'istio-system' },
        data: { mesh: 'outboundTrafficPolicy: { mode: ALLOW_ANY_DYNAMIC_DNS }' },
      } as unknown as Resource,
    ];
  }

  /** What both workloads run, in one proxy. */
  function bootstrap(engine: Engine, host: TestHost) {
    const view = buildView(resourcesFor(engine, host), 1);
    const files = { cert: '', key: '', roots: '' } as Parameters<typeof bootstrapOf>[1];
    const [front, back] = ['front', 'back'].map((app) =>
      bootstrapOf(
        compileNode(view, {
          id: `sidecar~${app === 'front' ? host.address : '10.255.0.1'}~${app}.default~default.svc.cluster.local`,
          metadata: { NAMESPACE: 'default', INTERCEPTION_MODE: 'NONE', LABELS: { app } },
        }) as unknown as Parameters<typeof bootstrapOf>[0],
        files,
      ),
    );
    const named = (list: readonly unknown[]) => [
      ...new Map((list as { name: string }[]).map((item) => [item.name, item])).values(),
    ];
    const { listeners, clusters } = front!.staticResources;
    return {
      ...front!,
      admin: { address: { socketAddress: { address: host.address, portValue: 0 } } },
      staticResources: {
        listeners: named([...listeners, ...back!.staticResources.listeners]),
        clusters: named([...clusters, ...back!.staticResources.clusters]),
      },
    };
  }

  beforeAll(async () => {
    network = new TestNetwork();
    const own = await serverLeaf('P-256', ['front.test', 'secure.dynamic.test']);
    roots = own.cert;
    writeFileSync(at('cert.pem'), own.cert);
    writeFileSync(at('key.pem'), own.key);
    ports.web = await serving(web('web'));
    ports.gateway = await serving(web('gateway'));
    ports.db = await serving(net.createServer((socket) => socket.on('error', () => {}).end('db')));
    ports.tls = await serving(
      tls.createServer({ cert: own.cert, key: own.key }, (socket) => socket.on('error', () => {}).end('secure')),
    );
    await serving(web('app'), at('app.sock'));
    const { address } = network;
    const names = { 'far.test': address, 'one.dynamic.test': address, 'secure.dynamic.test': address };
    for (const engine of ENGINES) {
      const host = network.add(names);
      hosts.set(engine, host);
      const config = bootstrap(engine, host);
      proxies.push(
        engine === 'envoy'
          ? await startEnvoy(config, folder.path, 'envoy', host.run)
          : await startTulle(engine, config, folder.path, host.run),
      );
    }
  });
  afterAll(async () => {
    await Promise.all(proxies.map((proxy) => proxy.stop()));
    for (const server of servers) server.close();
    network.close();
    folder.dispose();
  });

  const addressOf = (engine: Engine) => hosts.get(engine)!.address;
  const http1 = (engine: Engine, port: number, host: string) =>
    ask({ host: addressOf(engine), port, headers: { host } });

  describe.each(ENGINES)('in %s', (engine) => {
    it('an egress listener has its port and address', async () => {
      expect(await http1(engine, WEB!, 'web.test')).toEqual({ status: 200, body: 'web web.test' });
    });

    it('an egress listener of TCP', async () => {
      expect(await bytesFrom(net.connect(DB!, addressOf(engine)))).toBe('db');
    });

    it('an egress listener on a Unix domain socket', async () => {
      const request = { socketPath: at(`${engine}.sock`), headers: { host: `web.test:${WEB}` } };
      expect(await ask(request)).toEqual({ status: 200, body: `web web.test:${WEB}` });
    });

    it('an unknown host is looked up with ALLOW_ANY_DYNAMIC_DNS', async () => {
      const host = `far.test:${ports.web}`;
      expect(await http1(engine, WEB!, host)).toEqual({ status: 200, body: `web ${host}` });
    });

    it('a wildcard of resolution DYNAMIC_DNS by Host', async () => {
      const host = `one.dynamic.test:${ports.web}`;
      expect(await http1(engine, 8000, host)).toEqual({ status: 200, body: `web ${host}` });
    });

    it('a wildcard of resolution DYNAMIC_DNS by SNI; another name goes nowhere', async () => {
      const dial = (servername: string) =>
        bytesFrom(tls.connect({ host: addressOf(engine), port: ports.tls, servername, ca: roots }));
      expect(await dial('secure.dynamic.test')).toBe('secure');
      expect(await dial('other.test')).toBe('');
    });

    it('TLS ends at an ingress listener, and plain text is not served', async () => {
      const to = { host: addressOf(engine), port: TLS_INGRESS! };
      const secured = {
        ...to,
        protocol: 'https:',
        servername: 'front.test',
        ca: roots,
        headers: { host: 'front.test' },
      };
      expect(await ask(secured)).toEqual({ status: 200, body: 'app front.test' });
      expect(await bytesFrom(net.connect(to.port, to.host), 'GET / HTTP/1.1\r\nhost: a\r\n\r\n')).toBe('');
    });

    it('an unknown host goes to the egress proxy', async () => {
      const answer = await ask({ socketPath: at(`${engine}-back.sock`), headers: { host: 'unknown.test' } });
      expect(answer).toEqual({ status: 200, body: 'gateway unknown.test' });
    });

    it('HTTP_PROXY takes absolute targets', async () => {
      const target = `http://web.test:${WEB}/`;
      const answer = await ask({
        host: addressOf(engine),
        port: PROXY!,
        path: target,
        headers: { host: `web.test:${WEB}` },
      });
      expect(answer).toEqual({ status: 200, body: `web web.test:${WEB}` });
    });
  });
});
