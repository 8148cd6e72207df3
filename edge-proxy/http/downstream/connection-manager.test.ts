import { afterEach, describe, expect, it } from 'vitest';
import type { FilterContext, HttpFilter } from '../filters/hooks.ts';
import { closeAll, forward, get, makeCluster, ok, plan, type Setup, setup } from '../testing/manager.ts';

afterEach(closeAll);

describe('forwarding', () => {
  it('sends the request on, streams the answer back and logs once', async () => {
    const { connect, backend, finished, cluster } = setup();
    const client = connect().send(get);
    const server = await backend();
    expect(await server.saw('\r\n\r\n')).toBe(
      'GET /a HTTP/1.1\r\nhost: h\r\nX-Case: 1\r\nx-forwarded-proto: http\r\nx-envoy-attempt-count: 1\r\n\r\n',
    );
    server.send(ok);
    const text = await client.saw('hi');
    expect(text).toMatch(
      /^HTTP\/1\.1 200 OK\r\nContent-Length: 2\r\nX-Back: b\r\nx-envoy-upstream-service-time: \d+\r\n/,
    );
    expect(text.endsWith('\r\n\r\nhi')).toBe(true);
    expect(finished).toHaveLength(1);
    expect(finished[0]).toMatchObject({ responseCode: 200, details: 'via_upstream', flags: [], bytesSent: 2 });
    expect(cluster.use).toEqual({ connections: 1, pending: 0, requests: 0, retries: 0 });
  });

  it('reuses the upstream connection and answers pipelined requests in order', async () => {
    const { connect, backend, runtime, finished } = setup();
    const client = connect().send(get + get.replace('/a', '/b') + get.replace('/a', '/c'));
    const server = await backend();
    for (const path of ['/a', '/b', '/c']) {
      await server.saw(`GET ${path} `);
      server.send(`HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n${path}`);
    }
    await client.saw('\r\n\r\n/c');
    expect(client.text.match(/\/[abc]$|\/[abc](?=HTTP)/g)).toEqual(['/a', '/b', '/c']);
    expect(runtime.dialled).toHaveLength(1);
    expect(finished).toHaveLength(3);
  });

  it('streams chunked bodies both ways', async () => {
    const { connect, backend } = setup();
    const client = connect().send('POST /u HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n');
    const server = await backend();
    await server.saw('3\r\nabc\r\n');
    client.send('2\r\nde\r\n0\r\n\r\n');
    await server.saw('2\r\nde\r\n0\r\n\r\n');
    server.send('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nwxyz\r\n');
    await client.saw('4\r\nwxyz\r\n');
    server.send('0\r\n\r\n');
    await client.saw('0\r\n\r\n');
    expect(client.closed).toBe(false);
  });

  it('passes large bodies with backpressure and loses nothing', async () => {
    const { connect, backend } = setup();
    const client = connect();
    const size = 3_000_000;
    client.send(`POST /u HTTP/1.1\r\nHost: h\r\nContent-Length: ${size}\r\n\r\n`);
    const server = await backend();
    server.connection.pause();
    let sent = 0;
    const block = 'x'.repeat(50_000);
    while (sent < size) {
      const room = client.connection.writeLatin1(block);
      sent += block.length;
      if (!room && client.connection.buffered > 300_000) break;
    }
    await new Promise((resolve) => setImmediate(resolve));
    // Held back on the whole way: what the proxy has taken is bounded.
    expect(client.connection.buffered).toBeGreaterThan(0);
    server.connection.resume();
    for (; sent < size; sent += block.length) client.send(block);
    await server.until(() => server.text.length >= size);
    expect(server.text.slice(server.text.indexOf('\r\n\r\n') + 4)).toBe('x'.repeat(size));
    server.send(`HTTP/1.1 200 OK\r\nContent-Length: ${size}\r\n\r\n`);
    client.connection.pause();
    for (let i = 0; i < size; i += block.length) server.send(block);
    client.connection.resume();
    await client.until(() => client.text.length >= size);
    expect(client.text.slice(client.text.indexOf('\r\n\r\n') + 4)).toBe('x'.repeat(size));
  });

  it('ends a response of unknown length with the connection towards HTTP/1.0, chunked towards HTTP/1.1', async () => {
    const { connect, backend } = setup();
    const client = connect().send(get);
    const server = await backend();
    await server.saw('\r\n\r\n');
    server.send('HTTP/1.1 200 OK\r\n\r\nabc').connection.end();
    expect(await client.saw('0\r\n\r\n')).toContain('transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n');
  });

  it('answers HEAD without a body and keeps the connection', async () => {
    const { connect, backend } = setup();
    const client = connect().send(get.replace('GET', 'HEAD') + get);
    const server = await backend();
    await server.saw('HEAD');
    server.send('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n');
    await server.saw('GET');
    server.send(ok);
    expect(await client.saw('hi')).toContain('Content-Length: 5\r\n');
  });

  it('sends 100 Continue itself', async () => {
    const { connect, backend } = setup();
    const client = connect().send('POST /u HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n');
    await client.saw('HTTP/1.1 100 Continue\r\n\r\n');
    client.send('ab');
    const server = await backend();
    expect(await server.saw('\r\n\r\nab')).not.toContain('Expect');
  });

  it('tunnels an upgrade that the route allows, refuses another', async () => {
    const { connect, backend, finished } = setup({ route: forward({ upgrades: new Set(['websocket']) }) });
    const ask = 'GET /w HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n';
    const client = connect().send(`${ask}early`);
    const server = await backend();
    expect(await server.saw('\r\n\r\n')).toContain('connection: upgrade\r\nupgrade: websocket\r\n\r\n');
    server.send('HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nraw');
    await client.saw('\r\n\r\nraw');
    await server.saw('early');
    client.send('more\r\n');
    await server.saw('more\r\n');
    client.connection.end();
    await server.until(() => server.ended);
    server.send('bye').connection.end();
    await client.saw('bye');
    await client.until(() => client.ended);
    expect(finished.map((r) => [r.responseCode, r.flags])).toEqual([[101, []]]);
    const other = connect().send(ask.replace('websocket', 'other'));
    expect(await other.saw('\r\n\r\n')).toMatch(/^HTTP\/1\.1 403 /);
  });
});

