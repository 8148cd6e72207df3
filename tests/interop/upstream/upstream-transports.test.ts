/**
 * What connections to upstreams begin with, and go through, beside a real Envoy: the PROXY protocol to haproxy and nginx, TCP
 * in HTTP tunnels through Envoy, Tulle and node:http, and the budgets and errors that only a cluster's own options name.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import { join } from 'node:path';
import tls from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RUNTIMES, temporaryFolder } from '../../kit/environment.ts';
import { ENVOY, envoyErrors, startEnvoy } from '../../kit/envoy.ts';
import { closedPort, freePorts } from '../../kit/ports.ts';
import { Program, works } from '../../kit/process.ts';
import { type RunningProxy, startTulle } from '../../kit/proxy.ts';
import { closeServers, listening } from '../../kit/upstream.ts';
import { until } from '../../kit/waiting.ts';
import { exchange } from '../harness/raw-client.ts';
import { any, listener, manager, staticCluster } from '../shared-file/bootstrap.ts';
import { authorityIn, svidFiles } from '../tls/svids.ts';

const HTTP_OPTIONS = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions';
const protocol = (options: object) => ({
  typed_extension_protocol_options: { [HTTP_OPTIONS]: any('upstreams.http.v3.HttpProtocolOptions', options) },
});
const H1 = protocol({ explicit_http_config: { http_protocol_options: {} } });
const H2 = protocol({ explicit_http_config: { http2_protocol_options: {} } });
const RAW = { name: 'raw', typed_config: any('transport_sockets.raw_buffer.v3.RawBuffer', {}) };
const TLS = {
  name: 'tls',
  typed_config: any('transport_sockets.tls.v3.UpstreamTlsContext', {
    common_tls_context: { validation_context: {} },
    sni: 'a.test',
  }),
};
const proxied = (version: 'V1' | 'V2', inner: object = RAW) => ({
  transport_socket: {
    name: 'envoy.transport_sockets.upstream_proxy_protocol',
    typed_config: any('transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport', {
      config: { version },
      transport_socket: inner,
    }),
  },
});
const tcpListener = (name: string, cluster: string, tunneling?: object) => ({
  name,
  address: { socket_address: { address: '127.0.0.1', port_value: 0 } },
  filter_chains: [
    {
      filters: [
        {
          name: 'tcp',
          typed_config: any('filters.network.tcp_proxy.v3.TcpProxy', {
            stat_prefix: name,
            cluster,
            ...(tunneling && { tunneling_config: tunneling }),
          }),
        },
      ],
    },
  ],
});
const httpListener = (name: string, cluster: string, more: object = {}) =>
  listener(
    name,
    manager([], [], {}, [{ name, domains: ['*'], routes: [{ match: { prefix: '/' }, route: { cluster, ...more } }] }]),
  );
const bootstrap = (listeners: object[], clusters: object[]) => ({
  node: { id: 'transports', cluster: 'transports' },
  admin: { address: { socket_address: { address: '127.0.0.1', port_value: 0 } } },
  static_resources: { listeners, clusters },
});

/** What a peer behind tunnels serves, and where its tunnels lead. */
function tunnelPeer(target: number) {
  const open = (more: object) => ({
    cluster: 'target',
    upgrade_configs: [{ upgrade_type: 'CONNECT', connect_config: more }],
  });
  const routes = [{ match: { connect_matcher: {} }, route: open({}) }];
  const hosts = [{ name: 'far', domains: ['far.test:443'], routes }];
  const more = { upgrade_configs: [{ upgrade_type: 'CONNECT' }], http2_protocol_options: { allow_connect: true } };
  return bootstrap([listener('in', manager([], [], more, hosts))], [staticCluster('target', target)]);
}

