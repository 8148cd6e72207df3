import { describe, expect, it } from 'vitest';
import { HttpConnectionManager } from '../../../shared/xds/http-connection-manager.ts';
import { HeaderMap } from '../message/header-map.ts';
import type { RequestHead } from '../message/message.ts';
import { ProxyRequest } from './proxy-request.ts';
import type { DownstreamInfo } from './request-context.ts';
import { RequestIds, type TraceReason } from './request-id.ts';

const downstream = { remoteAddress: '192.0.2.1', secure: false } as DownstreamInfo;

function treated(options: object, fields: Record<string, string> = {}, edge = false, random = 0.5): ProxyRequest {
  const headers = new HeaderMap();
  for (const [key, value] of Object.entries(fields)) headers.append(key, value);
  const request = new ProxyRequest(
    { method: 'GET', path: '/', authority: 'a', version: 'HTTP/1.1', headers } as RequestHead,
    downstream,
    0,
  );
  new RequestIds(HttpConnectionManager.parse({ statPrefix: 'test', ...options }), () => random).request(request, edge);
  return request;
}
const idOf = (request: ProxyRequest) => request.headers.get('x-request-id') ?? '';
const sampling = (random: number, overall = 100) => ({
  tracing: { randomSampling: { value: random }, overallSampling: { value: overall } },
});

describe('request ids', () => {
  it('are UUIDs of version 4 that do not repeat', () => {
    const ids = Array.from({ length: 1000 }, () => idOf(treated({})));
    for (const id of ids) expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    expect(new Set(ids).size).toBe(1000);
  });

  it('are marked where chance decides for a trace, in the share that is requested', () => {
    const requests = Array.from({ length: 10_000 }, () => treated(sampling(5)));
    const sampled = requests.filter((one) => one.traceReason === 'sampled');
    // 500 are to be expected; 200 off is nine standard deviations.
    expect(Math.abs(sampled.length - 500)).toBeLessThan(200);
    for (const one of requests) expect(idOf(one)[14]).toBe(one.traceReason === 'sampled' ? '9' : '4');
    // Every reader of the id decides the same.
    for (const one of sampled) expect(Number.parseInt(idOf(one).slice(0, 8), 16) % 10_000).toBeLessThan(500);
  });

  it.each<[string, object, Record<string, string>, TraceReason]>([
    ['nothing is traced without tracing', {}, { 'x-envoy-force-trace': '1' }, 'none'],
    ['a client asks', sampling(0), { 'x-client-trace-id': 'x' }, 'client'],
    ['an internal client forces', sampling(0), { 'x-envoy-force-trace': '1' }, 'forced'],
    ['overall wins', sampling(100, 0), { 'x-envoy-force-trace': '1' }, 'none'],
    ['a mark counts', sampling(0), { 'x-request-id': '00000001-0000-9000-8000-000000000000' }, 'sampled'],
    ['an id without a number', sampling(100), { 'x-request-id': 'own' }, 'none'],
    [
      'without use of the id the tracer decides',
      { ...sampling(0), requestIdExtension: { typedConfig: extension({ useRequestIdForTraceSampling: false }) } },
      {},
      'sampled',
    ],
  ])('%s', (_, options, headers, reason) => {
    expect(treated(options, headers).traceReason).toBe(reason);
  });

  it('from outside may be kept, but decide nothing', () => {
    const given = { 'x-request-id': '00000001-0000-a000-8000-000000000000' };
    const request = treated({ ...sampling(0), preserveExternalRequestId: true }, given, true);
    expect([request.traceReason, idOf(request)]).toEqual(['none', '00000001-0000-4000-8000-000000000000']);
  });

  it('refuses shares outside of 0 to 100', () => {
    expect(() => treated(sampling(101))).toThrow(/tracing: 101/);
  });
});

function extension(fields: object): object {
  return { '@type': 'type.googleapis.com/envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig', ...fields };
}
