import { describe, expect, it } from 'vitest';
import { RouteConfiguration } from '../../../shared/xds/route.ts';
import { HTTP_FILTERS } from '../../http/filters/index.ts';
import { filterRegistry } from '../../xds/filter/filter-registry.ts';
import { compileRouteConfiguration } from '../../xds/route/compile-routes.ts';
import { createForward } from './forward.ts';

const time = { now: () => Date.now() / 1000, monotonicMs: () => performance.now(), random: () => 0 };

interface Asked {
  url: string;
  method: string;
  headers: Headers;
  body: string;
  signal: AbortSignal;
}
type Answer = (asked: Asked) => Response | Promise<Response>;

const filters = filterRegistry(HTTP_FILTERS);

function worker(routes: object[] | null, answer: Answer = () => new Response('ok'), token: string | null = 'jwt') {
  const asked: Asked[] = [];
  const table =
    routes &&
    compileRouteConfiguration(
      RouteConfiguration.parse({ name: 'r', virtualHosts: [{ name: 'v', domains: ['*'], routes }] }),
      { env: time, filters },
    );
  const errors: unknown[] = [];
  const forward = createForward({
    gateway: {
      fetch: async (url, { method, headers, body, signal } = {}) => {
        const one = {
          url,
          method: method!,
          headers: headers as Headers,
          body: body ? await new Response(body).text() : '',
          signal: signal as AbortSignal,
        };
        asked.push(one);
        return answer(one);
      },
    },
    token: () => token ?? undefined,
    routes: () => table,
    time,
    filters,
    onInternalError: (error) => errors.push(error),
  });
  const get = (path: string, init: RequestInit = {}) =>
    forward(new Request(`http://shop.example${path}`, { duplex: 'half', ...init } as RequestInit));
  return { get, asked, errors };
}

const all = { match: { prefix: '/' }, route: { cluster: 'c' } };

