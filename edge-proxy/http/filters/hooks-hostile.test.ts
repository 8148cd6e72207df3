/** Filters of any kind in any order, and filters, clients and upstreams that fail at every point. */
import { afterEach, describe, expect, it } from 'vitest';
import { closeAll, forward, type Setup, setup } from '../downstream/testing.ts';
import type { LocalReply } from '../stream.ts';
import { type FilterHooks, type HttpFilter, REWRITE_BODY } from './hooks.ts';

afterEach(closeAll);

const bytes = (text: string) => new TextEncoder().encode(text);
const text = (data: Uint8Array) => new TextDecoder().decode(data);
const named = (...hooks: FilterHooks[]): HttpFilter[] => hooks.map((one, i) => ({ name: `f${i}`, ...one }));
const settled = () => new Promise((done) => setImmediate(done));
const trailersOn = { statPrefix: 't', httpProtocolOptions: { enableTrailers: true } };
const run = (hooks: FilterHooks[], more: Setup = {}) => {
  const errors: unknown[] = [];
  const options = {
    filters: named(...hooks),
    config: trailersOn,
    onInternalError: (error: unknown) => errors.push(error),
  };
  return { errors, ...setup({ ...more, options: { ...options, ...more.options } }) };
};
const get = 'GET /a HTTP/1.1\r\nHost: h\r\n\r\n';
const chunk = (one: string) => `${one.length.toString(16)}\r\n${one}\r\n`;
const chunkedPost = 'POST /p HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n';
const chunkedResponse = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n';
const headOf = (raw: string) => raw.slice(0, raw.indexOf('\r\n\r\n'));

/** The body and what stands behind its last chunk. */
function dechunked(raw: string): { body: string; trailers: string; whole: boolean } {
  let rest = raw.slice(raw.indexOf('\r\n\r\n') + 4);
  let body = '';
  for (;;) {
    const size = /^([0-9a-f]+)\r\n/.exec(rest);
    if (!size) return { body, trailers: '', whole: false };
    const length = Number.parseInt(size[1]!, 16);
    const from = size[0].length;
    if (length === 0) return { body, trailers: rest.slice(from), whole: rest.endsWith('\r\n\r\n') };
    body += rest.slice(from, from + length);
    rest = rest.slice(from + length + 2);
  }
}