/** Answers POST with what it is sent, and CONNECT with a connection to `target`. */
async function nodePeer(target: number): Promise<{ server: http.Server; port: number; seen: string[] }> {
  const seen: string[] = [];
  const server = http.createServer((request, response) => {
    seen.push(`${request.method} ${request.url} ${request.headers.host}`);
    const socket = net.connect({ port: target, host: '127.0.0.1', allowHalfOpen: true });
    response.writeHead(200);
    response.flushHeaders();
    request.pipe(socket).pipe(response);
    socket.on('error', () => response.destroy());
  });
  server.on('connect', (request, client, head) => {
    seen.push(`${request.method} ${request.url} ${request.headers.host}`);
    if (request.url !== 'far.test:443') {
      client.end('HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n');
      return;
    }
    const socket = net.connect({ port: target, host: '127.0.0.1', allowHalfOpen: true }, () => {
      client.write('HTTP/1.1 200 OK\r\n\r\n');
      socket.write(head);
      client.pipe(socket).pipe(client);
    });
    for (const each of [client, socket]) each.on('error', () => [client, socket].map((one) => one.destroy()));
  });
  return { server, port: await listening(server), seen };
}

/** Sends bytes back in upper case; ends when the client has. */
const shouting = () =>
  net.createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => {});
    socket.on('data', (bytes) => socket.write(bytes.toString('latin1').toUpperCase(), 'latin1'));
    socket.on('end', () => socket.end());
  });

/** As many bytes as `text` has come back for it; undefined: the connection ended before. Its client does not half-close. */
function through(port: number, text: string): Promise<string | undefined> {
  return new Promise((done, fail) => {
    const socket = net.connect(port, '127.0.0.1');
    let received = '';
    const timer = setTimeout(() => fail(new Error(`after 20 s ${received.length} bytes came back`)), 20_000);
    const finish = (answer: string | undefined) => {
      clearTimeout(timer);
      socket.destroy();
      done(answer);
    };
    socket.setEncoding('latin1');
    socket.on('connect', () => socket.write(text, 'latin1'));
    socket.on('data', (some) => {
      received += some;
      if (received.length >= text.length) finish(received);
    });
    socket.on('error', () => {});
    socket.on('close', () => finish(undefined));
  });
}

/** All that comes back to a client that ends its side behind `text`. */
function halfClosed(port: number, text: string): Promise<string> {
  return new Promise((done) => {
    const socket = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true }, () => socket.end(text));
    let received = '';
    const finish = (end: string) => {
      socket.destroy();
      done(received + end);
    };
    socket.on('data', (bytes) => {
      received += bytes.toString('latin1');
    });
    socket.on('end', () => finish(''));
    socket.on('error', (error) => finish(` ${error.message}`));
    socket.on('close', () => finish(' closed'));
  });
}

/** A server that answers requests with the PROXY header before them and who connected, over TLS if asked. */
function announcing(secure?: { key: string; cert: string }): net.Server {
  const answer = (preface: string) => `HTTP/1.1 200 OK\r\ncontent-length: ${preface.length}\r\n\r\n${preface}`;
  const serve = (socket: net.Socket, preface: string) => {
    socket.on('error', () => {});
    socket.on('data', (bytes) => {
      // Requests come whole; the bytes of a TCP client too.
      socket.write(bytes.includes('HTTP/1.1') ? answer(preface) : preface);
    });
  };
  const server = secure && tls.createServer(secure);
  return net.createServer((socket) => {
    socket.on('error', () => {});
    socket.once('readable', () => {
      const bytes = socket.read() as Buffer | null;
      if (bytes === null) return;
      const end = bytes[0] === 0x0d ? 16 + bytes.readUInt16BE(14) : bytes.indexOf('\r\n') + 2;
      const preface =
        bytes[0] === 0x0d ? bytes.subarray(12, end).toString('hex') : bytes.toString('latin1', 0, end - 2);
      if (bytes.length > end) socket.unshift(bytes.subarray(end));
      if (!server) {
        serve(socket, preface);
        return;
      }
      server.once('secureConnection', (inner) => serve(inner, preface));
      server.emit('connection', socket);
    });
  });
}

