/** Every answer of every hook, on both sides, through a connection manager on connections in memory. */
import { afterEach, describe, expect, it } from 'vitest';
import { closeAll, forward, get, makeCluster, ok, plan, type Setup, setup } from '../downstream/testing.ts';
import { type FilterContext, type FilterHooks, type HttpFilter, REWRITE_BODY, StateSlot } from './hooks.ts';

afterEach(closeAll);

const bytes = (text: string) => new TextEncoder().encode(text);
const text = (data: Uint8Array | undefined) => new TextDecoder().decode(data);
const bodyOf = (context: FilterContext, side: 'requestBody' | 'responseBody') =>
  (context[side]?.chunks ?? []).map((chunk) => text(chunk)).join('');
const named = (...hooks: FilterHooks[]): HttpFilter[] => hooks.map((one, i) => ({ name: `f${i}`, ...one }));
const run = (hooks: FilterHooks[], more: Setup = {}) =>
  setup({ ...more, options: { filters: named(...hooks), ...more.options } });
const refusal = { status: 403, body: 'no', details: 'refused' };
const post = (body: string) => `POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
const chunks = (...parts: string[]) => parts.map((one) => `${one.length.toString(16)}\r\n${one}\r\n`).join('');
const chunkedHead = 'POST /p HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n';
const response = (body: string, head = '200 OK') => `HTTP/1.1 ${head}\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
const chunkedResponse = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n';
/** What was sent has arrived: this network needs microtasks alone. */
const settled = () => new Promise((done) => setImmediate(done));
function later<T>() {
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  return { promise, resolve, reject };
}
/** The body of the message in `wire`, its chunks joined. */
function dechunked(raw: string): string {
  let out = '';
  let rest = raw.slice(raw.indexOf('\r\n\r\n') + 4);
  for (;;) {
    const size = /^([0-9a-f]+)\r\n/.exec(rest);
    if (!size) return out;
    const from = size[0].length;
    const length = Number.parseInt(size[1]!, 16);
    out += rest.slice(from, from + length);
    rest = rest.slice(from + length + 2);
  }
}