/** A generator of its own (mulberry32), so that a case that fails can be named. */
function randomOf(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

type Kind = 'plain' | 'upper' | 'wrap' | 'buffer' | 'partial';
const KINDS: readonly Kind[] = ['plain', 'upper', 'wrap', 'buffer', 'partial'];

/** A filter of one kind that notes what it sees. `later`: it answers by promises. */
function filterOf(kind: Kind, later: boolean, seen: string[], name: string): FilterHooks {
  const say = <T>(answer: T): T | Promise<T> => (later ? settled().then(() => answer) : answer);
  const head = (asked: boolean) => {
    seen.push(`${name} ${asked ? 'again' : 'head'}`);
    if (kind === 'upper' || kind === 'wrap') return say(REWRITE_BODY);
    if (kind === 'plain' || asked) return say(undefined);
    return say({ buffer: kind === 'buffer' ? 1000 : 5, whenFull: kind === 'buffer' ? 'reject' : 'partial' } as const);
  };
  const data = (one: Uint8Array, end: boolean) => {
    seen.push(`${name} data${end ? ' end' : ''}`);
    if (kind === 'upper') return say(bytes(text(one).toUpperCase()));
    // What is known at the end alone: the last byte, or the trailers, bring it.
    return say(kind === 'wrap' && end ? bytes(`${text(one)}!`) : undefined);
  };
  const trailers = () => {
    seen.push(`${name} trailers`);
    return say(kind === 'wrap' ? bytes('!') : undefined);
  };
  return {
    onRequestHead: (c) => head(c.requestBody !== undefined),
    onResponseHead: (c) => head(c.responseBody !== undefined),
    onRequestData: (_, one, end) => data(one, end),
    onResponseData: (_, one, end) => data(one, end),
    onRequestTrailers: trailers,
    onResponseTrailers: trailers,
  };
}

/** What the filters make of a body, in the order in which it passes them. */
function expected(body: string, kinds: readonly Kind[]): string {
  return kinds.reduce((sum, kind) => (kind === 'upper' ? sum.toUpperCase() : kind === 'wrap' ? `${sum}!` : sum), body);
}

/** Each filter sees: a head, data, an end, each once, and no data before its head. */
function inOrder(seen: readonly string[], count: number): void {
  for (let i = 0; i < count; i++) {
    const own = seen.filter((one) => one.startsWith(`f${i} `)).map((one) => one.slice(3));
    expect(own[0]).toBe('head');
    expect(own.filter((one) => one === 'head')).toHaveLength(1);
    const ends = own.flatMap((one, at) => (one === 'trailers' || one === 'data end' ? [at] : []));
    expect(ends).toEqual([own.length - 1]);
    expect(own.lastIndexOf('again')).toBeLessThan(own.findIndex((one) => one.startsWith('data')) >>> 0);
  }
}

describe('any filters in any order', () => {
  it.each(Array.from({ length: 60 }, (_, seed) => seed))('seed %i', async (seed) => {
    const random = randomOf(seed);
    const count = 1 + random(4);
    const kinds = Array.from({ length: count }, () => KINDS[random(KINDS.length)]!);
    const [forth, back]: [string[], string[]] = [[], []];
    let seen = forth;
    const hooks = kinds.map((kind, i) => {
      const later = random(2) === 0;
      const one = filterOf(kind, later, { push: (line: string) => seen.push(line) } as unknown as string[], `f${i}`);
      return one;
    });
    const { connect, backend, errors } = run(hooks);
    const parts = Array.from({ length: 1 + random(4) }, (_, i) => `part${i}`.slice(0, 1 + random(5)));
    const tail = random(2) === 0 ? '0\r\n\r\n' : '0\r\nx-sum: 1\r\n\r\n';
    const client = connect().send(chunkedPost);
    for (const part of parts) {
      client.send(chunk(part));
      if (random(2) === 0) await settled();
    }
    client.send(tail);
    const upstream = await backend();
    const wanted = expected(parts.join(''), kinds);
    await upstream.until(() => bodyOf(upstream.text) === wanted);
    inOrder(forth, count);
    seen = back;
    upstream.send(chunkedResponse);
    for (const part of parts) {
      upstream.send(chunk(part));
      if (random(2) === 0) await settled();
    }
    upstream.send(tail);
    const answer = expected(parts.join(''), [...kinds].reverse());
    await client.until(() => dechunked(client.text).whole);
    expect(dechunked(client.text)).toMatchObject({ body: answer, trailers: tail.slice(3) });
    inOrder(back, count);
    expect(errors).toEqual([]);
  });

  function bodyOf(raw: string): string | undefined {
    const length = /content-length: (\d+)/i.exec(headOf(raw))?.[1];
    if (length === undefined) {
      const { body, whole } = dechunked(raw);
      return whole ? body : undefined;
    }
    const body = raw.slice(raw.indexOf('\r\n\r\n') + 4);
    return body.length === Number(length) ? body : undefined;
  }
});

describe('a rewritten body with trailers', () => {
  const tail: FilterHooks = {
    onRequestHead: () => REWRITE_BODY,
    onResponseHead: () => REWRITE_BODY,
    onRequestTrailers: () => bytes('-tail'),
    onResponseTrailers: () => Promise.resolve(bytes('-tail')),
  };

  it('can be completed in front of them, and later filters see it', async () => {
    const seen: string[] = [];
    const { connect, backend } = run([tail, { onRequestData: (_, one) => void seen.push(text(one)) }]);
    const client = connect().send(`${chunkedPost}${chunk('abc')}0\r\nx-sum: 1\r\n\r\n`);
    const upstream = await backend();
    await upstream.saw('-tail');
    expect(seen.join('')).toBe('abc-tail');
    upstream.send(`${chunkedResponse}${chunk('def')}0\r\nx-sum: 2\r\n\r\n`);
    await client.saw('x-sum: 2');
    expect(dechunked(client.text)).toEqual({ body: 'def-tail', trailers: 'x-sum: 2\r\n\r\n', whole: true });
  });

  it('but not where it was not to be rewritten', async () => {
    const { connect, backend, errors } = run([{ onResponseTrailers: () => bytes('x') }]);
    const client = connect().send(get);
    (await backend()).send(`${chunkedResponse}${chunk('def')}0\r\nx-sum: 2\r\n\r\n`);
    await client.until(() => client.closed);
    expect([String(errors[0]), dechunked(client.text).whole]).toEqual([expect.stringContaining('REWRITE_BODY'), false]);
  });
});

describe('a filter that fails', () => {
  const points: (keyof FilterHooks)[] = [
    'onRequestHead',
    'onRequestData',
    'onRequestTrailers',
    'onResponseHead',
    'onResponseData',
    'onResponseTrailers',
    'onEnd',
  ];
  const failures = [
    [
      'throws',
      () => {
        throw new Error('secret');
      },
    ],
    ['rejects', () => Promise.reject(new Error('secret'))],
  ] as const;

  it.each(points.flatMap((point) => failures.map(([how, fail]) => [point, how, fail] as const)))(
    '%s %s: nothing hangs, nothing is told, and the connection manager serves on',
    async (point, how, fail) => {
      if (point === 'onEnd' && how === 'rejects') return;
      let armed = true;
      const { connect, backend, errors, finished, manager } = run([{ [point]: () => (armed ? fail() : undefined) }]);
      const client = connect().send(`${chunkedPost}${chunk('abc')}0\r\nx-sum: 1\r\n\r\n`);
      void backend().then((one) => one.send(`${chunkedResponse}${chunk('def')}0\r\nx-sum: 2\r\n\r\n`));
      await client.until(() => client.closed || client.text.includes('500') || dechunked(client.text).whole);
      await settled();
      expect(errors).toEqual([new Error('secret')]);
      expect([client.text.includes('secret'), finished.length, manager.activeRequests]).toEqual([false, 1, 0]);
      expect(dechunked(client.text).whole && /^HTTP\/1.1 200/.test(client.text)).toBe(point === 'onEnd');
      armed = false;
    },
  );

  it.each(['onResponseData', 'onResponseTrailers'] as const)(
    '%s that answers with a reply, against its type: the response is cut off, and nothing hangs',
    async (point) => {
      const made: LocalReply = { status: 403, body: 'no', details: 'late' };
      const { connect, backend, finished } = run([{ [point]: () => made }]);
      const client = connect().send(get);
      (await backend()).send(`${chunkedResponse}${chunk('def')}0\r\nx-sum: 2\r\n\r\n`);
      await client.until(() => client.closed);
      expect([dechunked(client.text).whole, finished[0]?.details]).toEqual([false, 'late']);
    },
  );

  it('onResponseData while a later filter holds the head: the reply takes the place of the response', async () => {
    const never = new Promise<undefined>(() => {});
    const made: LocalReply = { status: 403, body: 'no', details: 'early' };
    // Of the response, the last filter is the first.
    const { connect, backend } = run([{ onResponseHead: () => never }, { onResponseData: () => made as never }]);
    const client = connect().send(get);
    (await backend()).send(`${chunkedResponse}${chunk('def')}`);
    expect(await client.saw('no')).toMatch(/^HTTP\/1\.1 403 /);
  });
});

/** A filter that waits at one point until it is let go. */
function waitsAt(point: keyof FilterHooks): {
  hooks: FilterHooks;
  reached: Promise<void>;
  go: () => void;
  aborted: () => boolean;
} {
  const reached = Promise.withResolvers<void>();
  const gate = Promise.withResolvers<undefined>();
  let signal: AbortSignal | undefined;
  const wait = (context: { signal: AbortSignal }) => {
    signal = context.signal;
    reached.resolve();
    return gate.promise;
  };
  return {
    hooks: { [point]: wait },
    reached: reached.promise,
    go: () => gate.resolve(undefined),
    aborted: () => signal?.aborted === true,
  };
}

describe('while a filter waits', () => {
  const points = [
    'onRequestHead',
    'onRequestData',
    'onRequestTrailers',
    'onResponseHead',
    'onResponseData',
    'onResponseTrailers',
  ] as const;
  const exchange = (point: (typeof points)[number]) => {
    const waiting = waitsAt(point);
    const ends: boolean[] = [];
    const made = run([{ ...waiting.hooks, onEnd: (_, complete) => void ends.push(complete) }]);
    const client = made.connect().send(`${chunkedPost}${chunk('abc')}0\r\nx-sum: 1\r\n\r\n`);
    const upstream = made.backend();
    void upstream.then((one) => one.send(`${chunkedResponse}${chunk('def')}0\r\nx-sum: 2\r\n\r\n`));
    return { ...made, ...waiting, client, upstream, ends };
  };

  it.each(points)('in %s, a client that leaves ends everything, once', async (point) => {
    const { client, reached, aborted, go, finished, ends, manager, cluster, errors } = exchange(point);
    await reached;
    client.connection.destroy();
    await client.until(() => client.closed);
    await settled();
    expect([aborted(), ends, finished.length, manager.activeRequests]).toEqual([true, [false], 1, 0]);
    go();
    await settled();
    expect([cluster.use.requests, cluster.use.retries, errors]).toEqual([0, 0, []]);
  });

  it.each(['onResponseHead', 'onResponseData'] as const)('in %s, an upstream that resets', async (point) => {
    const { connect, backend, ...waiting } = ((): ReturnType<typeof run> & ReturnType<typeof waitsAt> => {
      const waits = waitsAt(point);
      return { ...run([waits.hooks]), ...waits };
    })();
    const client = connect().send(get);
    const upstream = await backend();
    upstream.send(`HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf`);
    await waiting.reached;
    upstream.connection.destroy();
    await client.until(() => client.closed || client.text.includes(' 503 '));
    expect(client.text.startsWith('HTTP/1.1 503 ')).toBe(point === 'onResponseHead');
    expect([waiting.aborted(), waiting.finished.length, waiting.finished[0]?.flags]).toEqual([true, 1, ['UC']]);
    waiting.go();
    await settled();
    expect(waiting.errors).toEqual([]);
  });
});

describe('an answer made here', () => {
  it('can have several fields of a name, and bytes that are no text', async () => {
    const body = new Uint8Array([0xff, 0xfe, 0x00, 0x41]);
    const made: LocalReply = { status: 401, body, headers: { 'set-cookie': ['a=1', 'b=2'] }, details: 'd' };
    const { connect } = run([{ onRequestHead: () => made }]);
    const answer = await connect().send(get).saw('\xff\xfe\x00A');
    expect(headOf(answer)).toMatch(/content-length: 4\r\n/);
    expect(answer.match(/set-cookie: \w=\d/g)).toEqual(['set-cookie: a=1', 'set-cookie: b=2']);
  });

  it.each([204, 304])('of status %i has no body, which would be taken for the next response', async (status) => {
    const { connect } = run([{ onRequestHead: () => ({ status, body: 'smuggled', details: 'd' }) }], {
      route: forward(),
    });
    const client = connect().send(get);
    const answer = await client.saw('\r\n\r\n');
    await settled();
    expect(client.text).toBe(answer);
    expect(answer).not.toMatch(/smuggled|content-length/i);
  });
});

describe('chooseRoute', () => {
  const table = {
    name: 't',
    match: (request: { headers: { get(key: string): string | undefined } }) =>
      request.headers.get('x-user') === 'ann' ? forward() : null,
  };

  it('finds the route by what a filter has changed', async () => {
    const options = { routes: () => table };
    const change = (choose: boolean): FilterHooks => ({
      onRequestHead: async (context) => {
        context.request.headers.set('x-user', 'ann');
        if (choose) context.chooseRoute();
        return undefined;
      },
    });
    const changed = run([change(true)], { options });
    changed.connect().send(get);
    expect(await (await changed.backend()).saw('x-user: ann')).toContain('GET /a');
    expect(
      await run([change(false)], { options })
        .connect()
        .send(get)
        .saw('\r\n\r\n'),
    ).toMatch(/^HTTP\/1\.1 404 /);
  });

  it('cannot send elsewhere what the filters have let through', async () => {
    const { connect, backend, errors } = run([{ onRequestData: (context) => context.chooseRoute() as undefined }]);
    const client = connect().send(chunkedPost);
    void backend();
    client.send(chunk('abc'));
    expect(await client.saw('\r\n\r\n')).toMatch(/^HTTP\/1\.1 500 /);
    expect(String(errors[0])).toContain('the route is chosen while');
  });
});