/** One request on a connection of its own. @returns the body, with the client's port as PORT and the listener's as LISTENER */
async function announced(port: number, requests = 1): Promise<string[]> {
  const socket = net.connect(port, '127.0.0.1');
  await new Promise((open) => socket.once('connect', open));
  const own = socket.localPort!;
  const bodies: string[] = [];
  let received = '';
  socket.setEncoding('latin1');
  socket.on('data', (text) => {
    received += text;
  });
  for (let i = 0; i < requests; i++) {
    received = '';
    socket.write('GET / HTTP/1.1\r\nHost: a.test\r\n\r\n');
    const body = await until('an answer', async () => {
      const [, length] = /content-length: (\d+)/i.exec(received) ?? [];
      const at = received.indexOf('\r\n\r\n') + 4;
      return length !== undefined && received.length >= at + Number(length) ? received.slice(at).trim() : undefined;
    });
    const hex = (value: number) => value.toString(16).padStart(4, '0');
    bodies.push(
      body
        .replaceAll(String(own), 'PORT')
        .replaceAll(String(port), 'LISTENER')
        .replace(`${hex(own)}${hex(port)}`, 'PORTS'),
    );
  }
  socket.destroy();
  return bodies;
}

const HAS_HAPROXY = works('haproxy', ['-v']);
const HAS_NGINX = works('nginx', ['-v']);
if (!HAS_HAPROXY) console.warn('skipped: haproxy is not installed');
if (!HAS_NGINX) console.warn('skipped: nginx is not installed');

