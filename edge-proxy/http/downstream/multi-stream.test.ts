/** Sessions and exchanges on a connection that carries several streams: the toy protocol of testing/frames.ts. */
import { afterEach, describe, expect, it } from 'vitest';
import { type FilterHooks, StateSlot } from '../filters/hooks.ts';
import * as frames from '../testing/frames.ts';
import { MultiStreamClient } from '../testing/multi-stream-client.ts';
import { openMultiStream } from '../testing/multi-stream-connection.ts';
import { memoryPair, type Wire } from '../testing.ts';
import { closeAll, downstream, type Setup, setup } from './testing.ts';

afterEach(closeAll);

const settled = () => new Promise((done) => setImmediate(done));
const bytes = (text: string) => new TextEncoder().encode(text);

function run(options: Setup['options'] = {}) {
  const made = setup({ options: { openCodec: openMultiStream, ...options } });
  const [near, far] = memoryPair();
  const client = new MultiStreamClient((one) => void near.write(one));
  near.handler = {
    onData: (one) => client.onBytes(one),
    onDrain() {},
    onEnd: () => near.end(),
    onClose: () => client.onClose(),
  };
  made.manager.accept(far, downstream);
  return { ...made, client, near };
}

const filters = (...hooks: FilterHooks[]) => hooks.map((one, i) => ({ name: `f${i}`, ...one }));
/** The backends of as many streams, by the path they were asked for. */
async function asked(backend: () => Promise<Wire>, count: number): Promise<Map<string, Wire>> {
  const found = new Map<string, Wire>();
  while (found.size < count) {
    const wire = await backend();
    const text = await wire.saw('\r\n\r\n');
    found.set(/^\w+ (\S+) /.exec(text)![1]!, wire);
  }
  return found;
}
const ok = (body: string) => `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`;

describe('streams of one connection', () => {
  it('are answered in any order, each with the state of its own', async () => {
    const slot = new StateSlot<string>();
    const { client, backend, finished } = run({
      filters: filters({
        onRequestHead: (c) => void c.set(slot, c.request.path),
        onResponseHead: (c, { headers }) => void headers.set('x-path', c.get(slot) ?? ''),
      }),
    });
    const streams = ['/a', '/b', '/c'].map((path) => client.request({ path }));
    const backends = await asked(backend, 3);
    for (const path of ['/c', '/a', '/b']) {
      backends.get(path)!.send(ok(path));
      await client.until(() => streams.some((one) => one.ended && one.body === path));
    }
    expect(streams.map((one) => [one.status, one.header('x-path'), one.body])).toEqual([
      [200, '/a', '/a'],
      [200, '/b', '/b'],
      [200, '/c', '/c'],
    ]);
    expect(finished.map(({ path, protocol }) => [path, protocol])).toEqual([
      ['/c', 'HTTP/2'],
      ['/a', 'HTTP/2'],
      ['/b', 'HTTP/2'],
    ]);
  });

  it('one that a filter holds back, or whose client is slow, delays no other', async () => {
    const { promise, resolve } = Promise.withResolvers<undefined>();
    const { client, backend } = run({
      filters: filters({ onRequestHead: ({ request }) => (request.path === '/held' ? promise : undefined) }),
    });
    const held = client.request({ path: '/held' });
    const slow = client.request({ path: '/slow' });
    client.slowDown(slow);
    const upstream = (await asked(backend, 1)).get('/slow')!;
    const size = 4 * 1024 * 1024;
    upstream.send(`HTTP/1.1 200 OK\r\nContent-Length: ${size}\r\n\r\n${'x'.repeat(size / 2)}`);
    const quick = client.request({ path: '/quick' });
    const other = (await asked(backend, 1)).get('/quick')!.send(ok('quick'));
    await client.until(() => quick.ended);
    expect([slow.bytes, slow.ended, held.head]).toEqual([frames.WINDOW, false, undefined]);
    client.hurry(slow);
    upstream.send('x'.repeat(size / 2));
    await client.until(() => slow.ended);
    expect(slow.bytes).toBe(size);
    resolve(undefined);
    // On a connection that is free now.
    const next = await Promise.race(
      [upstream, other].map(async (one) => {
        await one.saw('GET /held ');
        return one;
      }),
    );
    next.send(ok('held'));
    await client.until(() => held.ended);
  });

  it('what a slow client does not take stays with the upstream', async () => {
    const { client, backend } = run();
    const slow = client.request({ path: '/slow' });
    client.slowDown(slow);
    const upstream = (await asked(backend, 1)).get('/slow')!;
    upstream.send('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n');
    const piece = `4000\r\n${'y'.repeat(0x4000)}\r\n`;
    for (let i = 0; i < 64; i++) {
      upstream.send(piece);
      await settled();
    }
    expect(slow.bytes).toBe(frames.WINDOW);
    // Of 1 MiB that was sent, all but the window and one read waits in the upstream's connection.
    expect(upstream.connection.buffered).toBeGreaterThan(58 * piece.length);
  });

  it('a slow upstream holds back its own stream alone', async () => {
    const { client, backend } = run();
    const upload = client.request({ path: '/upload' }, false);
    const other = client.request({ path: '/other' }, false);
    const backends = await asked(backend, 2);
    backends.get('/upload')!.connection.pause();
    let sent = 0;
    for (let i = 0; i < 40; i++) {
      sent += client.send(upload, new Uint8Array(16 * 1024).fill(97));
      await settled();
    }
    expect(sent).toBeLessThan(4 * frames.WINDOW);
    client.send(other, bytes('small'), true);
    await backends.get('/other')!.saw('small');
    backends.get('/upload')!.connection.resume();
    await client.until(() => upload.credit > 0);
  });

  it('trailers pass in both directions: enable_trailers is of HTTP/1 alone', async () => {
    const { client, backend } = run();
    const stream = client.request({ path: '/t' }, false);
    client.send(stream, bytes('hi'));
    client.trailers(stream, [['x-sum', '1']]);
    const upstream = (await asked(backend, 1)).get('/t')!;
    expect(await upstream.saw('x-sum')).toContain('0\r\nx-sum: 1\r\n\r\n');
    upstream.send('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\ngrpc-status: 0\r\n\r\n');
    await client.until(() => stream.ended);
    expect([stream.body, stream.trailers]).toEqual(['ok', [['grpc-status', '0']]]);
  });
});

