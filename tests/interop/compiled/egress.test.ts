/**
 * Istio resources that send traffic out of the mesh, compiled, in a real Envoy and in Tulle on three runtimes: from a sidecar by
 * mTLS to an egress gateway, which begins TLS with files or a credential; TCP in a tunnel through a forward proxy; the PROXY
 * protocol; and a gateway on a unix socket.
 */
import { writeFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import net from 'node:net';
import { join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { RUNTIMES, temporaryFolder } from '../../kit/environment.ts';
import { ENVOY, envoyErrors, startEnvoy } from '../../kit/envoy.ts';
import { freePorts } from '../../kit/ports.ts';
import { type RunningProxy, startTulle } from '../../kit/proxy.ts';
import { closeServers, listening } from '../../kit/upstream.ts';
import { leaf, pem, rootAuthority, x509 } from '../../mtls/certificates.ts';
import { exchange } from '../harness/raw-client.ts';
import { authorityIn, type SvidFiles, svidFiles } from '../tls/svids.ts';
import { bootstrapOf, compile } from './compiled.ts';

/** Of its own: service ports are fixed, and other meshes on this machine bind them on 127.0.0.1. */
const BIND = `127.${28 + (process.pid % 2)}.${Math.floor(Math.random() * 250)}.2`;

const resource = (kind: string, name: string, spec: object) => ({
  apiVersion: 'networking.istio.io/v1',
  kind,
  metadata: { name, namespace: 'default' },
  spec,
});
const outside = (name: string, host: string, ports: object[], targets: Record<string, number>) =>
  resource('ServiceEntry', name, {
    hosts: [host],
    location: 'MESH_EXTERNAL',
    resolution: 'STATIC',
    ports,
    endpoints: [{ address: '127.0.0.1', ports: targets }],
  });
const rule = (name: string, host: string, trafficPolicy: object, more: object = {}) =>
  resource('DestinationRule', name, { host, trafficPolicy, ...more });

/** Only the gateway has the credential and the files. */
const AT_GATEWAY = { workloadSelector: { matchLabels: { app: 'egress' } } };

interface Places {
  /** An HTTPS server that asks for client certificates, and one that asks for none. */
  readonly mutual: number;
  readonly simple: number;
  /** A forward proxy, what its tunnels lead to, and a server that reads PROXY headers. */
  readonly forward: number;
  readonly announced: number;
  /** Where the gateway listens. */
  readonly gateway: number;
  readonly socket: string;
  readonly roots: string;
}

const TCP_PORT = 7443;
const GATEWAY = 'egress.default.svc.cluster.local';
/** Through the gateway: host, and the policy with which it is reached at port 443. */
const HOSTS = (places: Places): Record<string, object> => ({
  'credential.test': { mode: 'MUTUAL', credentialName: 'client' },
  'files.test': { mode: 'SIMPLE', caCertificates: places.roots },
  'named.test': { mode: 'SIMPLE', caCertificates: places.roots, sni: 'files.test', subjectAltNames: ['files.test'] },
  'stranger.test': { mode: 'SIMPLE', caCertificates: places.roots },
  'wrong.test': { mode: 'SIMPLE', caCertificates: places.roots, sni: 'files.test', subjectAltNames: ['other.test'] },
});

function resources(places: Places, secret: object): object[] {
  const hosts = Object.entries(HOSTS(places));
  return [
    secret,
    resource('ServiceEntry', 'egress', {
      hosts: [GATEWAY],
      location: 'MESH_INTERNAL',
      resolution: 'STATIC',
      ports: [{ number: 8443, name: 'https', protocol: 'HTTPS' }],
      endpoints: [{ address: '127.0.0.1', ports: { https: places.gateway }, serviceAccount: 'egress' }],
    }),
    resource('Gateway', 'egress', {
      selector: { app: 'egress' },
      servers: [
        {
          port: { number: places.gateway, name: 'https', protocol: 'HTTPS' },
          hosts: ['*'],
          tls: { mode: 'ISTIO_MUTUAL' },
        },
        { port: { number: 8089, name: 'local', protocol: 'HTTP' }, hosts: ['*'], bind: `unix://${places.socket}` },
      ],
    }),
    ...hosts.flatMap(([host, tls], i) => [
      outside(
        `h${i}`,
        host,
        [
          { number: 80, name: 'http', protocol: 'HTTP' },
          { number: 443, name: 'https', protocol: 'HTTPS' },
        ],
        { https: host === 'credential.test' ? places.mutual : places.simple },
      ),
      rule(`h${i}`, host, { portLevelSettings: [{ port: { number: 443 }, tls }] }, AT_GATEWAY),
      resource('VirtualService', `h${i}`, {
        hosts: [host],
        gateways: ['mesh', 'egress'],
        http: [
          {
            match: [{ gateways: ['mesh'], port: 80 }],
            route: [{ destination: { host: GATEWAY, subset: 'out', port: { number: 8443 } } }],
          },
          {
            match: [{ gateways: ['egress'] }],
            headers: { request: { set: { 'x-left-by': 'egress' } } },
            route: [{ destination: { host, port: { number: 443 } } }],
          },
        ],
      }),
    ]),
    rule(
      'egress',
      GATEWAY,
      {},
      {
        subsets: [{ name: 'out', trafficPolicy: { tls: { mode: 'ISTIO_MUTUAL', sni: 'out.test' } } }],
        trafficPolicy: undefined,
      },
    ),
    // TCP that leaves through a forward proxy.
    outside('far', 'far.test', [{ number: TCP_PORT, name: 'tcp', protocol: 'TCP' }], { tcp: 1 }),
    outside('forward', 'forward.test', [{ number: 3128, name: 'tcp', protocol: 'TCP' }], { tcp: places.forward }),
    rule(
      'forward',
      'forward.test',
      {},
      {
        trafficPolicy: undefined,
        subsets: [
          { name: 'far', trafficPolicy: { tunnel: { targetHost: 'far.test', targetPort: 443 } } },
          { name: 'post', trafficPolicy: { tunnel: { protocol: 'POST', targetHost: 'far.test', targetPort: 443 } } },
        ],
      },
    ),
    outside('posted', 'posted.test', [{ number: TCP_PORT + 1, name: 'tcp', protocol: 'TCP' }], { tcp: 1 }),
    ...[
      ['far', TCP_PORT],
      ['posted', TCP_PORT + 1],
    ].map(([name, port]) =>
      resource('VirtualService', `to-${name}`, {
        hosts: [`${name}.test`],
        tcp: [
          {
            match: [{ port }],
            route: [
              {
                destination: { host: 'forward.test', port: { number: 3128 }, subset: name === 'far' ? 'far' : 'post' },
              },
            ],
          },
        ],
      }),
    ),
    outside('announced', 'announced.test', [{ number: TCP_PORT + 2, name: 'tcp', protocol: 'TCP' }], {
      tcp: places.announced,
    }),
    rule('announced', 'announced.test', { proxyProtocol: { version: 'V1' } }),
  ];
}

const node = (type: string, app: string, more: object = {}) => ({
  // Not the address of the servers: what a proxy's own host serves, it does not call through an address of its own.
  id: `${type}~127.0.0.8~${app}.default~default.svc.cluster.local`,
  cluster: `${app}.default`,
  metadata: { NAMESPACE: 'default', SERVICE_ACCOUNT: app, LABELS: { app }, INTERCEPTION_MODE: 'NONE', ...more },
});

/** Envoy cannot open the standard output that this process gives it, which is a socket. */
const withoutOutput = <T extends object>(bootstrap: T): T =>
  JSON.parse(JSON.stringify(bootstrap).replaceAll('/dev/stdout', '/dev/null')) as T;

/** What a server outside saw of a request. */
function witness(request: http.IncomingMessage, response: http.ServerResponse): void {
  const socket = request.socket as TLSSocket;
  const { subjectaltname = '' } = socket.getPeerCertificate();
  const { host, 'x-left-by': left } = request.headers;
  const { servername: sni } = socket as unknown as { servername: string | false };
  response.end(JSON.stringify({ host, path: request.url, left, sni, client: subjectaltname }));
}

/** Tunnels to a server that shouts; what was asked of it. */
function forwardProxy(asked: string[]): http.Server {
  const server = http.createServer((request, response) => {
    asked.push(`${request.method} ${request.url} ${request.headers.host}`);
    response.writeHead(200);
    response.flushHeaders();
    request.on('data', (bytes: Buffer) => response.write(bytes.toString('latin1').toUpperCase()));
    request.on('end', () => response.end());
  });
  server.on('connect', (request, client) => {
    asked.push(`${request.method} ${request.url} ${request.headers.host}`);
    client.on('error', () => {});
    client.write('HTTP/1.1 200 OK\r\n\r\n');
    client.on('data', (bytes: Buffer) => client.write(bytes.toString('latin1').toUpperCase()));
  });
  return server;
}

/** The first bytes that come back for some, with the client's port as PORT. */
function firstAnswer(host: string, port: number, text: string): Promise<string> {
  return new Promise((done, fail) => {
    const socket = net.connect(port, host, () => socket.write(text));
    const timer = setTimeout(() => fail(new Error(`nothing came back from ${host}:${port}`)), 20_000);
    const finish = (answer: string) => {
      clearTimeout(timer);
      const own = String(socket.localPort);
      socket.destroy();
      done(answer.replace(own, 'PORT').trim());
    };
    socket.on('data', (bytes) => finish(bytes.toString('latin1')));
    socket.on('error', () => finish('closed'));
    socket.on('close', () => finish('closed'));
  });
}

function overSocket(path: string, host: string): Promise<string> {
  return new Promise((done, fail) => {
    const request = http.get({ socketPath: path, path: '/local', headers: { host }, agent: false }, (response) => {
      let body = '';
      response.setEncoding('utf8');
      response.on('data', (text) => {
        body += text;
      });
      response.on('end', () => done(`${response.statusCode} ${body}`));
    });
    request.on('error', fail);
  });
}

describe.skipIf(!ENVOY)('traffic that leaves the mesh', () => {
  const folder = temporaryFolder();
  const servers: net.Server[] = [];
  const asked: string[] = [];
  const socket = join(folder.path, 'gw.sock');
  let sidecar: object;
  let gateway: object;
  let httpProxy: number;

  const serve = <T extends net.Server>(server: T): Promise<number> => {
    servers.push(server);
    return listening(server);
  };

  beforeAll(async () => {
    const authority = await authorityIn(join(folder.path, 'ca'));
    const front = await svidFiles(authority, folder.path, 'front');
    const egress = await svidFiles(authority, folder.path, 'egress');
    const root = await rootAuthority('outside');
    const dns = (...names: string[]) =>
      new x509.SubjectAlternativeNameExtension(names.map((value) => ({ type: 'dns' as const, value })));
    const server = await leaf(root, { uri: '', names: dns('credential.test', 'files.test') });
    const client = await leaf(root, { uri: '', names: dns('client.test') });
    const roots = join(folder.path, 'outside.pem');
    writeFileSync(roots, pem(root));
    const { cert, key } = server;
    const [gatewayPort, proxyPort] = await freePorts(2);
    httpProxy = proxyPort!;
    const announced = net.createServer((connection) => {
      connection.on('error', () => {});
      let received = '';
      connection.on('data', (bytes) => {
        received += bytes.toString('latin1');
        if (received.endsWith('hello')) connection.write(received);
      });
    });
    const places: Places = {
      mutual: await serve(
        https.createServer({ cert, key, ca: pem(root), requestCert: true, keepAliveTimeout: 0 }, witness),
      ),
      simple: await serve(https.createServer({ cert, key, keepAliveTimeout: 0 }, witness)),
      forward: await serve(forwardProxy(asked)),
      announced: await serve(announced),
      gateway: gatewayPort!,
      socket,
      roots,
    };
    const secret = {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 'client', namespace: 'default' },
      stringData: { 'tls.crt': client.cert, 'tls.key': client.key, 'ca.crt': pem(root) },
    };
    const file = join(folder.path, 'egress.yaml');
    const documents = JSON.parse(JSON.stringify(resources(places, secret))) as object[];
    writeFileSync(file, documents.map((one) => stringify(one)).join('---\n'));
    const bootstrap = (of: object, own: SvidFiles) => withoutOutput(bootstrapOf(compile([file], of, folder.path), own));
    sidecar = bootstrap(node('sidecar', 'front', { HTTP_PROXY_PORT: String(httpProxy), OUTBOUND_BIND: BIND }), front);
    gateway = bootstrap(node('router', 'egress'), egress);
  });
  afterAll(() => {
    closeServers(...servers);
    folder.dispose();
  });

  /** What comes of calls through a sidecar and a gateway that `start` runs. */
  async function outcomes(start: (bootstrap: object, name: string) => Promise<RunningProxy>) {
    const proxies = [await start(gateway, 'gateway')];
    try {
      proxies.push(await start(sidecar, 'sidecar'));
      const out: Record<string, unknown> = {};
      for (const host of ['credential.test', 'files.test', 'named.test', 'stranger.test', 'wrong.test']) {
        const bytes = `GET http://${host}/a?b HTTP/1.1\r\nHost: ${host}\r\n\r\n`;
        const { status, body } = (await exchange(httpProxy, bytes, ['GET'])).responses[0]!;
        out[host] = [status, status === 200 ? JSON.parse(body) : 'refused'];
      }
      asked.length = 0;
      out['far'] = await firstAnswer(BIND, TCP_PORT, 'hello');
      out['posted'] = await firstAnswer(BIND, TCP_PORT + 1, 'hello');
      out['asked'] = [...asked];
      out['announced'] = await firstAnswer(BIND, TCP_PORT + 2, 'hello');
      out['socket'] = [await overSocket(socket, 'files.test'), await overSocket(socket, 'unserved.test')];
      return out;
    } finally {
      // At once: a socket file stays, which the next proxy has to replace.
      await Promise.all(proxies.map((proxy) => proxy.stop('SIGKILL')));
    }
  }

  let expected: Record<string, unknown>;

  it('a real Envoy: valid, and it sends what is meant where it is meant', async () => {
    for (const [name, bootstrap] of Object.entries({ sidecar, gateway })) {
      const file = join(folder.path, `${name}.json`);
      writeFileSync(file, JSON.stringify(bootstrap));
      expect(envoyErrors(file), name).toBe('');
    }
    expected = await outcomes((bootstrap, name) => startEnvoy(bootstrap, folder.path, name));
    expect(expected['credential.test']).toEqual([
      200,
      { host: 'credential.test', path: '/a?b', left: 'egress', sni: 'credential.test', client: 'DNS:client.test' },
    ]);
  }, 120_000);

  it.each(RUNTIMES)(
    'Tulle on %s does the same',
    async (runtime) => {
      expect(await outcomes((bootstrap) => startTulle(runtime, bootstrap, folder.path))).toEqual(expected);
    },
    120_000,
  );
});
