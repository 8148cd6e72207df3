/** Limits, overload, slow clients, drain and admin of a proxy process, from one body on every runtime. */
import { rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import { join } from 'node:path';
import tls from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RUNTIMES, temporaryFolder } from '../kit/environment.ts';
import { ProxyProcess } from '../kit/proxy.ts';
import { listening, UPSTREAM } from '../kit/upstream.ts';
import { until } from '../kit/waiting.ts';
import { leaf, pem, rootAuthority } from '../mtls/certificates.ts';
import { ANY, at, cluster, hcm, listener, secretOf, serverTls, tcp } from './bootstrap.ts';

/** Sends text, gathers what comes until the close. */
function raw(port: number, text: string): Promise<string> {
  return new Promise((resolve) => {
    let got = '';
    const socket = net.connect({ port, host: '127.0.0.1' }, () => socket.write(text));
    socket.on('data', (bytes) => (got += bytes));
    socket.on('error', () => {});
    socket.on('close', () => resolve(got));
  });
}
const status = (answer: string) => Number(/^HTTP\/1\.1 (\d+)/.exec(answer)?.[1]);
const open = (port: number): Promise<net.Socket> =>
  new Promise((resolve) => {
    const socket = net.connect({ port, host: '127.0.0.1' }, () => resolve(socket));
    socket.on('error', () => {});
  });
const closed = (socket: net.Socket) => new Promise<void>((resolve) => socket.once('close', () => resolve()).resume());

/** What a TLS client says first. */
const clientHello = async (): Promise<Buffer> => {
  let said: Buffer | undefined;
  const catcher = net.createServer((socket) => {
    socket.once('data', (bytes) => {
      said = bytes;
      socket.destroy();
    });
    socket.on('error', () => {});
  });
  const client = tls.connect({ port: await listening(catcher), host: '127.0.0.1' }).on('error', () => {});
  await until('the hello', () => said);
  client.destroy();
  catcher.close();
  return said!;
};

const tuned = (to: string, more: object) => {
  const filter = hcm(to);
  return { ...filter, typed_config: { ...filter.typed_config, ...more } };
};
const tunedTcp = (to: string, prefix: string, more: object) => {
  const filter = tcp(to);
  return { ...filter, typed_config: { ...filter.typed_config, stat_prefix: prefix, ...more } };
};

