/** The HTTP proxy that `tulle run` gives an application: who may use it, and what its clients reach through it. */
import http from 'node:http';
import http2 from 'node:http2';
import net from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { nodeBinary, type RuntimeName } from '../../control/cli/runtimes.mjs';
import { ROOT, RUNTIMES } from '../kit/environment.ts';
import { LoopbackMesh } from '../kit/mesh.ts';
import { freePorts } from '../kit/ports.ts';
import { type Program, run as runToEnd, works } from '../kit/process.ts';
import { meshService, peerAuthentication, port, virtualService, workloadEntry, yaml } from '../kit/resources.ts';
import { until } from '../kit/waiting.ts';
import { type Answer, get } from './shop-mesh.ts';

/** Of each start, milliseconds. */
const LIMIT_MS = 180_000;
const CURL = works('curl');
const PYTHON = works('python3');
if (!CURL) console.warn('skipped in part: curl is not installed');
if (!PYTHON) console.warn('skipped in part: python3 is not installed');

/** Writes its environment, and stays. */
const APP = `
process.on('SIGTERM', () => process.exit(0));
setInterval(() => {}, 1000);
console.log('app: ' + process.env.http_proxy);
`;

const NODE_FETCH = `fetch(process.argv[1]).then(async (answer) => console.log(answer.status + ' ' + await answer.text()), (error) => console.log(error.cause ?? error));`;
const PYTHON_GET = `
import sys, urllib.request, urllib.error
try:
  with urllib.request.urlopen(sys.argv[1]) as answer: print(answer.status, answer.read().decode())
except urllib.error.HTTPError as error: print(error.code, error.read().decode())
`;

/** 4 MiB in which each line differs. */
const LARGE = Array.from({ length: 1 << 18 }, (_, i) => String(i).padStart(16)).join('');

/** Real clients, each with the proxy in its environment. */
const CLIENTS: Readonly<Record<string, (url: string) => string[]>> = {
  'fetch of Node': (url) => [nodeBinary(), '-e', NODE_FETCH, url],
  ...(CURL && {
    curl: (url: string) => ['curl', '-sS', '-w', ' %{http_code}', url],
    'curl with a tunnel': (url: string) => ['curl', '-sS', '--proxytunnel', '-w', ' %{http_code}', url],
  }),
  ...(PYTHON && { 'urllib of Python': (url: string) => ['python3', '-c', PYTHON_GET, url] }),
};

interface Seen {
  readonly headers: http.IncomingHttpHeaders;
}

