import { describe, expect, it } from 'vitest';
import type { Cluster } from '../../../upstream/cluster.ts';
import { framedMessage } from '../../grpc/message-reader.ts';
import { HeaderMap } from '../../message/header-map.ts';
import { contextOf, requestDouble } from '../../testing/request-double.ts';
import { compileGrpcStats, type GrpcStatsRules } from './compile.ts';
import { createGrpcStatsFilter } from './filter.ts';

const cluster = { name: 'reviews' } as Cluster;
const rules = (over: Partial<GrpcStatsRules> = {}): GrpcStatsRules => ({
  emits: false,
  named: new Set(),
  replacesDots: false,
  ...over,
});
const fields = (of: Record<string, string>) => {
  const map = new HeaderMap();
  for (const [name, value] of Object.entries(of)) map.append(name, value);
  return map;
};
const twoMessages = new Uint8Array([...framedMessage(Uint8Array.of(1)), ...framedMessage(new Uint8Array(0))]);

interface Call {
  path?: string;
  type?: string;
  responseType?: string;
  trailers?: Record<string, string>;
  head?: Record<string, string>;
}

/** One call with two messages each way, and the counters of a filter that has seen it. */
function count(given: GrpcStatsRules, call: Call = {}) {
  const { path = '/a.b.Svc/Get', type = 'application/grpc', responseType = 'application/grpc' } = call;
  const counters = new Map<string, { value: number }>();
  const counter = (of: string, name: string) => {
    const key = `${of}: ${name}`;
    const known = counters.get(key) ?? { value: 0 };
    counters.set(key, known);
    return known;
  };
  const request = requestDouble({ path, headers: { 'content-type': type }, cluster });
  const context = contextOf(request);
  const filter = createGrpcStatsFilter(given, { counter });
  expect(filter.onRequestHead!(context, false)).toBeUndefined();
  const { watch } = context;
  watch?.onRequestData(twoMessages);
  watch?.onResponseHead(200, fields({ 'content-type': responseType }), false);
  watch?.onResponseData(twoMessages.subarray(0, 3));
  watch?.onResponseData(twoMessages.subarray(3));
  request.responseHeaders = fields(call.head ?? {});
  request.responseTrailers = fields(call.trailers ?? { 'grpc-status': '0' });
  filter.onEnd!(context, true);
  return { request, counted: Object.fromEntries([...counters].map(([name, { value }]) => [name, value])) };
}