describe('the head of a request', () => {
  it('passes the filters in their order, and the response in the reverse', async () => {
    const seen: string[] = [];
    const hooks = ['a', 'b', 'c'].map(
      (name): FilterHooks => ({
        onRequestHead: () => void seen.push(name),
        onResponseHead: () => void seen.push(name.toUpperCase()),
        onEnd: (_, complete) => void seen.push(`${name}:${complete}`),
      }),
    );
    const { connect, backend } = run(hooks);
    const client = connect().send(get);
    (await backend()).send(ok);
    await client.saw('hi');
    expect(seen).toEqual(['a', 'b', 'c', 'C', 'B', 'A', 'a:true', 'b:true', 'c:true']);
  });

  it.each([
    ['at once', () => refusal],
    ['by a promise', () => Promise.resolve(refusal)],
  ])('is answered %s, and later filters are not asked', async (_, onRequestHead) => {
    const asked: string[] = [];
    const { connect, runtime, finished } = run([{ onRequestHead }, { onRequestHead: () => void asked.push('b') }]);
    expect(await connect().send(get).saw('no')).toMatch(/^HTTP\/1\.1 403 /);
    expect([asked, runtime.dialled]).toEqual([[], []]);
    expect(finished[0]).toMatchObject({ responseCode: 403, details: 'refused' });
  });

  it('waits for a promise of each answer', async () => {
    const first = later<undefined>();
    const { connect, backend, runtime } = run([
      { onRequestHead: () => first.promise },
      { onRequestHead: (c) => (c.requestBody ? undefined : Promise.resolve({ buffer: 9, whenFull: 'reject' })) },
    ]);
    connect().send(post('hello'));
    await settled();
    expect(runtime.dialled).toEqual([]);
    first.resolve(undefined);
    expect(await (await backend()).saw('hello')).toMatch(/content-length: 5\r\n/i);
  });

  it('that fails later admits nothing, and tells the client nothing', async () => {
    const errors: unknown[] = [];
    const { connect, runtime } = run([{ onRequestHead: () => Promise.reject(new Error('secret')) }], {
      options: { onInternalError: (error) => errors.push(error) },
    });
    const answer = await connect().send(get).saw('\r\n\r\n');
    expect(answer).toMatch(/^HTTP\/1\.1 500 /);
    expect(answer).not.toContain('secret');
    expect([errors, runtime.dialled]).toEqual([[new Error('secret')], []]);
  });

  it('keeps what a filter put into its slot, for this request alone', async () => {
    const slot = new StateSlot<string>();
    const { connect, backend } = run([
      {
        onRequestHead: (c) => void c.set(slot, c.request.path),
        onResponseHead: (c, { headers }) => void headers.set('x-path', c.get(slot) ?? ''),
      },
    ]);
    const client = connect().send(get);
    (await backend()).send(ok);
    expect(await client.saw('hi')).toContain('x-path: /a\r\n');
    client.send(get.replace('/a', '/b'));
    const again = await Promise.race([backend(), settled().then(() => undefined)]);
    expect(again).toBeUndefined();
  });

  it('a client that leaves cancels what a filter waits for', async () => {
    const waiting = later<undefined>();
    const aborted = later<boolean>();
    const ends: boolean[] = [];
    const { connect, runtime, finished } = run([
      {
        onRequestHead: ({ signal }) => {
          signal.addEventListener('abort', () => aborted.resolve(signal.aborted));
          return waiting.promise;
        },
        onEnd: (_, complete) => void ends.push(complete),
      },
    ]);
    const client = connect().send(get);
    await settled();
    client.connection.destroy();
    expect(await aborted.promise).toBe(true);
    waiting.resolve(undefined);
    await settled();
    expect([runtime.dialled, ends]).toEqual([[], [false]]);
    expect(finished[0]).toMatchObject({ flags: ['DC'] });
  });

  it('the signal of an exchange that is over is aborted', async () => {
    let context: FilterContext | undefined;
    const { connect } = run([
      {
        onRequestHead: (c) => {
          context = c;
          return refusal;
        },
      },
    ]);
    await connect().send(get).saw('no');
    expect(context!.signal.aborted).toBe(true);
  });
});