describe('answers made here', () => {
  it.each([
    ['no route', { route: null }, 404, 'NR', 'route_not_found'],
    ['no cluster', { options: { clusters: { get: () => undefined } } }, 503, 'NC', 'cluster_not_found'],
    ['no endpoint', { cluster: makeCluster([]) }, 503, 'UH', 'no_healthy_upstream'],
    [
      'connection refused',
      { cluster: makeCluster([66]) },
      503,
      'UF',
      'upstream_reset_before_response_started{remote_connection_failure|delayed_connect_error:_Connection_refused}',
    ],
  ] as const)('%s', async (_, given, status, flag, details) => {
    const { connect, finished } = setup(given as Setup);
    const client = connect().send(get);
    expect(await client.saw('\r\n\r\n')).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
    expect(finished).toHaveLength(1);
    expect(finished[0]).toMatchObject({ responseCode: status, flags: [flag], details });
    // The connection continues.
    client.text = '';
    client.send(get);
    expect(await client.saw('\r\n\r\n')).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
  });

  it('answers what it cannot parse and closes', async () => {
    const { connect, finished } = setup();
    const client = connect().send(
      'GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n',
    );
    await client.until(() => client.ended);
    expect(client.text).toMatch(/^HTTP\/1\.1 400 /);
    expect(client.text).toContain('connection: close\r\n');
    expect(finished[0]).toMatchObject({
      responseCode: 400,
      flags: ['DPE'],
      details: 'http1.content_length_and_chunked_not_allowed',
    });
  });

  it('asks filters in order; a failing one admits nothing', async () => {
    const seen: string[] = [];
    const { connect } = setup({
      options: {
        filters: [
          { name: 'a', onRequestHead: async () => void seen.push('a') },
          {
            name: 'b',
            onRequestHead: () => {
              throw new Error('secret');
            },
          },
        ],
      },
    });
    const text = await connect().send(get).saw('\r\n\r\n');
    expect(seen).toEqual(['a']);
    expect(text).toMatch(/^HTTP\/1\.1 500 /);
    expect(text).not.toContain('secret');
  });

  it('answers 500 when a filter of responses throws: what it would take away must not get out', async () => {
    const errors: unknown[] = [];
    const filter: HttpFilter = {
      name: 'broken',
      onResponseHead: () => {
        throw new Error('secret');
      },
    };
    const { connect, backend } = setup({
      route: forward(),
      options: { filters: [filter], onInternalError: (error) => errors.push(error) },
    });
    const client = connect().send(get);
    const upstream = await backend();
    await upstream.saw('\r\n\r\n');
    upstream.send(ok);
    const text = await client.saw('\r\n\r\n');
    expect(text).toMatch(/^HTTP\/1\.1 500 /);
    expect(text).not.toMatch(/x-back|secret/i);
    expect(errors).toEqual([new Error('secret')]);
  });

  it('answers 500 when compiled config throws, and closes behind an unfinished request', async () => {
    const route = forward({
      pick: () => {
        throw new Error('secret');
      },
    });
    const errors: unknown[] = [];
    const client = setup({ route, options: { onInternalError: (error) => errors.push(error) } }).connect();
    client.send('POST /u HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhe');
    await client.until(() => client.ended);
    expect(errors).toEqual([new Error('secret')]);
    expect(client.text).toMatch(/^HTTP\/1\.1 500 /);
    expect(client.text).toContain('connection: close\r\n');
    expect(client.text).not.toContain('secret');
  });

  it('keeps a request body while a filter thinks', async () => {
    let admit!: () => void;
    const thinking = new Promise<undefined>((resolve) => {
      admit = () => resolve(undefined);
    });
    const { connect, backend } = setup({ options: { filters: [{ name: 'a', onRequestHead: () => thinking }] } });
    connect().send('POST /u HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello');
    admit();
    expect(await (await backend()).saw('hello')).toContain('\r\n\r\nhello');
  });
});