describe.skipIf(!ENVOY)('connections to upstreams, beside a real Envoy', () => {
  const folder = temporaryFolder();
  const running: (Program | RunningProxy)[] = [];
  const servers: net.Server[] = [];
  let config: ReturnType<typeof bootstrap>;
  let envoy: RunningProxy;
  let tunnels: string[] = [];
  let seenByNode: string[] = [];
  let failures = 0;

  const serve = async <T extends net.Server>(server: T): Promise<number> => {
    servers.push(server);
    return listening(server);
  };
  const keep = <T extends Program | RunningProxy>(program: T): T => {
    running.push(program);
    return program;
  };

  beforeAll(async () => {
    const own = await svidFiles(await authorityIn(join(folder.path, 'ca')), folder.path, 'server');
    const secure = { key: readFileSync(own.key, 'utf8'), cert: readFileSync(own.cert, 'utf8') };
    const target = await serve(shouting());
    const [plain, overTls] = [await serve(announcing()), await serve(announcing(secure))];
    const node = await nodePeer(target);
    servers.push(node.server);
    seenByNode = node.seen;
    const envoyPeer = keep(await startEnvoy(tunnelPeer(target), folder.path, 'peer')).ports['in']!;
    const tullePeer = keep(await startTulle('node', tunnelPeer(target), folder.path)).ports['in']!;
    const [haproxy, nginx] = await freePorts(2);
    if (HAS_HAPROXY) {
      const file = join(folder.path, 'haproxy.cfg');
      writeFileSync(
        file,
        `defaults\n  mode http\n  timeout client 9s\n  timeout connect 9s\n  timeout server 9s\nfrontend f\n  bind 127.0.0.1:${haproxy} accept-proxy\n  http-request return status 200 content-type text/plain lf-string "%[src]:%[src_port] %[dst]:%[dst_port]"\n`,
      );
      keep(new Program('haproxy', ['haproxy', '-db', '-f', file]));
    }
    if (HAS_NGINX) {
      const file = join(folder.path, 'nginx.conf');
      writeFileSync(
        file,
        `daemon off; master_process off; pid ${folder.path}/nginx.pid; error_log stderr;\nevents {}\nhttp { access_log off; ${['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((one) => `${one}_temp_path ${folder.path}/${one};`).join(' ')}\nserver { listen 127.0.0.1:${nginx} proxy_protocol; location / { return 200 "$proxy_protocol_addr:$proxy_protocol_port $proxy_protocol_server_addr:$proxy_protocol_server_port"; } } }\n`,
      );
      keep(new Program('nginx', ['nginx', '-c', file, '-p', folder.path]));
    }
    const failing = http.createServer((request, response) => {
      failures++;
      response.writeHead(Number(request.url!.slice(1, 4)), { 'content-length': 0 }).end();
    });
    const fails = await serve(failing);
    const dead = await closedPort();

    const tunneled: [name: string, port: number, protocols: object[], tunneling: object][] = [
      ['envoy', envoyPeer, [H1, H2], { hostname: 'far.test:443' }],
      ['tulle', tullePeer, [H1, H2], { hostname: 'far.test:443' }],
      ['node', node.port, [H1], { hostname: 'far.test:443' }],
      ['post', node.port, [H1], { hostname: 'far.test:443', use_post: true }],
      ['path', node.port, [H1], { hostname: 'far.test:443', use_post: true, post_path: '/in?a' }],
      ['refused', envoyPeer, [H1, H2], { hostname: 'other.test:443' }],
      ['forbidden', node.port, [H1], { hostname: 'other.test:443' }],
      ['dead', dead, [H1], { hostname: 'far.test:443' }],
    ];
    const listeners: object[] = [];
    const clusters: object[] = [];
    for (const [name, port, protocols, tunneling] of tunneled)
      protocols.forEach((one) => {
        const id = `${name}-${one === H1 ? 'h1' : 'h2'}`;
        listeners.push(tcpListener(id, id, tunneling));
        clusters.push({ ...staticCluster(id, port), ...one });
      });
    tunnels = listeners.map((one) => (one as { name: string }).name);
    for (const version of ['V1', 'V2'] as const)
      for (const [name, port, inner] of [
        ['plain', plain, RAW],
        ['tls', overTls, TLS],
        ['haproxy', haproxy!, RAW],
        ['nginx', nginx!, RAW],
      ] as const) {
        const id = `${name}-${version}`;
        listeners.push(httpListener(id, id), tcpListener(`${id}-tcp`, id));
        clusters.push({ ...staticCluster(id, port), ...proxied(version, inner) });
      }
    const detect = (fields: object, ...codes: string[]) => {
      const matches = codes.map((exact) => ({
        http_response_headers_match: { headers: [{ name: ':status', string_match: { exact } }] },
      }));
      const error_matcher = matches.length === 1 ? matches[0] : { or_match: { rules: matches } };
      return {
        outlier_detection: {
          ...{ interval: '3600s', base_ejection_time: '3600s', max_ejection_percent: 100, enforcing_success_rate: 0 },
          ...fields,
        },
        common_lb_config: { healthy_panic_threshold: {} },
        ...protocol({ explicit_http_config: { http_protocol_options: {} }, outlier_detection: { error_matcher } }),
      };
    };
    const budget = (budget_interval?: string) => ({
      circuit_breakers: {
        thresholds: [
          {
            retry_budget: {
              budget_percent: { value: 20 },
              min_retry_concurrency: 0,
              ...(budget_interval && { budget_interval }),
            },
          },
        ],
      },
    });
    const retries = { retry_policy: { retry_on: '5xx', num_retries: 1, retry_back_off: { base_interval: '0.001s' } } };
    for (const [id, more, route] of [
      ['one', detect({ consecutive_5xx: 2 }, '404'), {}],
      ['several', detect({ consecutive_5xx: 2 }, '404', '429'), {}],
      [
        'gateway',
        detect(
          { consecutive_gateway_failure: 2, enforcing_consecutive_gateway_failure: 100, enforcing_consecutive_5xx: 0 },
          '503',
        ),
        {},
      ],
      [
        'gateway-other',
        detect(
          {
            consecutive_gateway_failure: 2,
            enforcing_consecutive_gateway_failure: 100,
            enforcing_consecutive_5xx: 0,
          },
          '404',
          '500',
        ),
        {},
      ],
      ['budget', budget(), retries],
      ['interval', budget('60s'), retries],
    ] as const) {
      listeners.push(httpListener(id, id, route));
      clusters.push({ ...staticCluster(id, fails), ...more });
    }
    config = bootstrap(listeners, clusters);
    const file = join(folder.path, 'shared.json');
    writeFileSync(file, JSON.stringify(config));
    expect(envoyErrors(file)).toBe('');
    envoy = keep(await startEnvoy(config, folder.path, 'shared'));
  });
  afterAll(async () => {
    await Promise.all(running.map((one) => one.stop()));
    closeServers(...servers);
    folder.dispose();
  });

  /** What comes back through each tunnel, and what node:http saw of its requests. */
  async function throughTunnels(ports: RunningProxy['ports']) {
    const out: Record<string, string | undefined> = {};
    const long = 'abc'.repeat(200_000);
    for (const name of tunnels) {
      seenByNode.length = 0;
      const answer = await through(ports[name]!, 'hello');
      out[name] = `${answer} ${seenByNode.join()}`;
      if (answer === 'HELLO') expect((await through(ports[name]!, long)) === long.toUpperCase(), name).toBe(true);
    }
    return out;
  }

  async function prefaces(ports: RunningProxy['ports']) {
    const out: Record<string, string[]> = {};
    for (const version of ['V1', 'V2'])
      for (const name of ['plain', 'tls', ...(HAS_HAPROXY ? ['haproxy'] : []), ...(HAS_NGINX ? ['nginx'] : [])])
        for (const id of [`${name}-${version}`, `${name}-${version}-tcp`]) {
          // Two clients: none may get the other's connection. Two requests of one share theirs.
          out[id] = [...(await announced(ports[id]!, id.endsWith('tcp') ? 1 : 2)), ...(await announced(ports[id]!))];
        }
    return out;
  }

  const status = async (port: number, path: string) =>
    (await exchange(port, `GET ${path} HTTP/1.1\r\nHost: a.test\r\n\r\n`, ['GET'])).responses[0]!.status;
  const statuses = async (port: number, paths: readonly string[]) => {
    const out: number[] = [];
    for (const path of paths) out.push(await status(port, path));
    return out;
  };

  async function judgements(ports: RunningProxy['ports']) {
    const out: Record<string, unknown> = {
      one: await statuses(ports['one']!, ['/500', '/500', '/500', '/404', '/200', '/404', '/404', '/200']),
      several: await statuses(ports['several']!, ['/500', '/404', '/429', '/200']),
      gateway: await statuses(ports['gateway']!, ['/503', '/503', '/200']),
      'gateway-other': await statuses(ports['gateway-other']!, ['/502', '/502', '/200', '/404', '/500', '/200']),
    };
    for (const id of ['budget', 'interval']) {
      await statuses(
        ports[id]!,
        Array.from({ length: 20 }, () => '/200'),
      );
      failures = 0;
      await status(ports[id]!, '/500');
      out[id] = failures;
    }
    return out;
  }

  let expected: { tunnels: unknown; prefaces: unknown; judgements: unknown };
  it('Envoy', async () => {
    expected = {
      tunnels: await throughTunnels(envoy.ports),
      prefaces: await prefaces(envoy.ports),
      judgements: await judgements(envoy.ports),
    };
    expect(expected.tunnels).toMatchObject({ 'envoy-h1': 'HELLO ', 'envoy-h2': 'HELLO ', 'refused-h1': 'undefined ' });
    expect(expected.judgements).toMatchObject({
      budget: 1,
      interval: 2,
      one: [500, 500, 500, 404, 200, 404, 404, 503],
    });
  }, 120_000);

  it.each(RUNTIMES)(
    'Tulle on %s does the same',
    async (runtime) => {
      const proxy = keep(await startTulle(runtime, config, folder.path));
      expect(await throughTunnels(proxy.ports)).toEqual(expected.tunnels);
      expect(await prefaces(proxy.ports)).toEqual(expected.prefaces);
      expect(await judgements(proxy.ports)).toEqual(expected.judgements);
      // Envoy ends such a tunnel over HTTP/1.1.
      for (const name of ['node-h1', 'post-h1', 'tulle-h2'])
        expect(await halfClosed(proxy.ports[name]!, 'hello'), name).toBe('HELLO');
    },
    120_000,
  );
});