describe('a reset', () => {
  it('by the client ends its stream alone, upstream too, and is not the end of the connection in the log', async () => {
    const ends: boolean[] = [];
    const { client, backend, finished } = run({
      filters: filters({ onEnd: (_, complete) => void ends.push(complete) }),
    });
    const [left, kept] = [client.request({ path: '/left' }), client.request({ path: '/kept' })];
    const backends = await asked(backend, 2);
    client.reset(left, 'remote_reset');
    await backends.get('/left')!.until(() => backends.get('/left')!.closed);
    expect(finished[0]).toMatchObject({ flags: ['DR'], details: 'toy.remote_reset' });
    backends.get('/kept')!.send(ok('kept'));
    await client.until(() => kept.ended);
    expect(ends).toEqual([false, true]);
  });

  it('by the upstream, in the midst of a response, resets its stream alone', async () => {
    const { client, backend, finished } = run();
    const [cut, kept] = [client.request({ path: '/cut' }), client.request({ path: '/kept' })];
    const backends = await asked(backend, 2);
    backends.get('/cut')!.send('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf');
    await client.until(() => cut.body === 'half');
    backends.get('/cut')!.connection.destroy();
    await client.until(() => cut.reset !== undefined);
    expect([cut.reset, cut.ended]).toEqual(['local_reset', false]);
    expect(finished[0]).toMatchObject({ flags: ['UC'] });
    backends.get('/kept')!.send(ok('kept'));
    await client.until(() => kept.ended);
  });

  it('a response before the request is whole tells the client to send no more of it', async () => {
    const { client, backend } = run();
    const stream = client.request({ path: '/early' }, false);
    (await asked(backend, 1)).get('/early')!.send(ok('enough'));
    await client.until(() => stream.reset !== undefined);
    expect([stream.body, stream.ended, stream.reset]).toEqual(['enough', true, 'no_error']);
  });

  it('the end of the connection ends all streams, once each', async () => {
    const { client, backend, finished, near, manager } = run();
    for (const path of ['/a', '/b']) client.request({ path });
    const backends = await asked(backend, 2);
    near.destroy();
    for (const one of backends.values()) await one.until(() => one.closed);
    expect(finished.map(({ flags }) => flags)).toEqual([['DC'], ['DC']]);
    expect([manager.activeRequests, manager.sessions.size]).toEqual([0, 0]);
  });
});

describe('a connection', () => {
  it('that drains finishes its streams, refuses new ones, and closes', async () => {
    const { client, backend, manager } = run();
    const open = client.request({ path: '/open' });
    const backends = await asked(backend, 1);
    manager.drain();
    await client.until(() => client.goaway);
    const late = client.request({ path: '/late' });
    await client.until(() => late.reset !== undefined);
    expect(late.reset).toBe('refused_stream');
    backends.get('/open')!.send(ok('done'));
    await client.until(() => client.closed);
    expect([open.body, open.ended]).toEqual(['done', true]);
    expect(manager.sessions.size).toBe(0);
  });

  it('at its request limit takes no further stream, and serves those that are open', async () => {
    const { client, backend } = run({
      config: { statPrefix: 't', commonHttpProtocolOptions: { maxRequestsPerConnection: 2 } },
    });
    const streams = ['/a', '/b', '/c'].map((path) => client.request({ path }));
    await client.until(() => streams[2]!.reset !== undefined);
    for (const [path, wire] of await asked(backend, 2)) wire.send(ok(path));
    await client.until(() => client.closed);
    expect(streams.map((one) => one.body)).toEqual(['/a', '/b', '']);
  });

  it('a head that is no request is answered on its stream, and the others continue', async () => {
    const config = { statPrefix: 't', requestHeadersTimeout: '0.02s' };
    const { client, backend, finished } = run({ config });
    const open = client.request({ path: '/open' });
    const backends = await asked(backend, 1);
    const bad = frames.encodeFrame(frames.HEAD, true, 99, bytes('no json'));
    client.raw(bad.subarray(0, 12));
    await settled();
    client.raw(bad.subarray(12));
    await client.until(() => client.streams.get(99)?.ended === true);
    expect(client.streams.get(99)!.status).toBe(400);
    // The time for the head that was refused no longer runs.
    await new Promise((done) => setTimeout(done, 60));
    expect([client.goaway, finished.length]).toEqual([false, 1]);
    backends.get('/open')!.send(ok('served'));
    await client.until(() => open.ended);
    expect(open.body).toBe('served');
  });

  it('a head that is not completed in time is refused, and the others are served to their end', async () => {
    const { client, backend } = run({ config: { statPrefix: 't', requestHeadersTimeout: '0.02s' } });
    const open = client.request({ path: '/open' });
    const backends = await asked(backend, 1);
    client.raw(frames.encodeFrame(frames.HEAD, true, 99, bytes('{}')).subarray(0, 11));
    await client.until(() => client.streams.get(99)?.status === 408);
    backends.get('/open')!.send(ok('served'));
    await client.until(() => client.closed);
    expect(open.body).toBe('served');
  });
});