describe('failures upstream', () => {
  it('retries a connection failure on the next endpoint, replaying the body', async () => {
    const { connect, backend, finished, cluster } = setup({
      route: forward({ retry: plan }),
      cluster: makeCluster([66, 1]),
    });
    const client = connect().send('POST /u HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello');
    const server = await backend();
    expect(await server.saw('hello')).toContain('x-envoy-attempt-count: 2');
    server.send(ok);
    await client.saw('hi');
    expect(finished[0]).toMatchObject({ responseCode: 200, attempts: 2, flags: [] });
    expect(cluster.use).toMatchObject({ pending: 0, requests: 0, retries: 0 });
  });

  it('gives up after the last retry with URX and the last cause', async () => {
    const { connect, finished } = setup({ route: forward({ retry: plan }), cluster: makeCluster([66]) });
    await connect().send(get).saw('\r\n\r\n');
    expect(finished[0]).toMatchObject({ responseCode: 503, attempts: 3, flags: ['URX', 'UF'] });
  });

  it('retries a retriable response, passes on the last one', async () => {
    const { connect, backend, finished } = setup({ route: forward({ retry: plan }) });
    const client = connect().send(get);
    for (let i = 0; i < 3; i++) {
      const server = await backend();
      await server.saw('\r\n\r\n');
      server.send(`HTTP/1.1 503 No\r\nContent-Length: 1\r\n\r\n${i}`);
    }
    expect(await client.saw('\r\n\r\n2')).toMatch(/^HTTP\/1\.1 503 No\r\n/);
    expect(finished[0]).toMatchObject({ attempts: 3, flags: ['URX'], details: 'via_upstream' });
  });

  it('retries on a fresh connection when a reused one was dead', async () => {
    const { connect, backend, finished } = setup({
      route: forward({ retry: { ...plan, onReset: false, onConnectFailure: false } }),
    });
    const client = connect().send(get);
    const first = await backend();
    await first.saw('\r\n\r\n');
    first.send(ok);
    await client.saw('hi');
    first.text = '';
    client.send(get);
    await first.saw('\r\n\r\n');
    first.connection.destroy();
    const second = await backend();
    await second.saw('\r\n\r\n');
    second.send(ok.replace('hi', 'yo'));
    await client.saw('yo');
    expect(finished[1]).toMatchObject({ responseCode: 200, attempts: 2 });
  });

  it('answers 503 UC when the connection is lost before the answer', async () => {
    const { connect, backend, finished } = setup();
    const client = connect().send(get);
    const server = await backend();
    await server.saw('\r\n\r\n');
    server.connection.destroy();
    expect(await client.saw('\r\n\r\n')).toMatch(/^HTTP\/1\.1 503 /);
    expect(finished[0]).toMatchObject({
      flags: ['UC'],
      details: 'upstream_reset_before_response_started{connection_termination}',
    });
  });

  it('cuts the client off when the answer is cut off', async () => {
    const { connect, backend, finished } = setup();
    const client = connect().send(get);
    const server = await backend();
    await server.saw('\r\n\r\n');
    server.send('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart').connection.end();
    await client.until(() => client.closed);
    expect(client.text.endsWith('part')).toBe(true);
    expect(finished[0]).toMatchObject({ responseCode: 200, flags: ['UPE'] });
  });

  it.each([false, true])('passes interim responses on where configured: %s', async (proxy100Continue) => {
    const { connect, backend } = setup({ options: { config: { statPrefix: 't', proxy100Continue } } });
    const client = connect().send(get);
    const server = await backend();
    await server.saw('\r\n\r\n');
    server.send('HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n');
    server.send('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
    const text = await client.saw('ok');
    const heads = [...text.matchAll(/^HTTP\/1\.1 (\d+)/gm)].map(([, status]) => status);
    expect(heads).toEqual(proxy100Continue ? ['102', '103', '200'] : ['200']);
    expect(text.includes('Link: </a>')).toBe(proxy100Continue);
  });

  it('answers gRPC requests in gRPC', async () => {
    const { connect, finished } = setup({ cluster: makeCluster([66]) });
    const client = connect().send(get.replace('\r\n\r\n', '\r\nContent-Type: application/grpc+proto\r\n\r\n'));
    const text = await client.saw('\r\n\r\n');
    expect(text).toMatch(/^HTTP\/1\.1 200 /);
    expect(text).toMatch(/\r\ngrpc-status: 14\r\n/);
    expect(text).toMatch(/\r\ngrpc-message: upstream connect error/);
    expect(finished[0]).toMatchObject({ responseCode: 200, flags: ['UF'] });
  });

  it('rejects a 101 that no client requested', async () => {
    const { connect, backend, finished } = setup();
    const client = connect().send(get);
    const server = await backend();
    await server.saw('\r\n\r\n');
    server.send('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nraw');
    expect(await client.saw('\r\n\r\n')).toMatch(/^HTTP\/1\.1 502 /);
    expect(client.text).not.toContain('raw');
    expect(finished[0]).toMatchObject({ flags: ['UPE'] });
  });

  it('answers 502 UPE to what it cannot parse', async () => {
    const { connect, backend, finished } = setup();
    const client = connect().send(get);
    const server = await backend();
    await server.saw('\r\n\r\n');
    server.send('HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n');
    expect(await client.saw('\r\n\r\n')).toMatch(/^HTTP\/1\.1 502 /);
    expect(finished[0]).toMatchObject({ flags: ['UPE'] });
  });

  it('never lets surplus bytes of one answer become the next', async () => {
    const { connect, backend, runtime } = setup();
    const client = connect().send(get);
    const first = await backend();
    await first.saw('\r\n\r\n');
    first.send(`${ok}HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil`);
    await client.saw('hi');
    client.send(get);
    const second = await backend();
    await second.saw('\r\n\r\n');
    second.send(ok.replace('hi', 'yo'));
    expect(await client.saw('yo')).not.toContain('evil');
    expect(runtime.dialled).toHaveLength(2);
  });

  it('times out with 504 UT and closes the upstream connection', async () => {
    const { connect, backend, finished } = setup({ route: forward({ timeoutMs: 20 }) });
    const client = connect().send(get);
    const server = await backend();
    expect(await client.saw('\r\n\r\n')).toMatch(/^HTTP\/1\.1 504 /);
    await server.until(() => server.closed);
    expect(finished[0]).toMatchObject({ flags: ['UT'], details: 'response_timeout' });
  });

  it('closes the upstream connection and logs DC when the client leaves', async () => {
    const { connect, backend, finished, manager } = setup();
    const client = connect().send(get);
    const server = await backend();
    await server.saw('\r\n\r\n');
    client.connection.destroy();
    await server.until(() => server.closed);
    expect(finished[0]).toMatchObject({ responseCode: 0, flags: ['DC'], details: 'downstream_remote_disconnect' });
    expect(manager.activeRequests).toBe(0);
  });

  it('overflows with 503 UO at the request limit', async () => {
    const cluster = { ...makeCluster([1]), limits: { ...makeCluster([1]).limits, maxRequests: 1 } };
    const { connect, backend, finished } = setup({ cluster });
    connect().send(get);
    await (await backend()).saw('\r\n\r\n');
    const second = connect().send(get);
    expect(await second.saw('\r\n\r\n')).toContain('x-envoy-overloaded: true');
    expect(finished[0]).toMatchObject({ flags: ['UO'], details: 'upstream_reset_before_response_started{overflow}' });
  });
});

describe('a body that must be whole', () => {
  const holding = (holdBytes: number) => ({
    filters: [
      {
        name: 'buffer',
        onRequestHead: (context: FilterContext) =>
          context.requestBody ? undefined : { buffer: holdBytes, whenFull: 'reject' as const },
      },
    ],
  });
  const chunked = (...chunks: string[]) => chunks.map((one) => `${one.length.toString(16)}\r\n${one}\r\n`).join('');
  /** What was sent has arrived: this network needs microtasks alone. */
  const settled = () => new Promise((done) => setImmediate(done));
  const head = 'POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n';

  it('continues at its end, with its length, and can be sent again up to the limit', async () => {
    const { connect, backend, runtime } = setup({
      route: forward({ retry: plan }),
      cluster: makeCluster([1, 2]),
      options: holding(200_000),
    });
    const client = connect().send(head + chunked('a'.repeat(90_000)));
    await settled();
    expect(runtime.dialled).toHaveLength(0);
    client.send(`${chunked('b'.repeat(90_000))}0\r\nX-T: 1\r\n\r\n`);
    for (const answer of ['HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n', ok]) {
      const server = await backend();
      const text = await server.saw('b'.repeat(90_000));
      expect(text).toContain('content-length: 180000\r\n');
      expect(text).not.toMatch(/transfer-encoding|x-t/i);
      server.send(answer);
    }
    expect(await client.saw('hi')).toMatch(/^HTTP\/1\.1 200 /);
  });

  it('asks for it where the client waits for permission', async () => {
    const { connect, backend } = setup({ options: holding(10) });
    const client = connect().send('POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n');
    await client.saw('HTTP/1.1 100 Continue\r\n\r\n');
    client.send('body');
    await (await backend()).saw('\r\n\r\nbody');
  });

  it.each([
    ['chunked', head + chunked('12345', '67890', '1')],
    ['of known length', 'POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 30\r\n\r\n12345678901'],
    ['whole', 'POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 11\r\n\r\n12345678901'],
  ])('is refused when it grows too long: %s', async (_, bytes) => {
    const { connect, finished, runtime } = setup({ options: holding(10) });
    const client = connect().send(bytes);
    await client.until(() => client.ended);
    expect(client.text).toMatch(
      /^HTTP\/1\.1 413 Payload Too Large\r\n[\s\S]*connection: close\r\n\r\nPayload Too Large$/,
    );
    expect(finished[0]).toMatchObject({ responseCode: 413, details: 'request_payload_too_large' });
    expect(runtime.dialled).toHaveLength(0);
  });

  it('needs no end where there is no body', async () => {
    const { connect, backend } = setup({ options: holding(10) });
    connect().send(get);
    await (await backend()).saw('\r\n\r\n');
  });

  it('that came before the filter asked is counted too', async () => {
    let release!: () => void;
    const wait = new Promise<undefined>((resolve) => {
      release = () => resolve(undefined);
    });
    const filters = [{ name: 'slow', onRequestHead: () => wait }, ...holding(10).filters];
    const { connect } = setup({ options: { filters } });
    const client = connect().send(head + chunked('12345', '678901'));
    await settled();
    release();
    expect(await client.saw('\r\n\r\n')).toMatch(/^HTTP\/1\.1 413 /);
  });
});

describe('mirrors and draining', () => {
  it('sends a copy to the mirror and waits for nothing', async () => {
    const mirrors = [{ cluster: 'c', share: 1, keepHost: false }];
    const { connect, backend } = setup({ route: forward({ mirrors }), cluster: makeCluster([1, 2]) });
    const client = connect().send('POST /m HTTP/1.1\r\nHost: h:80\r\nContent-Length: 2\r\n\r\nab');
    const wires = [await backend(), await backend()];
    await Promise.all(wires.map((wire) => wire.saw('\r\n\r\nab')));
    expect(wires.map((wire) => /host: (\S+)/.exec(wire.text)?.[1]).sort()).toEqual(['h-shadow:80', 'h:80']);
    wires.find((wire) => wire.text.includes('host: h:80'))?.send(ok);
    await client.saw('hi');
  });

  it('ends idle connections at once and busy ones with their answer', async () => {
    const { connect, backend, manager } = setup();
    const idle = connect();
    const busy = connect().send(get);
    const server = await backend();
    await server.saw('\r\n\r\n');
    manager.drain();
    await idle.until(() => idle.ended);
    server.send(ok);
    await busy.until(() => busy.ended);
    expect(busy.text).toContain('connection: close\r\n');
  });
});

describe('headers at the edge', () => {
  it('appends x-forwarded-for, replaces the request id, drops internal controls and hop-by-hop fields', async () => {
    const { connect, backend } = setup({ options: { config: { statPrefix: 't', useRemoteAddress: true } } });
    connect().send(
      'GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 1.2.3.4\r\nX-Request-Id: mine\r\nX-Envoy-Max-Retries: 9\r\n' +
        'X-Forwarded-Proto: https\r\nConnection: X-Drop\r\nX-Drop: 1\r\nKeep-Alive: 1\r\nTE: gzip\r\n' +
        'X-Forwarded-Client-Cert: URI=spiffe://evil\r\ntraceparent: 00-1\r\nb3: 1\r\n\r\n',
    );
    const text = await (await backend()).saw('\r\n\r\n');
    expect(text).toContain('X-Forwarded-For: 1.2.3.4,10.1.1.1\r\n');
    expect(text).toContain('X-Forwarded-Proto: http\r\n');
    expect(text).toMatch(/X-Request-Id: [0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\r\n/);
    expect(text).toContain('traceparent: 00-1\r\nb3: 1\r\n');
    expect(text).not.toMatch(/max-retries|x-drop|keep-alive|TE:|client-cert|evil/i);
  });

  it('refuses a request that would strip what this proxy states', async () => {
    const { connect } = setup();
    const text = await connect()
      .send('GET / HTTP/1.1\r\nHost: h\r\nConnection: X-Forwarded-For\r\n\r\n')
      .saw('\r\n\r\n');
    expect(text).toMatch(/^HTTP\/1\.1 400 /);
  });
});

describe('a client that ends its side', () => {
  it('has left, be its request whole: filters that wait are cancelled and nothing is forwarded', async () => {
    let aborted = false;
    const filter: HttpFilter = {
      name: 'waiting',
      onRequestHead: (context: FilterContext) =>
        new Promise((resolve) => {
          context.signal.addEventListener('abort', () => {
            aborted = true;
            resolve(undefined);
          });
        }),
    };
    const { connect, finished, runtime } = setup({ options: { filters: [filter] } });
    const client = connect().send(get);
    client.connection.end();
    await client.until(() => client.closed);
    expect(client.text).toBe('');
    expect(aborted).toBe(true);
    expect(runtime.dialled).toEqual([]);
    expect(finished).toMatchObject([{ responseCode: 0, flags: ['DC'], details: 'downstream_remote_disconnect' }]);
    expect(finished[0]!.cluster?.name).toBe('c');
  });
});

describe('an upgrade that the upstream leaves unanswered', () => {
  const ask = 'GET /w HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n';
  const upgrades = new Set(['websocket']);

  it("ends with the route's timeout; a tunnel lives on behind its 101", async () => {
    const { connect, backend, finished } = setup({ route: forward({ upgrades, timeoutMs: 40 }) });
    const client = connect().send(ask);
    await backend();
    expect(await client.saw('\r\n\r\n')).toMatch(/^HTTP\/1\.1 504 /);
    expect(finished).toMatchObject([{ flags: ['UT'], details: 'response_timeout' }]);
    const other = connect().send(ask);
    const server = await backend();
    server.send('HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n');
    await other.saw('\r\n\r\n');
    // Longer than the timeout.
    await new Promise((resolve) => setTimeout(resolve, 80));
    server.send('ping');
    await other.saw('ping');
  });

  it('is tried again as the route says', async () => {
    const { connect, backend } = setup({ route: forward({ upgrades, retry: plan }) });
    const client = connect().send(ask);
    (await backend()).send('HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n');
    const second = await backend();
    second.send('HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n');
    expect(await client.saw('\r\n\r\n')).toMatch(/^HTTP\/1\.1 101 /);
  });
});