describe('the body of a request that a filter waits for', () => {
  const asking = (whenFull: 'reject' | 'partial', buffer: number, seen: unknown[], last: FilterHooks = {}) => [
    {
      onRequestHead: (c: FilterContext) => {
        if (!c.requestBody) return { buffer, whenFull };
        seen.push([bodyOf(c, 'requestBody'), c.requestBody.complete]);
        return undefined;
      },
    },
    last,
  ];

  it.each([
    ['of known length', post('hello world')],
    ['chunked', `${chunkedHead}${chunks('hello', ' world')}0\r\n\r\n`],
  ])('is shown whole: %s', async (_, request) => {
    const seen: unknown[] = [];
    const { connect, backend } = run(asking('reject', 11, seen));
    connect().send(request);
    expect(await (await backend()).saw('hello world')).toMatch(/content-length: 11\r\n/i);
    expect(seen).toEqual([['hello world', true]]);
  });

  it('is shown empty where there is none', async () => {
    const seen: unknown[] = [];
    const { connect, backend } = run(asking('reject', 1, seen));
    connect().send(get);
    await (await backend()).saw('\r\n\r\n');
    expect(seen).toEqual([['', true]]);
  });

  it('is refused where it is too long', async () => {
    const seen: unknown[] = [];
    const { connect, finished } = run(asking('reject', 10, seen));
    expect(await connect().send(post('hello world')).saw('Large')).toMatch(/^HTTP\/1\.1 413 /);
    expect([seen, finished[0]?.details]).toEqual([[], 'request_payload_too_large']);
  });

  it('is shown in part, and the rest follows', async () => {
    const seen: unknown[] = [];
    const { connect, backend } = run(asking('partial', 5, seen));
    const client = connect().send(`${chunkedHead}${chunks('hello')}`);
    const server = await backend();
    await server.saw('hello');
    client.send(`${chunks(' world')}0\r\n\r\n`);
    await server.saw('0\r\n\r\n');
    expect(dechunked(server.text)).toBe('hello world');
    expect(seen).toEqual([['hello', false]]);
  });

  it('in part, of a body that ends before', async () => {
    const seen: unknown[] = [];
    const { connect, backend } = run(asking('partial', 50, seen));
    connect().send(post('hello'));
    await (await backend()).saw('hello');
    expect(seen).toEqual([['hello', true]]);
  });

  it('can be asked for more than once', async () => {
    const seen: unknown[] = [];
    const { connect, backend } = run([
      {
        onRequestHead: (c) => {
          if (c.requestBody) seen.push(c.requestBody.bytes);
          return { buffer: c.requestBody ? 8 : 4, whenFull: 'partial' };
        },
      },
    ]);
    const client = connect().send(`${chunkedHead}${chunks('1234')}`);
    await settled();
    expect(seen).toEqual([4]);
    client.send(chunks('5678'));
    await (await backend()).saw('5678');
    expect(seen).toEqual([4, 8]);
  });

  it('is replaced', async () => {
    const { connect, backend } = run([
      {
        onRequestHead: (c) =>
          c.requestBody
            ? { replaceBody: bytes(`<${bodyOf(c, 'requestBody')}>`) }
            : { buffer: 99, whenFull: 'reject' as const },
      },
    ]);
    connect().send(post('hello'));
    const sent = await (await backend()).saw('<hello>');
    expect(sent).toMatch(/content-length: 7\r\n/i);
  });

  it('cannot be replaced before it is whole', async () => {
    const errors: unknown[] = [];
    const { connect } = run([{ onRequestHead: () => ({ replaceBody: bytes('x') }) }], {
      options: { onInternalError: (error) => errors.push(error) },
    });
    expect(await connect().send(post('hello')).saw('\r\n\r\n')).toMatch(/^HTTP\/1\.1 500 /);
    expect(String(errors[0])).toContain('f0: replaces a body that it has not buffered whole');
  });

  it('is answered with what the filter thinks of it, after a while', async () => {
    const { connect, runtime } = run([
      {
        onRequestHead: (c) =>
          c.requestBody
            ? Promise.resolve({ ...refusal, body: `no: ${bodyOf(c, 'requestBody')}` })
            : { buffer: 99, whenFull: 'reject' as const },
      },
    ]);
    await connect().send(post('hello')).saw('no: hello');
    expect(runtime.dialled).toEqual([]);
  });

  it('is sent again in a retry', async () => {
    const seen: unknown[] = [];
    const { connect, backend } = run(asking('reject', 200_000, seen), {
      route: forward({ retry: plan }),
      cluster: makeCluster([1, 2]),
    });
    const body = 'x'.repeat(150_000);
    const client = connect().send(post(body));
    for (const answer of [response('', '503 No'), ok]) {
      const server = await backend();
      await server.saw(body);
      server.send(answer);
    }
    expect(await client.saw('hi')).toMatch(/^HTTP\/1\.1 200 /);
    expect(seen).toHaveLength(1);
  });

  it('a client that leaves meanwhile takes it along', async () => {
    const seen: unknown[] = [];
    const { connect, runtime, finished } = run(asking('reject', 99, seen));
    const client = connect().send(`${chunkedHead}${chunks('hello')}`);
    await settled();
    client.connection.destroy();
    await settled();
    expect([seen, runtime.dialled]).toEqual([[], []]);
    expect(finished).toHaveLength(1);
  });

  it('waits bounded while a promise is pending: the client is paused at the buffer limit', async () => {
    const first = later<undefined>();
    const { connect, backend, finished } = run([{ onRequestHead: () => first.promise }], {
      options: { bufferLimit: 1000 },
    });
    const client = connect();
    client.send(`POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n`);
    for (let i = 0; i < 100; i++) {
      client.send('x'.repeat(10_000));
      await settled();
    }
    first.resolve(undefined);
    const server = await backend();
    await server.until(() => server.text.length >= 1_000_000);
    server.send(ok);
    await client.saw('hi');
    expect(finished[0]?.bytesReceived).toBe(1_000_000);
  });
});