describe('grpc_stats', () => {
  it('counts calls of a cluster together', () => {
    expect(count(rules()).counted).toEqual({
      'reviews: grpc.0': 1,
      'reviews: grpc.success': 1,
      'reviews: grpc.total': 1,
      'reviews: grpc.request_message_count': 2,
      'reviews: grpc.response_message_count': 2,
    });
  });
  it('counts all methods by name, or some', () => {
    const all = Object.keys(count(rules({ named: 'all' })).counted);
    expect(all.every((name) => name.startsWith('reviews: grpc.a.b.Svc.Get.'))).toBe(true);
    const some = rules({ named: new Set(['a.b.Svc/Get']) });
    expect(count(some).counted).toHaveProperty(['reviews: grpc.a.b.Svc.Get.total'], 1);
    expect(count(some, { path: '/a.b.Svc/Put' }).counted).toHaveProperty(['reviews: grpc.total'], 1);
    const replaced = rules({ named: 'all', replacesDots: true });
    expect(count(replaced).counted).toHaveProperty(['reviews: grpc.a_b_Svc.Get.total'], 1);
  });
  it('counts a status of the trailers, else of the head', () => {
    const failed = count(rules(), { trailers: { 'grpc-status': '14' } }).counted;
    expect(failed).toMatchObject({ 'reviews: grpc.14': 1, 'reviews: grpc.failure': 1, 'reviews: grpc.total': 1 });
    expect(failed).not.toHaveProperty('reviews: grpc.success');
    const head = count(rules(), { trailers: {}, head: { 'grpc-status': '7' } }).counted;
    expect(head).toHaveProperty(['reviews: grpc.7'], 1);
    const text = count(rules(), { trailers: { 'grpc-status': 'a\nb' } }).counted;
    expect(text).toHaveProperty(['reviews: grpc.-1'], 1);
    expect(count(rules(), { trailers: {} }).counted).not.toHaveProperty('reviews: grpc.total');
  });
  it('counts nothing of what is not gRPC, and no method that the path does not name', () => {
    const { counted, request } = count(rules({ emits: true }), { type: 'application/grpc-web' });
    expect([counted, request.grpcMessages]).toEqual([{}, undefined]);
    const { counted: unnamed, request: call } = count(rules({ emits: true }), { path: '/one/two/three' });
    expect([unnamed, call.grpcMessages]).toMatchObject([{}, { request: 2, response: 2 }]);
    expect(count(rules({ emits: true }), { responseType: 'text/plain' }).request.grpcMessages).toMatchObject({
      request: 2,
      response: 0,
    });
  });
  it('gives the numbers of messages to the metrics where it is configured', () => {
    expect(count(rules({ emits: true })).request.grpcMessages).toMatchObject({ request: 2, response: 2 });
    expect(count(rules()).request.grpcMessages).toBeUndefined();
  });
  it('looks counters up once for each method and cluster', () => {
    const names: string[] = [];
    const filter = createGrpcStatsFilter(rules({ named: 'all' }), {
      counter: (_, name) => {
        names.push(name);
        return { value: 0 };
      },
    });
    for (let n = 0; n < 3; n++) {
      const request = requestDouble({ path: '/s/m', headers: { 'content-type': 'application/grpc' }, cluster });
      const context = contextOf(request);
      void filter.onRequestHead!(context, false);
      request.responseTrailers = fields({ 'grpc-status': '0' });
      filter.onEnd!(context, true);
    }
    expect(names).toEqual(['grpc.s.m.0', 'grpc.s.m.success', 'grpc.s.m.total']);
  });
  it('names a thousand methods at most', () => {
    const names: string[] = [];
    const counter = (_: string, name: string) => {
      names.push(name);
      return { value: 0 };
    };
    const filter = createGrpcStatsFilter(rules({ named: 'all' }), { counter });
    for (let i = 0; i < 1002; i++) {
      const context = contextOf(
        requestDouble({ path: `/s/m${i}`, headers: { 'content-type': 'application/grpc' }, cluster }),
      );
      void filter.onRequestHead!(context, false);
      context.watch!.onRequestData(twoMessages);
    }
    expect(new Set(names).size).toBe(2 * 1001);
    expect(names).toContain('grpc.request_message_count');
  });
});

describe('its configuration', () => {
  it('is read', () => {
    const services = [{ name: 'a.B', methodNames: ['Get', 'Put'] }];
    expect(compileGrpcStats({ emitFilterState: true, individualMethodStatsAllowlist: { services } })).toEqual({
      emits: true,
      named: new Set(['a.B/Get', 'a.B/Put']),
      replacesDots: false,
    });
    expect(compileGrpcStats({ statsForAllMethods: true, replaceDotsInGrpcServiceName: true })).toEqual({
      emits: false,
      named: 'all',
      replacesDots: true,
    });
    expect(compileGrpcStats({ statsForAllMethods: false }).named).toEqual(new Set());
  });
  it('is refused where two fields contradict each other, and where it asks for a histogram', () => {
    const services = [{ name: 's', methodNames: ['m'] }];
    expect(() => compileGrpcStats({ individualMethodStatsAllowlist: { services }, statsForAllMethods: true })).toThrow(
      'individualMethodStatsAllowlist: cannot be set together with statsForAllMethods',
    );
    expect(() => compileGrpcStats({ enableUpstreamStats: true })).toThrow('enableUpstreamStats: is not supported');
  });
});
