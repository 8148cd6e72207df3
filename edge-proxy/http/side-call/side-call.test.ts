import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Cluster } from '../../upstream/cluster.ts';
import { UpstreamPool } from '../../upstream/upstream-pool.ts';
import { HeaderMap } from '../message/header-map.ts';
import { makeCluster } from '../testing/manager.ts';
import { MemoryRuntime, Wire } from '../testing/memory-network.ts';
import { type CallHead, type CallOptions, SideCallError, sideCalls } from './side-call.ts';

const bytes = (text: string) => new TextEncoder().encode(text);
const text = (data: Uint8Array) => new TextDecoder().decode(data);
const settled = () => new Promise((done) => setImmediate(done));
const ok = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Back: b\r\n\r\nhi';

let wires: Wire[];
let waiting: ((wire: Wire) => void)[];
let cluster: ReturnType<typeof makeCluster>;
let runtime: MemoryRuntime;
let call: ReturnType<typeof sideCalls>;

beforeEach(() => {
  wires = [];
  waiting = [];
  cluster = makeCluster([1]);
  runtime = new MemoryRuntime();
  void runtime.listen({ address: '10.0.0.9', port: 1 }, (connection) => {
    const wire = new Wire(connection);
    wires.push(wire);
    waiting.shift()?.(wire);
  });
  call = sideCalls(
    { get: (name) => (name === 'c' ? (cluster as Cluster) : undefined) },
    new UpstreamPool(runtime),
    runtime,
  );
});
afterEach(() => {
  for (const wire of wires) wire.connection.destroy();
});

const backend = () => new Promise<Wire>((resolve) => waiting.push(resolve));
const options: CallOptions = { timeoutMs: 60_000, maxBodyBytes: 1000 };
const get: CallHead = { method: 'GET', path: '/check?a' };
const ask = (head: CallHead = get, body?: Uint8Array, more: Partial<CallOptions> = {}, name = 'c') =>
  call.http(name, head, body, { ...options, ...more });
const failure = (asked: Promise<unknown>) =>
  asked.then(
    () => 'answered',
    (error: unknown) => (error as SideCallError).reason,
  );