describe('the data of a request', () => {
  const upper: FilterHooks = {
    onRequestHead: () => REWRITE_BODY,
    onRequestData: (_, data) => bytes(text(data).toUpperCase()),
  };

  it('passes data hooks in order, piece by piece, after the head', async () => {
    const seen: string[] = [];
    const watching = (name: string): FilterHooks => ({
      onRequestHead: () => void seen.push(`${name} head`),
      onRequestData: (_, data, end) => void seen.push(`${name} ${text(data)} ${end}`),
    });
    const { connect, backend } = run([watching('a'), watching('b')]);
    connect().send(post('hello'));
    const sent = await (await backend()).saw('hello');
    expect(sent).toMatch(/content-length: 5\r\n/i);
    expect(seen.slice(0, 2)).toEqual(['a head', 'b head']);
    expect(seen.filter((one) => one.includes('hello'))).toEqual([
      expect.stringMatching(/^a hello/),
      expect.stringMatching(/^b hello/),
    ]);
    expect(seen.filter((one) => one.endsWith('true'))).toHaveLength(2);
  });

  it('is rewritten, by a promise or at once: its length is no longer announced', async () => {
    const slow: FilterHooks = {
      onRequestHead: () => REWRITE_BODY,
      onRequestData: async (_, data) => {
        await settled();
        return bytes(`${text(data)}${data.length > 0 ? '!' : ''}`);
      },
    };
    const { connect, backend } = run([upper, slow]);
    const client = connect().send(`${chunkedHead}${chunks('hello')}`);
    const server = await backend();
    client.send(`${chunks('again')}0\r\n\r\n`);
    const sent = await server.saw('0\r\n\r\n');
    expect(dechunked(sent)).toBe('HELLO!AGAIN!');
    expect(sent).toMatch(/transfer-encoding: chunked/i);
  });

  it('a body of known length loses it', async () => {
    const { connect, backend } = run([
      { onRequestHead: () => REWRITE_BODY, onRequestData: (_, data) => bytes(`${text(data)}.`) },
    ]);
    connect().send(post('hello'));
    const sent = await (await backend()).saw('0\r\n\r\n');
    expect(sent).not.toMatch(/content-length/i);
    expect(dechunked(sent)).toMatch(/^hello\.+$/);
  });

  it('is shown to a later filter that waits for the body as the earlier one rewrote it', async () => {
    const seen: string[] = [];
    const { connect, backend } = run([
      upper,
      {
        onRequestHead: (c) => {
          if (!c.requestBody) return { buffer: 99, whenFull: 'reject' as const };
          seen.push(bodyOf(c, 'requestBody'));
          return undefined;
        },
      },
    ]);
    connect().send(post('hello'));
    expect(await (await backend()).saw('HELLO')).toMatch(/content-length: 5\r\n/i);
    expect(seen).toEqual(['HELLO']);
  });

  it('is answered in the midst: the attempt that runs is given up', async () => {
    const { connect, backend } = run([
      { onRequestData: (_, data) => (text(data).includes('evil') ? refusal : undefined) },
    ]);
    const client = connect().send(`${chunkedHead}${chunks('good')}`);
    const server = await backend();
    await server.saw('good');
    client.send(chunks('evil'));
    expect(await client.saw('no')).toMatch(/^HTTP\/1\.1 403 /);
    await server.until(() => server.ended);
    expect(server.text).not.toContain('evil');
  });

  it('other bytes without REWRITE_BODY are an error: the announced length would lie', async () => {
    const errors: unknown[] = [];
    const { connect } = run([{ onRequestData: () => bytes('longer than it was') }], {
      options: { onInternalError: (error) => errors.push(error) },
    });
    expect(await connect().send(post('x')).saw('\r\n\r\n')).toMatch(/^HTTP\/1\.1 500 /);
    expect(String(errors[0])).toContain('without having answered REWRITE_BODY');
  });

  it('while a hook waits, what follows waits too, in order and bounded', async () => {
    const first = later<undefined>();
    let calls = 0;
    const { connect, backend } = run([{ onRequestData: () => (calls++ === 0 ? first.promise : undefined) }], {
      options: { bufferLimit: 1000 },
    });
    const client = connect().send(`POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 500000\r\n\r\n`);
    const server = await backend();
    for (let i = 0; i < 50; i++) {
      client.send(String(i % 10).repeat(10_000));
      await settled();
    }
    expect(calls).toBe(1);
    first.resolve(undefined);
    await server.until(() => server.text.length >= 500_000);
    const body = server.text.slice(server.text.indexOf('\r\n\r\n') + 4);
    expect(body).toBe(Array.from({ length: 50 }, (_, i) => String(i % 10).repeat(10_000)).join(''));
  });

  it('is cut off in the midst where the response has begun', async () => {
    const { connect, backend, finished } = run([
      { onRequestData: (_, data) => (text(data).includes('evil') ? refusal : undefined) },
    ]);
    const client = connect().send(`${chunkedHead}${chunks('good')}`);
    const server = await backend();
    server.send(`${chunkedResponse}${chunks('early')}`);
    await client.saw('early');
    client.send(chunks('evil'));
    await client.until(() => client.ended);
    await server.until(() => server.ended);
    expect(server.text).not.toContain('evil');
    expect(finished[0]).toMatchObject({ responseCode: 200, details: 'refused' });
  });

  it('an upgrade that is offered beside a body hides nothing of it', async () => {
    const seen: string[] = [];
    const { connect, backend } = run([{ onRequestData: (_, data) => void seen.push(text(data)) }], {
      route: forward({ upgrades: new Set(['websocket']) }),
    });
    for (const upgrade of ['h2c', 'websocket']) {
      const offer = `Connection: upgrade\r\nUpgrade: ${upgrade}\r\nContent-Length: 4\r\n`;
      connect().send(`POST /p HTTP/1.1\r\nHost: h\r\n${offer}\r\nevil`);
      await (await backend()).saw('evil');
    }
    expect(seen.join('')).toBe('evilevil');
  });

  it('what a data hook keeps waiting is bounded, also where a later filter waits for the whole body', async () => {
    const first = later<undefined>();
    let calls = 0;
    const { connect, finished } = run(
      [
        { onRequestData: () => (calls++ === 0 ? first.promise : undefined) },
        { onRequestHead: (c) => (c.requestBody ? refusal : { buffer: 10_000_000, whenFull: 'reject' }) },
      ],
      { options: { bufferLimit: 1000 } },
    );
    const client = connect().send(`POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n`);
    for (let i = 0; i < 100; i++) {
      client.send('x'.repeat(10_000));
      await settled();
    }
    const early = client.connection.buffered;
    first.resolve(undefined);
    expect(await client.saw('no')).toMatch(/^HTTP\/1\.1 403 /);
    expect(early).toBeGreaterThan(800_000);
    expect(finished[0]?.bytesReceived).toBe(1_000_000);
  });

  it('trailers have a hook of their own', async () => {
    const { connect, backend } = run(
      [{ onRequestTrailers: (_, trailers) => void trailers.set('x-t', `${trailers.get('x-t')}!`) }],
      { options: { config: { statPrefix: 't', httpProtocolOptions: { enableTrailers: true } } } },
    );
    connect().send(`${chunkedHead}${chunks('hello')}0\r\nX-T: 1\r\n\r\n`);
    expect(await (await backend()).saw('1!\r\n\r\n')).toMatch(/x-t: 1!/i);
  });
});

