/** gRPC calls of the proxy's own, against gRPC's own server and against servers that break the protocol. */
import http2 from 'node:http2';
import type { AddressInfo } from 'node:net';
import {
  Metadata,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerReadableStream,
  type ServerUnaryCall,
  type ServerWritableStream,
  type sendUnaryData,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { currentRuntime } from '../../runtime/index.ts';
import type { Cluster } from '../../upstream/cluster.ts';
import { UpstreamPool } from '../../upstream/upstream-pool.ts';
import { defaultHttp2Options } from '../codec/h2/options.ts';
import { http2Protocol } from '../codec/h2/upstream-connection.ts';
import { framedMessage } from '../grpc/message-reader.ts';
import { HeaderMap } from '../message/header-map.ts';
import { makeCluster } from '../testing/manager.ts';
import {
  type GrpcEvents,
  type GrpcMethod,
  type GrpcOptions,
  type GrpcStatus,
  type SideCallError,
  sideCalls,
} from './side-call.ts';

const bytes = (text: string) => new TextEncoder().encode(text);
const text = (data: Uint8Array | undefined) => data && new TextDecoder().decode(data);
const options: GrpcOptions = { timeoutMs: 60_000, maxMessageBytes: 1000 };
const protocol = http2Protocol(defaultHttp2Options);
/** Messages of a call to Many: several windows of a stream. */
const MANY = 400;
const numbered = (i: number) => Buffer.from(`m${i}`.padEnd(900, '.'));
/** Whole messages, each with its head of 5 bytes, that fit into the window with which a stream begins. */
const WINDOW_MESSAGES = Math.floor(defaultHttp2Options.initialWindow / 905);

function clusterAt(ports: readonly number[]) {
  const limits = { maxConnections: 10, maxPendingRequests: 100, maxRequests: 100, maxRetries: 3 };
  const cluster = { ...makeCluster(ports), limits, protocols: { forHttp1: protocol, forHttp2: protocol } };
  for (const endpoint of cluster.endpoints()) Object.assign(endpoint, { address: '127.0.0.1' });
  return cluster;
}

/** What was heard of a streaming call. */
function listening(onMessage: (message: Uint8Array) => void = () => {}) {
  const messages: string[] = [];
  let writable = 0;
  let settle: (end: GrpcStatus | SideCallError) => void;
  const end = new Promise<GrpcStatus | SideCallError>((resolve) => {
    settle = resolve;
  });
  const events: GrpcEvents = {
    onMessage: (message) => {
      messages.push(text(message)!);
      onMessage(message);
    },
    onWritable: () => {
      writable++;
    },
    onStatus: (status) => settle(status),
    onFailure: (error) => settle(error),
  };
  return { events, messages, end, writable: () => writable };
}

describe("with gRPC's own server", () => {
  const server = new Server();
  let cluster: ReturnType<typeof clusterAt>;
  let call: ReturnType<typeof sideCalls>;
  let pool: UpstreamPool;
  const cancelled: string[] = [];

  beforeAll(async () => {
    const same = (value: Buffer) => value;
    const method = (name: string, requestStream: boolean, responseStream: boolean) => ({
      path: `/test.Echo/${name}`,
      requestStream,
      responseStream,
      requestSerialize: same,
      requestDeserialize: same,
      responseSerialize: same,
      responseDeserialize: same,
    });
    const handlers = {
      Unary: ({ request, metadata }: ServerUnaryCall<Buffer, Buffer>, answer: sendUnaryData<Buffer>) => {
        const trailer = new Metadata();
        trailer.set('x-seen', [...metadata.get('x-a'), ...metadata.get('grpc-timeout')].join(' '));
        if (`${request}` === 'fail') answer({ code: 9, details: 'no: 100% \u20ac' });
        else answer(null, Buffer.from(`echo ${request}`), trailer);
      },
      Slow: (asked: ServerUnaryCall<Buffer, Buffer>, _: sendUnaryData<Buffer>) => {
        asked.on('cancelled', () => cancelled.push('Slow'));
      },
      Both: (both: ServerDuplexStream<Buffer, Buffer>) => {
        both.on('data', (message: Buffer) => void both.write(message));
        both.on('end', () => both.end());
      },
      Sum: (sum: ServerReadableStream<Buffer, Buffer>, answer: sendUnaryData<Buffer>) => {
        let total = 0;
        sum.on('data', (message: Buffer) => {
          total += message.length;
        });
        sum.on('end', () => answer(null, Buffer.from(String(total))));
      },
      Many: (many: ServerWritableStream<Buffer, Buffer>) => {
        for (let i = 0; i < MANY; i++) many.write(numbered(i));
        many.end();
      },
    };
    server.addService(
      {
        Unary: method('Unary', false, false),
        Slow: method('Slow', false, false),
        Both: method('Both', true, true),
        Sum: method('Sum', true, false),
        Many: method('Many', false, true),
      },
      handlers as unknown as UntypedServiceImplementation,
    );
    const port = await new Promise<number>((resolve, reject) => {
      server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
        error ? reject(error) : resolve(bound),
      );
    });
    cluster = clusterAt([port]);
    pool = new UpstreamPool(currentRuntime());
    call = sideCalls({ get: (name) => (name === 'c' ? (cluster as Cluster) : undefined) }, pool, currentRuntime());
  });
  afterAll(() => {
    pool.close();
    server.forceShutdown();
  });

  it('asks, with metadata and its deadline, and is answered', async () => {
    const metadata = new HeaderMap();
    metadata.append('X-A', '1');
    metadata.append('grpc-status', '7');
    metadata.append('Content-Type', 'text/plain');
    const reply = await call.unary('c', '/test.Echo/Unary', bytes('hello'), { ...options, metadata });
    expect([reply.status, text(reply.response)]).toEqual([0, 'echo hello']);
    expect(reply.trailers?.get('x-seen')).toBe('1');
    expect(cluster.reports.at(-1)).toEqual([expect.any(Number), 200]);
  });

  it('keeps its connection', async () => {
    const asked = Array.from({ length: 20 }, (_, i) =>
      call.unary('c', '/test.Echo/Unary', bytes(String(i)), options).then(({ response }) => text(response)),
    );
    expect(await Promise.all(asked)).toEqual(Array.from({ length: 20 }, (_, i) => `echo ${i}`));
    expect([cluster.use.connections, cluster.use.requests]).toEqual([1, 0]);
  });

  it('has the status and the message that the server gives', async () => {
    const reply = await call.unary('c', '/test.Echo/Unary', bytes('fail'), options);
    expect(reply).toMatchObject({ status: 9, message: 'no: 100% \u20ac', response: undefined });
    const unknown = await call.unary('c', '/test.Echo/None', bytes(''), options);
    expect(unknown.status).toBe(12);
  });

  it('ends at its deadline, at the server too', async () => {
    const late = call.unary('c', '/test.Echo/Slow', bytes(''), { ...options, timeoutMs: 50 });
    await expect(late).rejects.toMatchObject({ reason: 'timeout' });
    await expect.poll(() => cancelled.length, { timeout: 20_000 }).toBe(1);
    expect(cluster.use.requests).toBe(0);
  });

  it('ends when it is no longer wanted', async () => {
    const abort = new AbortController();
    const asked = call.unary('c', '/test.Echo/Slow', bytes(''), { ...options, signal: abort.signal });
    setTimeout(() => abort.abort(), 20);
    await expect(asked).rejects.toMatchObject({ reason: 'aborted' });
    await expect.poll(() => cancelled.length, { timeout: 20_000 }).toBe(2);
    const again = call.unary('c', '/test.Echo/Unary', bytes(''), { ...options, signal: abort.signal });
    await expect(again).rejects.toMatchObject({ reason: 'aborted' });
  });

  it('refuses a message that is too long', async () => {
    const long = call.unary('c', '/test.Echo/Unary', new Uint8Array(2000), options);
    await expect(long).rejects.toMatchObject({ reason: 'response_too_large' });
  });

  it('streams both ways at once', async () => {
    let sent = 0;
    const heard = listening(() => (sent < 5 ? stream.send(bytes(`m${sent++}`)) : stream.end()));
    const stream = call.stream('c', '/test.Echo/Both', { ...options, timeoutMs: 0 }, heard.events);
    stream.send(bytes('first'));
    expect(await heard.end).toMatchObject({ status: 0 });
    expect(heard.messages).toEqual(['first', 'm0', 'm1', 'm2', 'm3', 'm4']);
  });

  it('waits for a server that reads slowly', async () => {
    const heard = listening();
    const stream = call.stream('c', '/test.Echo/Sum', options, {
      ...heard.events,
      onWritable: () => {
        heard.events.onWritable!();
        fill();
      },
    });
    const message = new Uint8Array(60_000);
    let left = 400;
    const fill = () => {
      while (left > 0) {
        left--;
        if (!stream.send(message)) break;
      }
      if (left === 0) stream.end();
    };
    fill();
    expect(await heard.end).toMatchObject({ status: 0 });
    expect([heard.messages, heard.writable() > 1]).toEqual([[String(400 * 60_000)], true]);
  });

  const all = Array.from({ length: MANY }, (_, i) => String(numbered(i)));

  it('can stop reading, which stops the server at the window, and continue', async () => {
    const heard = listening();
    const stream = call.stream('c', '/test.Echo/Many', options, heard.events);
    stream.send(bytes(''));
    stream.end();
    stream.pause();
    await expect.poll(() => heard.messages.length, { timeout: 20_000 }).toBe(WINDOW_MESSAGES);
    // Calls that share the connection pass; behind each answer nothing has come for the paused one.
    for (let i = 0; i < 20; i++) expect((await call.unary('c', '/test.Echo/Unary', bytes(''), options)).status).toBe(0);
    expect([heard.messages.length, cluster.use.connections]).toEqual([WINDOW_MESSAGES, 1]);
    stream.resume();
    expect(await heard.end).toMatchObject({ status: 0 });
    expect(heard.messages).toEqual(all);
  });

  it('can stop reading between messages, and continue', async () => {
    const heard = listening(() => {
      if (heard.messages.length === 1) stream.pause();
    });
    const stream = call.stream('c', '/test.Echo/Many', options, heard.events);
    stream.send(bytes(''));
    stream.end();
    await expect.poll(() => heard.messages.length, { timeout: 20_000 }).toBeGreaterThanOrEqual(WINDOW_MESSAGES);
    for (let i = 0; i < 20; i++) expect((await call.unary('c', '/test.Echo/Unary', bytes(''), options)).status).toBe(0);
    expect(heard.messages.length).toBeLessThan(MANY / 2);
    stream.resume();
    expect(await heard.end).toMatchObject({ status: 0 });
    expect(heard.messages).toEqual(all);
  });

  it('can be given up: nothing more is heard', async () => {
    const heard = listening();
    const stream = call.stream('c', '/test.Echo/Both', options, heard.events);
    stream.send(bytes('a'));
    await expect.poll(() => heard.messages, { timeout: 20_000 }).toEqual(['a']);
    stream.cancel();
    expect([stream.send(bytes('b')), cluster.use.requests]).toEqual([true, 0]);
    stream.cancel();
    expect(heard.messages).toEqual(['a']);
  });

  it('fails by name without a cluster, and where the call cannot be sent', async () => {
    await expect(call.unary('other', '/a/b', bytes(''), options)).rejects.toMatchObject({
      reason: 'cluster_not_found',
    });
    for (const method of ['/a b/c', '/a/b/c', '/a', '/a/b\r\n'] as GrpcMethod[])
      await expect(call.unary('c', method, bytes(''), options)).rejects.toMatchObject({ reason: 'invalid_request' });
  });
});