describe('a call over HTTP/1.1', () => {
  it('sends a request and resolves with the whole response', async () => {
    const headers = new HeaderMap();
    headers.append('X-A', '1');
    headers.append('Connection', 'close');
    headers.append('Transfer-Encoding', 'chunked');
    const asked = ask({ method: 'POST', path: '/check', authority: 'auth.test', headers }, bytes('body'));
    const server = await backend();
    expect(await server.saw('body')).toBe(
      'POST /check HTTP/1.1\r\nhost: auth.test\r\nX-A: 1\r\ncontent-length: 4\r\n\r\nbody',
    );
    server.send(ok);
    const { status, headers: fields, body } = await asked;
    expect([status, fields.get('x-back'), text(body)]).toEqual([200, 'b', 'hi']);
    expect([cluster.use, cluster.reports]).toEqual([
      { connections: 1, pending: 0, requests: 0, retries: 0 },
      [[1, 200]],
    ]);
    // The caller's own fields are as they were.
    expect(headers.has('connection')).toBe(true);
  });

  it('asks for the host by the name of the cluster, and keeps the connection', async () => {
    const first = ask();
    const server = await backend();
    expect(await server.saw('\r\n\r\n')).toContain('host: c\r\n');
    server.send(ok);
    await first;
    const second = ask({ method: 'POST', path: '/b' });
    expect(await server.saw('POST /b')).toBeTruthy();
    await server.until(() => server.text.endsWith('content-length: 0\r\n\r\n'));
    server.send('HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n');
    expect((await second).status).toBe(403);
    expect(runtime.dialled).toHaveLength(1);
  });

  it('reads chunked responses, trailers and interim ones', async () => {
    const asked = ask();
    const server = await backend();
    server.send('HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n');
    server.send('3\r\nabc\r\n2\r\nde\r\n0\r\nX-T: 1\r\n\r\n');
    const { body, trailers } = await asked;
    expect([text(body), trailers?.get('x-t')]).toEqual(['abcde', '1']);
  });

  it.each([
    ['of a known length', 'HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n'],
    ['chunked', `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n${'x'.repeat(1001)}\r\n`],
  ])('refuses a response that is too long: %s', async (_, answer) => {
    const asked = failure(ask());
    const server = await backend();
    server.send(answer);
    expect(await asked).toBe('response_too_large');
    await server.until(() => server.ended);
    expect(cluster.use.requests).toBe(0);
  });

  it('takes one of just the length', async () => {
    const asked = ask();
    (await backend()).send(`HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n${'x'.repeat(1000)}`);
    expect((await asked).body).toHaveLength(1000);
  });

  it('keeps no body that is not wanted, and still refuses one that is too long', async () => {
    const keepsBody = (status: number) => status !== 200;
    const first = ask(get, undefined, { keepsBody });
    const server = await backend();
    server.send(ok);
    expect(await first).toMatchObject({ status: 200, body: new Uint8Array(0) });
    const second = ask(get, undefined, { keepsBody });
    await server.until(() => server.text.split('GET').length === 3);
    server.send('HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno');
    expect(text((await second).body)).toBe('no');
    const third = failure(ask(get, undefined, { keepsBody }));
    await server.until(() => server.text.split('GET').length === 4);
    server.send(`HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n${'x'.repeat(1001)}\r\n`);
    expect(await third).toBe('response_too_large');
  });

  it('ends at its time, its connection with it', async () => {
    const asked = failure(ask(get, undefined, { timeoutMs: 10 }));
    const server = await backend();
    expect(await asked).toBe('timeout');
    await server.until(() => server.ended);
    expect(cluster.use).toMatchObject({ requests: 0, pending: 0 });
  });

  it('ends when it is no longer wanted, before and while it runs', async () => {
    const abort = new AbortController();
    const asked = failure(ask(get, undefined, { signal: abort.signal }));
    const server = await backend();
    abort.abort();
    expect(await asked).toBe('aborted');
    await server.until(() => server.ended);
    expect(await failure(ask(get, undefined, { signal: abort.signal }))).toBe('aborted');
    expect(runtime.dialled).toHaveLength(1);
  });

  it('fails by name without an endpoint, or at a full queue', async () => {
    expect(await failure(ask(get, undefined, {}, 'other'))).toBe('cluster_not_found');
    cluster = makeCluster([]);
    expect(await failure(ask())).toBe('no_healthy_upstream');
    cluster = makeCluster([1]);
    cluster.use.requests = 10;
    expect(await failure(ask())).toBe('overflow');
  });

  it('fails where the connection does, and tells outlier detection', async () => {
    cluster = makeCluster([66]);
    expect(await failure(ask())).toBe('reset');
    expect(cluster.reports).toEqual([[66, 'connect-failure']]);
    cluster = makeCluster([1]);
    const asked = failure(ask());
    const server = await backend();
    server.send('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe');
    await settled();
    server.connection.destroy();
    expect(await asked).toBe('reset');
  });

  it('fails where the upstream switches protocols', async () => {
    const asked = failure(ask());
    (await backend()).send('HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n');
    expect(await asked).toBe('reset');
  });

  it.each<[string, boolean | undefined, string]>([
    ['GET', undefined, 'answered'],
    ['POST', undefined, 'reset'],
    ['POST', true, 'answered'],
    ['GET', false, 'reset'],
  ])('a kept connection that is dead: %s, repeatable %s: %s', async (method, repeatable, expected) => {
    const first = ask();
    const server = await backend();
    server.send(ok);
    await first;
    const asked = failure(ask({ method, path: '/' }, undefined, { ...(repeatable !== undefined && { repeatable }) }));
    await server.until(() => server.text.includes(`${method} / `));
    const again = expected === 'answered' ? backend() : undefined;
    server.connection.destroy();
    (await again)?.send(ok);
    expect(await asked).toBe(expected);
  });

  it('asks for the options of a server', async () => {
    const asked = ask({ method: 'OPTIONS', path: '*' });
    const server = await backend();
    expect(await server.saw('\r\n\r\n')).toContain('OPTIONS * HTTP/1.1\r\n');
    server.send(ok);
    expect((await asked).status).toBe(200);
  });

  it.each<[string, CallHead]>([
    ['a method with a space', { method: 'GET /x', path: '/' }],
    ['CONNECT', { method: 'CONNECT', path: '/' }],
    ['a path with a line feed', { method: 'GET', path: '/a\r\nX: 1' }],
    ['a path without a slash', { method: 'GET', path: 'a' }],
    ['* with another method', { method: 'GET', path: '*' }],
    ['a host with a space', { method: 'GET', path: '/', authority: 'a b' }],
  ])('sends nothing that would not be one request: %s', async (_, head) => {
    expect(await failure(ask(head))).toBe('invalid_request');
    expect(runtime.dialled).toEqual([]);
  });
});

it('gRPC is refused where the cluster does not speak HTTP/2, and says why', async () => {
  const asked = call.unary('c', '/a.B/C', new Uint8Array(0), { timeoutMs: 60_000, maxMessageBytes: 1000 });
  await expect(asked).rejects.toThrow(SideCallError);
  await expect(asked).rejects.toThrow('call to cluster "c": gRPC needs HTTP/2');
});
