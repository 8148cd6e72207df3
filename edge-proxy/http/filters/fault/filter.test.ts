import { describe, expect, it } from 'vitest';
import type { HttpFault } from '../../../../shared/xds/http-filters.ts';
import { contextOf, requestDouble } from '../../testing/request-double.ts';
import { compileFault } from './compile.ts';
import { createFaultFilter } from './filter.ts';

const all = { numerator: 100 } as const;
const half = { numerator: 50 } as const;

/** Answers with these numbers in turn, and notes how long it was asked to sleep. */
function run(config: HttpFault | undefined, draws: number[] = [], headers: Record<string, string> = {}) {
  const slept: number[] = [];
  const request = requestDouble({ headers });
  const env = {
    random: () => draws.shift() ?? Number.NaN,
    sleep: (ms: number) => {
      slept.push(ms);
      return Promise.resolve();
    },
  };
  const fault = config && compileFault(config, 'fault');
  const filter = createFaultFilter(env, () => fault, compileFault({}, 'general'));
  return { verdict: filter.onRequestHead!(contextOf(request), true), slept, request };
}
const abort = (status: number) => ({ status, body: 'fault filter abort', details: 'fault_filter_abort', flag: 'FI' });

describe('fault', () => {
  it('no route, or one without a fault: nothing, and no promise', () => {
    expect(run(undefined).verdict).toBeUndefined();
    expect(run({}).verdict).toBeUndefined();
  });
  it('aborts its share, the border excluded', () => {
    const of = (httpStatus: number, percentage: NonNullable<HttpFault['abort']>['percentage']): HttpFault => ({
      abort: { httpStatus, percentage },
    });
    expect(run(of(418, half), [0.49]).verdict).toEqual(abort(418));
    expect(run(of(418, half), [0.5]).verdict).toBeUndefined();
    expect(run(of(503, all), [0.999]).verdict).toEqual(abort(503));
    expect(run(of(503, undefined), [0]).verdict).toBeUndefined();
  });
  it('aborts with a gRPC status', () => {
    const fault: HttpFault = { abort: { grpcStatus: 14, percentage: all } };
    expect(run(fault, [0.5]).verdict).toEqual({ ...abort(200), grpcStatus: 14 });
  });
  it('delays its share, flags it, then continues', async () => {
    const { verdict, slept, request } = run({ delay: { fixedDelay: '0.070s', percentage: half } }, [0.1]);
    expect(verdict).toBeInstanceOf(Promise);
    expect(await verdict).toBeUndefined();
    expect(slept).toEqual([70]);
    expect(request.flags).toEqual(['DI']);
  });
  it('not delayed: no flag, no sleep', () => {
    const { verdict, slept, request } = run({ delay: { fixedDelay: '0.070s', percentage: half } }, [0.5]);
    expect(verdict).toBeUndefined();
    expect(slept).toEqual([]);
    expect(request.flags).toEqual([]);
  });
  it('delays and then aborts; the shares are drawn apart', async () => {
    const both: HttpFault = {
      delay: { fixedDelay: '0.005s', percentage: half },
      abort: { httpStatus: 500, percentage: half },
    };
    expect(await run(both, [0.1, 0.1]).verdict).toEqual(abort(500));
    expect(await run(both, [0.1, 0.9]).verdict).toBeUndefined();
    expect(run(both, [0.9, 0.1]).verdict).toEqual(abort(500));
  });
  it('is that of the listener where the route configures nothing; an empty config of the route injects nothing', () => {
    const general = compileFault({ abort: { httpStatus: 418, percentage: all } }, 'general');
    const own = compileFault({ abort: { httpStatus: 419, percentage: all } }, 'own');
    const env = { random: () => 0, sleep: () => Promise.resolve() };
    const ask = (route: typeof own | undefined) =>
      createFaultFilter(env, () => route, general).onRequestHead!(contextOf(requestDouble()), true);
    expect(ask(undefined)).toEqual(abort(418));
    expect(ask(own)).toEqual(abort(419));
    expect(ask(compileFault({}, 'own'))).toBeUndefined();
  });
});

describe('a fault that the request asks for', () => {
  const fault: HttpFault = {
    delay: { headerDelay: {}, percentage: all },
    abort: { headerAbort: {}, percentage: half },
  };
  const ask = (headers: Record<string, string>, ...draws: number[]) => run(fault, [0, ...draws], headers);

  it('is none without its headers, or with others than numbers', () => {
    expect(ask({}, 0).verdict).toBeUndefined();
    const bad = {
      'x-envoy-fault-delay-request': 'x',
      'x-envoy-fault-abort-request': '600',
      'x-envoy-fault-abort-grpc-request': '-1',
    };
    expect(ask(bad, 0).verdict).toBeUndefined();
  });
  it('is an HTTP status, else a gRPC status', () => {
    const both = { 'x-envoy-fault-abort-request': '429', 'x-envoy-fault-abort-grpc-request': '8' };
    expect(ask(both, 0.4).verdict).toEqual(abort(429));
    expect(ask({ ...both, 'x-envoy-fault-abort-request': '1000' }, 0.4).verdict).toEqual({
      ...abort(200),
      grpcStatus: 8,
    });
    expect(ask(both, 0.5).verdict).toBeUndefined();
  });
  it('may have a smaller share, and no larger one', () => {
    const of = (percentage: string) => ({
      'x-envoy-fault-abort-request': '429',
      'x-envoy-fault-abort-request-percentage': percentage,
    });
    expect(ask(of('10'), 0.1).verdict).toBeUndefined();
    expect(ask(of('10'), 0.09).verdict).toEqual(abort(429));
    expect(ask(of('90'), 0.5).verdict).toBeUndefined();
  });
  it('is a delay', async () => {
    const { verdict, slept } = ask({ 'x-envoy-fault-delay-request': '30' }, 0.9);
    await verdict;
    expect(slept).toEqual([30]);
  });
});

it.each<[string, HttpFault, string]>([
  ['no kind of abort', { abort: { percentage: all } }, 'f.abort: must have one of'],
  ['two kinds of abort', { abort: { httpStatus: 500, grpcStatus: 1 } }, 'f.abort: must have one of'],
  ['a status that none is', { abort: { httpStatus: 199 } }, 'f.abort.httpStatus: must be 200 to 599'],
  ['no kind of delay', { delay: { percentage: all } }, 'f.delay: must have fixedDelay or headerDelay'],
])('refuses %s', (_, fault, message) => expect(() => compileFault(fault, 'f')).toThrow(message));