describe.each(RUNTIMES)('the HTTP proxy on %s', (runtime: RuntimeName) => {
  const mesh = new LoopbackMesh();
  /** Not of the mesh; `localhost` is a host name that every system resolves. */
  const seen: Seen[] = [];
  const outside = http.createServer((request, answer) => {
    seen.push(request);
    answer.end(`outside ${request.headers.host}${request.url}`);
  });
  const tcp = net.createServer((socket) =>
    socket.on('error', () => {}).on('data', (bytes) => socket.write(`echo ${bytes}`)),
  );
  let outsidePort = 0;
  let tcpPort = 0;
  let meshPort = 0;
  let redisPort = 0;
  let caller: Program;
  let proxy: URL;
  let adminPort = 0;

  const authorization = () => ({ 'proxy-authorization': `Basic ${btoa(`${proxy.username}:${proxy.password}`)}` });

  async function run(name: string, ip: string, flags: string[], app = APP): Promise<Program> {
    const command = [nodeBinary(), '--disable-warning=ExperimentalWarning', `${ROOT}/control/cli/main.ts`, 'run'];
    const from = ['--runtime', runtime, '--control-plane', mesh.url, '--trust-bundle', mesh.trustBundleFile];
    const own = ['--data', `${mesh.folder}/${name}`, '--service-account', name, '--labels', `app=${name}`, '--ip', ip];
    const words = [...command, ...from, ...own, '--drain-seconds', '1', ...flags, '--', nodeBinary(), '-e', app];
    return mesh.launch(name, words, { TULLE_JOIN_TOKEN: await mesh.joinToken(name) });
  }

  /** What a client prints that has the proxy in its environment. */
  async function client(words: readonly string[]): Promise<string> {
    const [program, ...args] = words;
    const proxied = { http_proxy: proxy.href, HTTP_PROXY: proxy.href, no_proxy: '', NO_PROXY: '' };
    const { out } = await runToEnd(program!, args, {
      env: { ...proxied, NODE_USE_ENV_PROXY: '1', NODE_NO_WARNINGS: '1' },
    });
    return out.trim();
  }

  const ask = (path: string, headers: Record<string, string>): Promise<Answer> =>
    get({ host: '127.0.0.1', port: Number(proxy.port), path, headers: { host: new URL(path).host, ...headers } });

  /** Opens a tunnel and sends `text` in it. @returns the status, and what came until `enough` matches or the end */
  function tunnel(
    authority: string,
    text: string,
    enough: RegExp,
    headers = authorization(),
  ): Promise<[number, string]> {
    return new Promise((resolve, reject) => {
      const request = http.request({
        host: '127.0.0.1',
        port: proxy.port,
        method: 'CONNECT',
        path: authority,
        headers,
        agent: false,
      });
      request.on('error', reject);
      const done = (status: number, stream: NodeJS.ReadWriteStream & { destroy(): void }, first: string) => {
        let received = first;
        const finish = () => {
          stream.destroy();
          resolve([status, received]);
        };
        stream.on('data', (bytes) => {
          received += bytes;
          if (enough.test(received)) finish();
        });
        stream.on('end', finish).on('close', finish).on('error', finish);
        if (text !== '') stream.write(text);
      };
      request.on('connect', (response, socket, head) => {
        if (response.statusCode === 200) done(200, socket, head.toString());
        else {
          socket.destroy();
          resolve([response.statusCode!, head.toString()]);
        }
      });
      request.on('response', (response) => {
        let body = '';
        response.on('data', (bytes) => (body += bytes)).on('end', () => resolve([response.statusCode!, body]));
      });
      request.end();
    });
  }

  const [ENVOY_TOTAL, ISTIO_TOTAL] = [
    /^envoy_http_downstream_rq_total\{.* (\d+)$/gm,
    /^istio_requests_total\{.* (\d+)$/gm,
  ];
  /** Requests of the calling sidecar that are over, by the metric of this name. */
  const finished = async (metric: RegExp) => {
    const { body } = await get({ host: '127.0.0.1', port: adminPort, path: '/metrics' });
    return [...body.matchAll(metric)].reduce((sum, [, count]) => sum + Number(count), 0);
  };

  beforeAll(async () => {
    await mesh.startControl();
    await new Promise<void>((ready) => outside.listen(0, 'localhost', ready));
    await new Promise<void>((ready) => tcp.listen(0, '127.0.0.1', ready));
    outsidePort = (outside.address() as net.AddressInfo).port;
    tcpPort = (tcp.address() as net.AddressInfo).port;
    [meshPort, redisPort, adminPort] = (await freePorts(3)) as [number, number, number];
    const ip = mesh.address();
    const hello = meshService('hello', [port(meshPort), port(redisPort, 'REDIS')]);
    const fixed = virtualService('hello', {
      hosts: ['hello'],
      http: [
        {
          match: [{ uri: { prefix: '/fixed' } }],
          directResponse: { status: 299, body: { string: 'by the route' } },
        },
        { route: [{ destination: { host: 'hello' } }] },
      ],
    });
    await mesh.apply(yaml(hello, workloadEntry('hello', ip), peerAuthentication('STRICT'), fixed));
    const app = `
      const large = Array.from({ length: 1 << 18 }, (_, i) => String(i).padStart(16)).join('');
      require('node:http').createServer((request, answer) => answer.end(request.url === '/large' ? large : 'hello ' + JSON.stringify(request.headers))).listen(${meshPort}, '127.0.0.1');
      require('node:net').createServer((socket) => socket.on('error', () => {}).on('data', (bytes) => socket.write('redis ' + bytes))).listen(${redisPort}, '127.0.0.1');
      ${APP}`;
    const server = await run('hello', ip, ['--admin-port', '0'], app);
    await server.line((line) => (line.startsWith('app: ') ? line : undefined), LIMIT_MS);
    caller = await run('caller', mesh.address(), ['--admin-port', String(adminPort), '--concurrency', '2']);
    proxy = new URL(await caller.line((line) => /^app: (.*)$/.exec(line)?.[1], LIMIT_MS));
    await until(
      'the mesh answers',
      async () => (await ask(`http://hello:${meshPort}/`, authorization())).status === 200,
    );
  }, 3 * LIMIT_MS);
  afterAll(async () => {
    outside.close();
    outside.closeAllConnections();
    tcp.close();
    await mesh.stop();
  }, 120_000);

  it('answers clients without its secret 407, and keeps the secret to itself', async () => {
    expect(proxy.username).toBe('tulle');
    expect(proxy.password).toMatch(/^[\w-]{43}$/);
    const url = `http://localhost:${outsidePort}/a`;
    const before = seen.length;
    for (const path of [url, `http://hello:${meshPort}/`, 'http://127.0.0.1:1/'])
      for (const headers of [{}, { 'proxy-authorization': `Basic ${btoa('tulle:guess')}` }])
        expect(await ask(path, headers as Record<string, string>)).toMatchObject({ status: 407 });
    expect((await tunnel(`localhost:${outsidePort}`, '', /x/, { 'proxy-authorization': 'Basic eA==' }))[0]).toBe(407);
    expect(seen).toHaveLength(before);
    expect((await ask(url, authorization())).status).toBe(200);
    expect(seen.at(-1)!.headers).not.toHaveProperty('proxy-authorization');
    expect((await ask(`http://hello:${meshPort}/`, authorization())).body).not.toContain('proxy-authorization');
    expect(caller.lines.filter((line) => line !== `app: ${proxy.href.replace(/\/$/, '')}`).join('\n')).not.toContain(
      proxy.password,
    );
    const dump = await get({ host: '127.0.0.1', port: adminPort, path: '/config_dump' });
    expect(dump.body).not.toContain(proxy.password);
  });

  it.each(Object.keys(CLIENTS))('serves %s: outside of the mesh and in it', async (name) => {
    const url = `http://localhost:${outsidePort}/b?c=d`;
    const inMesh = `http://hello:${meshPort}/`;
    expect(await client(CLIENTS[name]!(url))).toContain(`outside localhost:${outsidePort}/b?c=d`);
    expect(await client(CLIENTS[name]!(inMesh))).toMatch(/hello \{.*x-forwarded-client-cert|hello \{/);
    // A mesh host's routes are those of the mesh, in a tunnel too.
    expect(await client(CLIENTS[name]!(`${inMesh}fixed`))).toMatch(/299 by the route|by the route 299/);
  });

  it('opens tunnels to hosts outside of the mesh, and to TCP services in it', async () => {
    expect(await tunnel(`127.0.0.1:${tcpPort}`, 'ping', /echo ping/)).toEqual([200, 'echo ping']);
    expect(await tunnel(`localhost:${outsidePort}`, 'GET /t HTTP/1.1\r\nhost: h\r\n\r\n', /outside h\/t/)).toEqual([
      200,
      expect.stringContaining('outside h/t'),
    ]);
    // mTLS to a STRICT workload: only the sidecar can do that.
    expect(await tunnel(`hello:${redisPort}`, 'ping', /redis ping/)).toEqual([200, 'redis ping']);
    // Also those of earlier tunnels, which are over when both sides have closed.
    let last = -1;
    await until('nothing is under way', async () => last === (last = await finished(ENVOY_TOTAL)));
    const before = [await finished(ENVOY_TOTAL), await finished(ISTIO_TOTAL)];
    const text = `GET /1 HTTP/1.1\r\nhost: hello:${meshPort}\r\n\r\nGET /fixed HTTP/1.1\r\nhost: hello:${meshPort}\r\n\r\n`;
    const [status, received] = await tunnel(`hello.default.svc.cluster.local:${meshPort}`, text, /by the route/);
    expect([status, received.match(/HTTP\/1\.1 \d+/g)]).toEqual([200, ['HTTP/1.1 200', 'HTTP/1.1 299']]);
    // Each request in the tunnel is counted and logged; of the CONNECT, Envoy's statistics alone.
    await until('the tunnel is closed', async () => (await finished(ENVOY_TOTAL)) === before[0]! + 3);
    expect(await finished(ISTIO_TOTAL)).toBe(before[1]! + 2);
  });

  it('serves HTTP/2 in a tunnel, as gRPC clients open it that follow http_proxy', async () => {
    const socket = await new Promise<net.Socket>((resolve, reject) =>
      http
        .request({
          ...{ host: '127.0.0.1', port: proxy.port, method: 'CONNECT', path: `hello:${meshPort}` },
          ...{ headers: authorization(), agent: false },
        })
        .on('connect', (_, opened) => resolve(opened as net.Socket))
        .on('error', reject)
        .end(),
    );
    const session = http2.connect(`http://hello:${meshPort}`, { createConnection: () => socket });
    const body = async (path: string) => {
      const stream = session.request({ ':path': path }).setEncoding('utf8');
      let text = '';
      for await (const part of stream) text += part;
      return text;
    };
    try {
      const bodies = await Promise.all([body('/large'), body('/fixed'), body('/large'), body('/')]);
      expect([bodies[0] === LARGE, bodies[1], bodies[2] === LARGE]).toEqual([true, 'by the route', true]);
      expect(bodies[3]).toMatch(/^hello \{/);
    } finally {
      session.destroy();
    }
  });

  it('connects to no listener of its own process', async () => {
    const refused = async () =>
      Number(
        /connect_refused (\d+)/.exec(
          (await get({ host: '127.0.0.1', port: adminPort, path: '/stats/prometheus' })).body,
        )?.[1],
      );
    const before = await refused();
    for (const at of [adminPort, Number(proxy.port)])
      for (const host of ['127.0.0.1', 'localhost', '0.0.0.0', '[::ffff:127.0.0.1]', '127.1', '0x7f.1']) {
        const plain = await ask(`http://${host}:${at}/config_dump`, authorization()).catch(() => ({ status: 400 }));
        expect([400, 503], `${host}:${at}`).toContain(plain.status);
        const [status] = await tunnel(`${host}:${at}`, 'GET / HTTP/1.1\r\nhost: h\r\n\r\n', /HTTP/);
        expect([400, 503], `tunnel to ${host}:${at}`).toContain(status);
      }
    expect(await refused()).toBeGreaterThan(before);
  });

  it('refuses other hosts by name under REGISTRY_ONLY, plain and in tunnels', async () => {
    const only = `
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: { name: only }
spec: { outboundTrafficPolicy: { mode: REGISTRY_ONLY }, egress: [{ hosts: ["*/*"] }] }
`;
    await mesh.apply(only);
    const why = 'no service of the mesh has this host and port, and outboundTrafficPolicy is REGISTRY_ONLY';
    const plain = await until('the policy is in force', async () => {
      const answer = await ask(`http://localhost:${outsidePort}/`, authorization());
      return answer.status === 502 && answer;
    });
    expect(plain.body).toBe(`localhost:${outsidePort}: ${why}\n`);
    expect((await tunnel(`localhost:${outsidePort}`, '', /./))[0]).toBe(502);
    expect((await ask(`http://hello:${meshPort}/`, authorization())).status).toBe(200);
    expect(await tunnel(`hello:${redisPort}`, 'ping', /redis ping/)).toEqual([200, 'redis ping']);
    await mesh.remove(only);
    await until(
      'the policy is gone',
      async () => (await ask(`http://localhost:${outsidePort}/`, authorization())).status === 200,
    );
  });
});