describe('a response', () => {
  const answered = async (hooks: FilterHooks[], answer: string, more: Setup = {}, request = get) => {
    const made = run(hooks, more);
    const client = made.connect().send(request);
    const server = await made.backend();
    await server.saw('\r\n\r\n');
    server.send(answer);
    return { ...made, client, server };
  };
  const holding = (buffer: number, whenFull: 'reject' | 'partial', seen: unknown[] = []): FilterHooks => ({
    onResponseHead: (c) => {
      if (!c.responseBody) return { buffer, whenFull };
      seen.push([bodyOf(c, 'responseBody'), c.responseBody.complete]);
      return undefined;
    },
  });

  it.each([
    ['at once', () => ({ ...refusal, body: 'instead' })],
    ['by a promise', () => Promise.resolve({ ...refusal, body: 'instead' })],
  ])('is replaced by an answer made here, %s', async (_, onResponseHead) => {
    const { client, finished } = await answered([{ onResponseHead }], ok);
    const seen = await client.saw('instead');
    expect(seen).toMatch(/^HTTP\/1\.1 403 /);
    expect(seen).not.toContain('x-back');
    expect(finished[0]).toMatchObject({ responseCode: 403, details: 'refused' });
  });

  it('is held until a promise settles', async () => {
    const first = later<undefined>();
    const { client } = await answered([{ onResponseHead: () => first.promise }], ok);
    await settled();
    expect(client.text).toBe('');
    first.resolve(undefined);
    expect(await client.saw('hi')).toMatch(/^HTTP\/1\.1 200 /);
  });

  it.each([
    ['of known length', response('hello')],
    ['chunked', `${chunkedResponse}${chunks('he', 'llo')}0\r\n\r\n`],
  ])('is shown whole: %s', async (_, answer) => {
    const seen: unknown[] = [];
    const { client } = await answered([holding(9, 'reject', seen)], answer);
    await client.saw('llo');
    expect(seen).toEqual([['hello', true]]);
  });

  it('that is longer than a filter may hold becomes 500', async () => {
    const { client, finished } = await answered([holding(4, 'reject')], response('hello'));
    expect(await client.saw('Error')).toMatch(/^HTTP\/1\.1 500 /);
    expect(finished[0]?.details).toBe('response_payload_too_large');
  });

  it('is shown in part, and the rest follows', async () => {
    const seen: unknown[] = [];
    const { client, server } = await answered([holding(5, 'partial', seen)], `${chunkedResponse}${chunks('hello')}`);
    await client.saw('hello');
    server.send(`${chunks(' world')}0\r\n\r\n`);
    await client.saw('0\r\n\r\n');
    expect(dechunked(client.text)).toBe('hello world');
    expect(seen).toEqual([['hello', false]]);
  });

  const replacing: FilterHooks = {
    onResponseHead: (c) =>
      c.responseBody
        ? { replaceBody: bytes(`<${bodyOf(c, 'responseBody')}>`) }
        : { buffer: 99, whenFull: 'reject' as const },
  };
  it('is given another body', async () => {
    const { client } = await answered([replacing], response('hello'));
    expect(await client.saw('<hello>')).toMatch(/content-length: 7\r\n/i);
  });

  it.each([
    [
      'HEAD',
      'HEAD /a HTTP/1.1\r\nHost: h\r\n\r\n',
      'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n',
      'content-length: 2',
    ],
    ['204', get, 'HTTP/1.1 204 No Content\r\n\r\n', '204'],
    ['304', get, 'HTTP/1.1 304 Not Modified\r\n\r\n', '304'],
  ])('%s has no body, whatever a filter gives', async (_, request, answer, expected) => {
    const { client, finished } = await answered([replacing], answer, {}, request);
    const seen = await client.saw('\r\n\r\n');
    await settled();
    expect(seen.toLowerCase()).toContain(expected);
    expect(client.text.endsWith('\r\n\r\n')).toBe(true);
    expect(finished).toHaveLength(1);
    // The connection still carries the next request.
    expect(client.ended).toBe(false);
  });

  it.each([
    ['HEAD', 'HEAD /a HTTP/1.1\r\nHost: h\r\n\r\n', 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n'],
    ['204', get, 'HTTP/1.1 204 No Content\r\n\r\n'],
    ['304', get, 'HTTP/1.1 304 Not Modified\r\nETag: "1"\r\n\r\n'],
  ])('%s: data hooks see nothing, and the head says so', async (_, request, answer) => {
    const seen: unknown[] = [];
    const { client } = await answered(
      [
        {
          onResponseHead: (_c, _r, end) => void seen.push(end),
          onResponseData: () => void seen.push('data'),
        },
      ],
      answer,
      {},
      request,
    );
    await client.saw('\r\n\r\n');
    expect(seen).toEqual([true]);
  });

  it('passes data hooks in the reverse order, rewritten while it streams', async () => {
    const rewriting = (mark: string): FilterHooks => ({
      onResponseHead: () => REWRITE_BODY,
      onResponseData: (_, data) => (data.length > 0 ? bytes(`${text(data)}${mark}`) : undefined),
    });
    const { client, server } = await answered([rewriting('a'), rewriting('b')], `${chunkedResponse}${chunks('1')}`);
    await client.saw('1ba');
    server.send(`${chunks('2')}0\r\n\r\n`);
    await client.saw('0\r\n\r\n');
    expect(dechunked(client.text)).toBe('1ba2ba');
  });

  it('of known length is rewritten without one', async () => {
    const { client } = await answered(
      [{ onResponseHead: () => REWRITE_BODY, onResponseData: (_, data) => bytes(`${text(data)}${text(data)}`) }],
      response('hello'),
    );
    const seen = await client.saw('0\r\n\r\n');
    expect(seen).not.toMatch(/content-length/i);
    expect(dechunked(seen)).toBe('hellohello');
  });

  it('data waits for a promise, in order', async () => {
    const first = later<undefined>();
    let calls = 0;
    const { client } = await answered(
      [{ onResponseData: () => (calls++ === 0 ? first.promise : undefined) }],
      `${chunkedResponse}${chunks('1', '2')}0\r\n\r\n`,
    );
    await client.saw('\r\n\r\n');
    await settled();
    expect(dechunked(client.text)).toBe('');
    first.resolve(undefined);
    await client.saw('0\r\n\r\n');
    expect(dechunked(client.text)).toBe('12');
  });

  it('a hook that throws amid the body cuts it off', async () => {
    const { client, finished } = await answered(
      [
        {
          onResponseData: (_, data) => {
            if (text(data).includes('2')) throw new Error('secret');
          },
        },
      ],
      `${chunkedResponse}${chunks('1')}${chunks('2')}0\r\n\r\n`,
    );
    await client.until(() => client.closed || client.ended);
    expect(client.text).not.toContain('0\r\n\r\n');
    expect(finished[0]?.details).toBe('filter_error');
  });

  it('the upstream that resets while a filter holds its response: 503, and no second try', async () => {
    const { client, server, finished, runtime } = await answered(
      [holding(99, 'reject')],
      'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello',
      { route: forward({ retry: plan }) },
    );
    await settled();
    expect(client.text).toBe('');
    server.connection.destroy();
    expect(await client.saw('\r\n\r\n')).toMatch(/^HTTP\/1\.1 503 /);
    expect(finished[0]).toMatchObject({ responseCode: 503, flags: ['UC'] });
    expect(runtime.dialled).toHaveLength(1);
  });

  it('the route timeout ends what a filter holds: 504, once', async () => {
    const ends: boolean[] = [];
    const { client, finished } = await answered(
      [{ onResponseHead: () => later<undefined>().promise, onEnd: (_, complete) => void ends.push(complete) }],
      ok,
      { route: forward({ timeoutMs: 20 }) },
    );
    expect(await client.saw('timeout')).toMatch(/^HTTP\/1\.1 504 /);
    expect([finished.length, ends]).toEqual([1, [true]]);
  });

  it('a client that leaves while a filter holds the response', async () => {
    const aborted = later<void>();
    const first = later<undefined>();
    const { client, finished, server } = await answered(
      [
        {
          onResponseHead: ({ signal }) => {
            signal.addEventListener('abort', () => aborted.resolve());
            return first.promise;
          },
        },
      ],
      'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello',
    );
    await settled();
    client.connection.destroy();
    await aborted.promise;
    first.resolve(undefined);
    await server.until(() => server.ended);
    expect(finished[0]).toMatchObject({ flags: ['DC'] });
  });

  it('made here passes the filters as well, data hooks too', async () => {
    const { connect } = run(
      [
        {
          onResponseHead: () => REWRITE_BODY,
          onResponseData: (_, data) => bytes(text(data).toUpperCase()),
        },
      ],
      { route: { ...forward(), action: { kind: 'direct', status: 200, body: 'direct', editResponse() {} } } },
    );
    const client = connect().send(get);
    await client.saw('0\r\n\r\n');
    expect(dechunked(client.text)).toBe('DIRECT');
  });

  it('trailers have a hook of their own', async () => {
    const { client } = await answered(
      [{ onResponseTrailers: (_, trailers) => void trailers.set('x-t', `${trailers.get('x-t')}!`) }],
      `${chunkedResponse}${chunks('1')}0\r\nX-T: 1\r\n\r\n`,
      { options: { config: { statPrefix: 't', httpProtocolOptions: { enableTrailers: true } } } },
    );
    expect(await client.saw('1!\r\n\r\n')).toMatch(/x-t: 1!/i);
  });

  it('a slow client holds the upstream back: what waits here is bounded', async () => {
    let largest = 0;
    const first = later<undefined>();
    const { client, server } = await answered(
      [
        {
          onResponseHead: () => first.promise,
          onResponseData: (_, data) => {
            largest = Math.max(largest, data.length);
          },
        },
      ],
      'HTTP/1.1 200 OK\r\nContent-Length: 500000\r\n\r\n',
      { options: { bufferLimit: 1000 } },
    );
    for (let i = 0; i < 50; i++) {
      server.send('x'.repeat(10_000));
      await settled();
    }
    expect(client.text).toBe('');
    first.resolve(undefined);
    await client.until(() => client.text.length >= 500_000);
    expect(largest).toBeGreaterThan(0);
  });
});

describe('tunnels', () => {
  const upgrade = 'GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n';
  const switched = 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n';
  const tunnel = async (hooks: FilterHooks[]) => {
    const { connect, backend } = run(hooks, { route: forward({ upgrades: new Set(['websocket']) }) });
    const client = connect().send(upgrade);
    const server = await backend();
    await server.saw('\r\n\r\n');
    server.send(switched);
    await client.saw('\r\n\r\n');
    client.send('ping');
    await server.saw('ping');
    server.send('pong');
    await client.saw('pong');
  };
  const watching = (seen: string[]): FilterHooks => ({
    onRequestHead: (c) => (c.requestBody ? undefined : { buffer: 9, whenFull: 'reject' as const }),
    onRequestData: (_, data) => void seen.push(text(data)),
    onResponseData: (_, data) => void seen.push(text(data)),
  });

  it('data hooks do not see them, and none waits for their end', async () => {
    const seen: string[] = [];
    await tunnel([watching(seen)]);
    expect(seen).toEqual([]);
  });

  it('but those that ask for them', async () => {
    const seen: string[] = [];
    await tunnel([{ ...watching(seen), seesTunnels: true }, watching([])]);
    expect(seen).toEqual(['ping', 'pong']);
  });
});