describe('an edge worker', () => {
  it('sends everything to the gateway where it has no routes, as itself', async () => {
    const { get, asked } = worker(null, () => new Response('hello', { headers: { 'x-a': '1' } }));
    const headers = { 'x-tulle-jwt-svid': 'forged', 'x-forwarded-for': '1.2.3.4', 'x-envoy-max-retries': '9' };
    const response = await get('/a/b?c=d', { method: 'POST', body: 'body', headers });
    expect([response.status, response.headers.get('x-a'), await response.text()]).toEqual([200, '1', 'hello']);
    expect(asked).toMatchObject([{ url: 'http://shop.example/a/b?c=d', method: 'POST', body: 'body' }]);
    const sent = asked[0]!.headers;
    expect(sent.get('x-tulle-jwt-svid')).toBe('jwt');
    expect([sent.get('x-forwarded-for'), sent.get('x-envoy-max-retries')]).toEqual([null, null]);
    expect(sent.get('x-forwarded-proto')).toBe('http');
  });

  it('answers 503 without a token, and sends nothing', async () => {
    const { get, asked } = worker([all], undefined, null);
    const response = await get('/');
    expect([response.status, asked.length]).toEqual([503, 0]);
  });

  it.each([
    [201, 'http://shop.example/made?x=1'],
    [303, 'http://shop.example/made?x=1'],
    [418, null],
  ])('names the place of what a direct response of %i is about', async (status, location) => {
    const { get } = worker([{ match: { prefix: '/' }, directResponse: { status, body: { inlineString: 'text' } } }]);
    const response = await get('/made?x=1');
    expect([response.status, response.headers.get('location'), await response.text()]).toEqual([
      status,
      location,
      'text',
    ]);
  });

  it('writes a direct response in its format', async () => {
    const directResponse = {
      status: 200,
      body: { inlineString: 'inner' },
      bodyFormat: { jsonFormat: { path: '%REQ(:PATH)%', body: '%LOCAL_REPLY_BODY%' } },
    };
    const { get } = worker([{ match: { prefix: '/' }, directResponse }]);
    const response = await get('/p');
    expect(response.headers.get('content-type')).toBe('application/json');
    expect(await response.json()).toEqual({ path: '/p', body: 'inner' });
  });

  it('routes by the normalised path', async () => {
    const secret = { match: { prefix: '/secret' }, directResponse: { status: 403 } };
    const { get, asked } = worker([secret, all]);
    expect((await get('/open/%2e%2e/secret')).status).toBe(403);
    expect((await get('/%73ecret')).status).toBe(403);
    expect((await get('/open')).status).toBe(200);
    expect(asked.map(({ url }) => url)).toEqual(['http://shop.example/open']);
  });

  it('retries as its route says, with the body, and up to its limit', async () => {
    const retryPolicy = { retryOn: '5xx', numRetries: 2, retryBackOff: { baseInterval: '0.001s' } };
    const route = { match: { prefix: '/' }, route: { cluster: 'c', retryPolicy } };
    let left = 2;
    const { get, asked } = worker([route], () => new Response('x', { status: left-- > 0 ? 500 : 200 }));
    expect((await get('/', { method: 'POST', body: 'again' })).status).toBe(200);
    expect(asked.map(({ body }) => body)).toEqual(['again', 'again', 'again']);
    left = 9;
    expect((await get('/')).status).toBe(500);
    expect(asked).toHaveLength(6);
  });

  it('does not repeat what may have been processed', async () => {
    const retryPolicy = { retryOn: 'connect-failure,refused-stream', numRetries: 3 };
    const { get, asked } = worker([{ match: { prefix: '/' }, route: { cluster: 'c', retryPolicy } }], () =>
      Promise.reject(new Error('connection lost')),
    );
    const response = await get('/', { method: 'POST', body: 'once' });
    expect([response.status, asked.length]).toEqual([503, 1]);
    expect(await response.text()).not.toContain('lost');
  });

  it('gives up at the route’s timeout, and tells the gateway', async () => {
    const route = { match: { prefix: '/' }, route: { cluster: 'c', timeout: '0.02s' } };
    const { get, asked } = worker([route], () => new Promise<Response>(() => {}));
    const response = await get('/');
    expect([response.status, await response.text()]).toEqual([504, 'upstream request timeout']);
    expect(asked[0]!.signal.aborted).toBe(true);
  });

  it('gives up when the client leaves', async () => {
    const leaving = new AbortController();
    const { get, asked } = worker(null, () => new Promise<Response>(() => {}));
    void get('/', { signal: leaving.signal });
    await expect.poll(() => asked.length).toBe(1);
    leaving.abort();
    expect(asked[0]!.signal.aborted).toBe(true);
  });

  it('edits requests and responses, and runs the filters that routes configure', async () => {
    const cors = {
      '@type': 'type.googleapis.com/envoy.extensions.filters.http.cors.v3.CorsPolicy',
      allowOriginStringMatch: [{ exact: 'http://web.example' }],
    };
    const { get, asked } = worker(
      [
        {
          match: { prefix: '/api/' },
          route: { cluster: 'c', prefixRewrite: '/v1/' },
          requestHeadersToAdd: [{ header: { key: 'x-edge', value: 'yes' } }],
          responseHeadersToAdd: [{ header: { key: 'x-served-by', value: 'edge' } }],
          typedPerFilterConfig: { 'envoy.filters.http.cors': cors },
        },
      ],
      () => new Response(null, { status: 204 }),
    );
    const response = await get('/api/x', { headers: { origin: 'http://web.example' } });
    expect(response.status).toBe(204);
    expect(response.headers.get('x-served-by')).toBe('edge');
    expect(response.headers.get('access-control-allow-origin')).toBe('http://web.example');
    expect([asked[0]!.url, asked[0]!.headers.get('x-edge')]).toEqual(['http://shop.example/v1/x', 'yes']);
    expect((await get('/nowhere')).status).toBe(404);
  });

  it('streams large bodies both ways as they are read', async () => {
    const size = 4_000_000;
    const { get, asked } = worker(null, ({ body }) => new Response(body));
    const response = await get('/', { method: 'POST', body: 'x'.repeat(size) });
    expect((await response.text()).length).toBe(size);
    expect(asked[0]!.body.length).toBe(size);
  });

  it('reads no more of a response than its client', async () => {
    let pulled = 0;
    let cancelled = false;
    const endless = () =>
      new Response(
        new ReadableStream<Uint8Array>({
          pull: (controller) => {
            pulled++;
            controller.enqueue(new Uint8Array(1000));
          },
          cancel: () => {
            cancelled = true;
          },
        }),
      );
    const { get } = worker(null, endless);
    const { body } = await get('/');
    const reader = body!.getReader();
    await reader.read();
    await new Promise((done) => setImmediate(done));
    expect(pulled).toBeLessThan(40);
    await reader.cancel();
    await expect.poll(() => cancelled).toBe(true);
  });

  it('passes a body that breaks off as broken', async () => {
    const { get } = worker(null, () => {
      let first = true;
      return new Response(
        new ReadableStream<Uint8Array>({
          pull: (controller) => {
            if (first) controller.enqueue(new Uint8Array(10));
            else controller.error(new Error('gone'));
            first = false;
          },
        }),
      );
    });
    const response = await get('/');
    expect(response.status).toBe(200);
    await expect(response.text()).rejects.toThrow();
  });
});