describe.each(RUNTIMES)('under pressure on %s', (runtime) => {
  const folder = temporaryFolder();
  const pressure = join(folder.path, 'pressure');
  const haste = join(folder.path, 'haste');
  let app: http.Server;
  let echo: net.Server;
  let proxy: ProxyProcess;
  const at80 = (name: string) => proxy.ports[name]!;
  const stat = async (name: string) => {
    const text = await proxy.admin(`/stats?filter=^${name.replaceAll('.', '\\.')}$`);
    return Number(/: (\d+)\n$/.exec(text.body)?.[1] ?? 'NaN');
  };
  const request = (port: number, head = '') =>
    raw(port, `GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n${head}\r\n`);

  const active = () => stat('listener.127.0.0.1_0.downstream_cx_active');

  beforeAll(async () => {
    app = http.createServer(UPSTREAM, (r, w) => r.resume().on('end', () => w.end('app')));
    echo = net.createServer((socket) => {
      socket.on('error', () => {});
      socket.pipe(socket);
    });
    const appPort = await listening(app);
    const root = await rootAuthority('root');
    writeFileSync(haste, '0');
    const limitFilter = {
      name: 'limit',
      typed_config: {
        '@type': `${ANY}envoy.extensions.filters.network.connection_limit.v3.ConnectionLimit`,
        stat_prefix: 'two',
        max_connections: 2,
      },
    };
    proxy = new ProxyProcess(runtime, join(folder.path, 'proxy.json'), {
      static_resources: {
        listeners: [
          listener('web', [hcm('app')]),
          listener('small', [
            tuned('app', {
              stat_prefix: 'small',
              max_request_headers_kb: 1,
              common_http_protocol_options: { max_headers_count: 5 },
            }),
          ]),
          listener('hasty', [
            tuned('app', {
              stat_prefix: 'hasty',
              common_http_protocol_options: { idle_timeout: '1s' },
              request_headers_timeout: '1s',
              stream_idle_timeout: '1.1s',
            }),
          ]),
          listener('patient', [tuned('app', { stat_prefix: 'patient', stream_idle_timeout: '3600s' })]),
          listener('handshakes', [hcm('app')], serverTls),
          listener('two', [limitFilter, tcp('echo')]),
          listener('one', [tcp('echo')]),
          listener('brief', [tunedTcp('echo', 'brief', { idle_timeout: '0.3s' })]),
          listener('short', [tunedTcp('echo', 'short', { max_downstream_connection_duration: '0.3s' })]),
        ],
        clusters: [cluster('app', appPort), cluster('echo', await listening(echo))],
        secrets: [
          secretOf(await leaf(root, { uri: 'spiffe://cluster.local/ns/default/sa/proxy' })),
          { name: 'ROOTCA', validation_context: { trusted_ca: { inline_string: pem(root) } } },
        ],
      },
      layered_runtime: {
        layers: [{ name: 'limits', static_layer: { 'envoy.resource_limits.listener.one.connection_limit': 1 } }],
      },
      overload_manager: {
        refresh_interval: '0.05s',
        resource_monitors: [
          ['drill', pressure],
          ['haste', haste],
        ].map(([name, filename]) => ({
          name,
          typed_config: {
            '@type': `${ANY}envoy.extensions.resource_monitors.injected_resource.v3.InjectedResourceConfig`,
            filename,
          },
        })),
        actions: [
          ...[
            ['disable_http_keepalive', 0.5],
            ['stop_accepting_requests', 0.7],
            ['stop_accepting_connections', 0.9],
          ].map(([name, value]) => ({
            name: `envoy.overload_actions.${name}`,
            triggers: [{ name: 'drill', threshold: { value } }],
          })),
          { name: 'envoy.overload_actions.shrink_heap', triggers: [{ name: 'haste', threshold: { value: 0.9 } }] },
          {
            name: 'envoy.overload_actions.reduce_timeouts',
            triggers: [{ name: 'haste', scaled: { scaling_threshold: 0.1, saturation_threshold: 0.9 } }],
            typed_config: {
              '@type': `${ANY}envoy.config.overload.v3.ScaleTimersOverloadActionConfig`,
              timer_scale_factors: [
                { timer: 'HTTP_DOWNSTREAM_STREAM_IDLE', min_timeout: '0.3s' },
                { timer: 'TRANSPORT_SOCKET_CONNECT', min_scale: { value: 1 } },
              ],
            },
          },
        ],
      },
      admin: { address: at(0) },
    });
    await proxy.ready();
  });

  afterAll(async () => {
    await proxy?.stop('SIGKILL');
    app.closeAllConnections();
    app.close();
    echo.close();
    folder.dispose();
  });

  it('answers each limit with its status and counts it', async () => {
    const small = at80('small');
    expect(status(await request(small))).toBe(200);
    expect(status(await request(small, `x-big: ${'y'.repeat(1500)}\r\n`))).toBe(431);
    expect(status(await request(small, 'a: 1\r\nb: 1\r\nc: 1\r\nd: 1\r\ne: 1\r\n'))).toBe(431);
    expect(status(await raw(at80('web'), `GET /${'u'.repeat(40_000)} HTTP/1.1\r\nhost: a\r\n\r\n`))).toBe(414);
    expect(await stat('http.small.downstream_rq_headers_too_large')).toBe(1);
    expect(await stat('http.small.downstream_rq_too_many_headers')).toBe(1);
    expect(await stat('http.test.downstream_rq_uri_too_long')).toBe(1);
    expect(await stat('http.small.downstream_rq_4xx')).toBe(2);
    expect(await stat('http.small.downstream_rq_2xx')).toBe(1);
  });

  it('ends slow and silent clients', async () => {
    const hasty = at80('hasty');
    const before = Date.now();
    expect(status(await raw(hasty, 'GET / HTTP/1.1\r\nhost: a'))).toBe(408);
    expect(await raw(hasty, '')).toBe('');
    expect(status(await raw(hasty, 'POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhalf'))).toBe(408);
    expect(Date.now() - before).toBeGreaterThan(2500);
    // A head that trickles in is no sign of life.
    const socket = await open(hasty);
    socket.write('GET / HTTP/1.1\r\n');
    const trickle = setInterval(() => socket.write('a'), 50);
    await closed(socket);
    clearInterval(trickle);
    expect(await stat('http.hasty.downstream_rq_header_timeout')).toBe(2);
    expect(await stat('http.hasty.downstream_cx_idle_timeout')).toBe(1);
    expect(await stat('http.hasty.downstream_rq_idle_timeout')).toBe(1);
  });

  it('ends byte streams that are idle or at their longest duration', async () => {
    await closed(await open(at80('brief')));
    expect(await stat('tcp.brief.idle_timeout')).toBe(1);
    const busy = await open(at80('short'));
    const talk = setInterval(() => busy.write('x'), 20);
    await closed(busy);
    clearInterval(talk);
    await until('the count', async () => (await stat('tcp.short.max_downstream_connection_duration')) === 1);
  });

  it('keeps connection limits per listener and per filter chain', async () => {
    const first = await open(at80('one'));
    await until('the first is counted', async () => (await stat(`listener.127.0.0.1_0.downstream_cx_active`)) >= 1);
    expect(await raw(at80('one'), 'x')).toBe('');
    first.destroy();
    await until('there is room again', async () => {
      const socket = await open(at80('one'));
      socket.write('x');
      return new Promise<boolean>((resolve) => {
        socket.once('data', () => {
          resolve(true);
          socket.destroy();
        });
        socket.once('close', () => resolve(false));
      });
    });
    const held = await Promise.all([open(at80('two')), open(at80('two'))]);
    for (const socket of held) await new Promise((resolve) => socket.once('data', resolve) && socket.write('x'));
    expect(await raw(at80('two'), 'x')).toBe('');
    expect(await stat('connection_limit.two.limited_connections')).toBe(1);
    for (const socket of held) socket.destroy();
    await until('all are gone', async () => (await stat('connection_limit.two.active_connections')) === 0);
  });

  it('sheds load in steps and recovers', async () => {
    const web = at80('web');
    const set = async (value: string, action: string, active: number) => {
      writeFileSync(pressure, value);
      await until(`${action} is ${active}`, async () => {
        return (await stat(`overload.envoy.overload_actions.${action}.active`)) === active;
      });
    };
    const keepAlive = () =>
      new Promise<{ code: number; body: string; connection: string }>((resolve, reject) => {
        const agent = new http.Agent({ keepAlive: true });
        const asked = http.get({ host: '127.0.0.1', port: web, agent }, (answer) => {
          let body = '';
          answer.on('data', (bytes) => (body += bytes));
          answer.on('end', () => {
            agent.destroy();
            resolve({ code: answer.statusCode!, body, connection: answer.headers.connection ?? 'keep-alive' });
          });
        });
        asked.on('error', reject);
      });
    expect(await keepAlive()).toEqual({ code: 200, body: 'app', connection: 'keep-alive' });
    await set('0.6', 'disable_http_keepalive', 1);
    expect(await keepAlive()).toEqual({ code: 200, body: 'app', connection: 'close' });
    await set('0.8', 'stop_accepting_requests', 1);
    expect(await keepAlive()).toMatchObject({ code: 503, body: 'envoy overloaded' });
    expect(await stat('http.test.downstream_rq_overload_close')).toBe(1);
    await set('0.95', 'stop_accepting_connections', 1);
    expect(await request(web)).toBe('');
    expect(await proxy.admin('/ready')).toMatchObject({ status: 200 });
    await set('0.1', 'stop_accepting_connections', 0);
    expect(await keepAlive()).toEqual({ code: 200, body: 'app', connection: 'keep-alive' });
    rmSync(pressure);
    await until('the monitor fails', async () => (await stat('overload.drill.failed_updates')) > 0);
    expect(status(await request(web))).toBe(200);
  });

  it('has less patience under pressure, with what has begun as well, and gives memory back', async () => {
    const half = await open(at80('patient'));
    let answer = '';
    half.on('data', (bytes) => (answer += bytes));
    half.write('POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhalf');
    // A hello, and nothing more.
    const hello = await clientHello();
    const shaking = await open(at80('handshakes'));
    shaking.resume().write(hello);
    await until('the handshake is under way', async () => (await active()) >= 2);
    writeFileSync(haste, '0.95');
    // Of an hour, and of fifteen seconds.
    await Promise.all([closed(half), closed(shaking)]);
    expect(status(answer)).toBe(408);
    expect(await stat('overload.envoy.overload_actions.reduce_timeouts.scale_percent')).toBe(100);
    expect(await stat('overload.envoy.overload_actions.shrink_heap.shrink_count')).toBeGreaterThan(0);
    writeFileSync(haste, '0');
    await until('it has time again', async () => (await stat('overload.haste.pressure')) === 0);
    expect(status(await request(at80('patient')))).toBe(200);
  });

  it('fails the health check, and recovers on request', async () => {
    expect((await proxy.admin('/healthcheck/fail')).status).toBe(405);
    expect((await proxy.admin('/healthcheck/fail', 'POST')).status).toBe(200);
    expect(await proxy.admin('/ready')).toEqual({ status: 503, body: 'DRAINING\n' });
    expect(await raw(at80('web'), 'GET / HTTP/1.1\r\nhost: a\r\n\r\n')).toContain('connection: close');
    await proxy.admin('/healthcheck/ok', 'POST');
    expect((await proxy.admin('/ready')).status).toBe(200);
    const browser = { origin: 'https://evil.example' };
    const refused = await fetch(`http://127.0.0.1:${proxy.adminPort}/quitquitquit`, {
      method: 'POST',
      headers: browser,
    });
    expect(refused.status).toBe(403);
    expect(JSON.parse((await proxy.admin('/stats?format=json')).body)).toHaveProperty('stats');
    expect((await proxy.admin('/metrics')).body).toMatch(
      /envoy_http_downstream_rq_5xx\{envoy_http_conn_manager_prefix="test"\} \d/,
    );
  });

  it('drains on SIGTERM: streams finish, new connections are refused', async () => {
    const stream = await open(at80('one'));
    stream.write('before');
    await new Promise((resolve) => stream.once('data', resolve));
    proxy.process.kill('SIGTERM');
    await until('it drains', async () => (await proxy.admin('/ready')).status === 503);
    await until('its sockets are closed', async () => {
      const socket = net.connect({ port: at80('web'), host: '127.0.0.1' });
      return new Promise<boolean>((resolve) => {
        socket.on('error', () => resolve(true));
        socket.on('connect', () => {
          socket.destroy();
          resolve(false);
        });
      });
    });
    stream.write('after');
    const got = await new Promise((resolve) => stream.once('data', (bytes) => resolve(String(bytes))));
    expect(got).toBe('after');
    const ended = Date.now();
    stream.end();
    expect(await proxy.exited).toBe(0);
    expect(Date.now() - ended).toBeLessThan(4500);
  });
});