describe('with a server that does not speak gRPC as it should', () => {
  const server = http2.createServer();
  const sessions: http2.ServerHttp2Session[] = [];
  let call: ReturnType<typeof sideCalls>;
  let pool: UpstreamPool;
  let cluster: ReturnType<typeof clusterAt>;
  let asked = 0;

  beforeAll(async () => {
    server.on('session', (session) => sessions.push(session));
    server.on('stream', (stream, headers) => {
      asked++;
      stream.on('error', () => {});
      const how = headers[':path']!.split('/')[2]!;
      const ok = { ':status': 200, 'content-type': 'application/grpc' };
      const one = framedMessage(bytes('hi'));
      const ending = (body: Uint8Array, trailers: http2.OutgoingHttpHeaders) => {
        stream.respond(ok, { waitForTrailers: true });
        stream.on('wantTrailers', () => stream.sendTrailers(trailers));
        stream.end(body);
      };
      if (how.startsWith('status')) stream.respond({ ':status': Number(how.slice(6)) }, { endStream: true });
      else if (how === 'head')
        stream.respond({ ...ok, 'grpc-status': 5, 'grpc-message': 'a%20b' }, { endStream: true });
      else if (how === 'both') stream.respond({ ':status': 503, 'grpc-status': 8 }, { endStream: true });
      else if (how === 'html') {
        stream.respond({ ':status': 200, 'content-type': 'text/html' });
        stream.end('<p>');
      } else if (how === 'nostatus') {
        stream.respond(ok);
        stream.end(one);
      } else if (how === 'trailers') ending(one, { 'x-a': '1' });
      else if (how === 'text') ending(one, { 'grpc-status': 'soon' });
      else if (how === 'none') ending(new Uint8Array(0), { 'grpc-status': '0' });
      else if (how === 'two') ending(Buffer.concat([one, one]), { 'grpc-status': '0' });
      else if (how === 'cut') ending(one.subarray(0, 6), { 'grpc-status': '0' });
      else if (how === 'compressed') ending(Uint8Array.of(1, 0, 0, 0, 0), { 'grpc-status': '0' });
      else if (how === 'refused' && asked % 2 === 1) stream.close(http2.constants.NGHTTP2_REFUSED_STREAM);
      else if (how === 'refused') ending(one, { 'grpc-status': '0' });
      else stream.close(http2.constants.NGHTTP2_INTERNAL_ERROR);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    cluster = clusterAt([(server.address() as AddressInfo).port]);
    pool = new UpstreamPool(currentRuntime());
    call = sideCalls({ get: () => cluster as Cluster }, pool, currentRuntime());
  });
  afterAll(() => {
    pool.close();
    for (const session of sessions) session.destroy();
    server.close();
  });

  const ask = (how: string) => call.unary('c', `/s/${how}`, bytes('x'), options);

  it.each([
    ['status400', 13],
    ['status401', 16],
    ['status403', 7],
    ['status404', 12],
    ['status429', 14],
    ['status503', 14],
    ['status418', 2],
    ['status200', 2],
    ['head', 5],
    ['both', 8],
    ['html', 2],
    ['nostatus', 2],
    ['trailers', 2],
    ['text', 2],
    ['none', 13],
    ['two', 13],
  ])('%s is status %d', async (how, status) => {
    const reply = await ask(how);
    expect([reply.status, reply.response]).toEqual([status, undefined]);
  });

  it('reads the message of a status', async () => expect((await ask('head')).message).toBe('a b'));

  it.each([
    ['cut', 'invalid_response'],
    ['compressed', 'invalid_response'],
    ['reset', 'reset'],
  ])('%s is no status: %s', async (how, reason) => {
    await expect(ask(how)).rejects.toMatchObject({ reason });
    expect(cluster.use.requests).toBe(0);
  });

  it('asks once more where the server has not begun with the call', async () => {
    asked = 0;
    expect(text((await ask('refused')).response)).toBe('hi');
    expect(asked).toBe(2);
  });

  it('tells outlier detection what the head says', async () => {
    await ask('both');
    expect(cluster.reports.at(-1)).toEqual([expect.any(Number), 429]);
  });
});
