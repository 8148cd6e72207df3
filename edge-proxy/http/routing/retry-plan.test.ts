import { describe, expect, it } from 'vitest';
import type { RetryPolicy } from '../../../shared/xds/route.ts';
import { compileRetry } from '../../xds/route/compile-retry.ts';
import { HeaderMap } from '../message/header-map.ts';
import { RetryState } from '../router/retry-state.ts';
import { expectedTimeoutMs, type RouteTimeouts, requestTimeouts, streamDurationMs } from './request-timeouts.ts';
import { askedBackOffMs, planWithControls } from './retry-plan.ts';

function headers(fields: Record<string, string> = {}): HeaderMap {
  const out = new HeaderMap();
  for (const [name, value] of Object.entries(fields)) out.append(name, value);
  return out;
}

const plan = (retryOn: string, more: RetryPolicy = {}) => compileRetry({ retryOn, ...more }, 'p')!;
const circuit = (maxRetries: number, requests = 0, retryBudget?: { percent: number; minConcurrency: number }) => ({
  limits: { maxConnections: 9, maxPendingRequests: 9, maxRequests: 9, maxRetries, retryBudget },
  use: { connections: 0, pending: 0, requests, retries: 0 },
});

/** As if drawn. */
const half = () => 0.5;

describe('conditions', () => {
  it.each([
    ['5xx', 500, {}, true],
    ['5xx', 499, {}, false],
    ['gateway-error', 500, {}, false],
    ['gateway-error', 502, {}, true],
    ['retriable-4xx', 409, {}, true],
    ['retriable-4xx', 404, {}, false],
    ['5xx', 503, { 'x-envoy-ratelimited': '1' }, false],
    ['envoy-ratelimited', 429, { 'x-envoy-ratelimited': '1' }, true],
    ['cancelled', 200, { 'grpc-status': '1' }, true],
    ['deadline-exceeded', 200, { 'grpc-status': '4' }, true],
    ['resource-exhausted', 200, { 'grpc-status': '8' }, true],
    ['internal', 200, { 'grpc-status': '13' }, true],
    ['unavailable', 200, { 'grpc-status': '14' }, true],
    ['unavailable', 200, { 'grpc-status': '2' }, false],
  ] as const)('%s: %i %j', (on, status, fields, expected) => {
    expect(plan(on).retriableResponse(status, headers(fields))).toBe(expected);
  });

  it('refuses what it cannot judge', () => {
    expect(() => plan('5xx,http3-post-connect-failure')).toThrow('http3-post-connect-failure');
    expect(() => plan('retriable-headers', { retriableHeaders: [{ name: ':path' }] })).toThrow('not a header');
  });

  it('never retries an overflow, and resets by their kind', () => {
    const on = (condition: string, reason: Parameters<RetryState['onReset']>[0], before = false) =>
      new RetryState(plan(condition), circuit(3), half).onReset(reason, before);
    expect(on('5xx,reset', 'overflow')).toBe('no');
    expect(on('reset', 'connection_termination')).toBe('retry');
    expect(on('connect-failure', 'connection_termination')).toBe('no');
    expect(on('connect-failure', 'connection_timeout')).toBe('retry');
    expect(on('reset-before-request', 'connection_termination')).toBe('no');
    expect(on('reset-before-request', 'connection_termination', true)).toBe('retry');
    expect(on('reset-before-request', 'remote_connection_failure')).toBe('retry');
    expect(on('refused-stream', 'refused_stream')).toBe('retry');
    expect(on('refused-stream', 'remote_reset')).toBe('no');
    expect(on('connect-failure', 'refused_stream')).toBe('no');
  });
});

describe('limits', () => {
  it('ends with the number of retries', () => {
    const state = new RetryState(plan('5xx', { numRetries: 2 }), circuit(9), half);
    const decisions = [1, 2, 3].map(() => state.onResponse(500, headers(), 0));
    expect(decisions).toEqual(['retry', 'retry', 'limit']);
  });

  it('ends with the circuit breaker, whose place is given back', () => {
    const one = circuit(1);
    const first = new RetryState(plan('5xx', { numRetries: 9 }), one, half);
    const second = new RetryState(plan('5xx', { numRetries: 9 }), one, half);
    expect(first.onResponse(500, headers(), 0)).toBe('retry');
    expect(second.onResponse(500, headers(), 0)).toBe('overflow');
    first.release();
    expect(second.onResponse(500, headers(), 0)).toBe('retry');
    expect(one.use.retries).toBe(1);
  });

  it('a budget is a share of the requests under way', () => {
    const budget = circuit(0, 20, { percent: 20, minConcurrency: 2 });
    const tried = Array.from({ length: 6 }, () =>
      new RetryState(plan('5xx'), budget, half).onResponse(500, headers(), 0),
    );
    expect(tried).toEqual(['retry', 'retry', 'retry', 'retry', 'overflow', 'overflow']);
    const least = circuit(0, 0, { percent: 20, minConcurrency: 1 });
    expect(new RetryState(plan('5xx'), least, half).onResponse(500, headers(), 0)).toBe('retry');
  });
});

describe('back-off', () => {
  const limits = {
    headers: [
      { key: 'retry-after', unixTime: false },
      { key: 'x-at', unixTime: true },
    ],
    maxMs: 60_000,
  };
  it.each([
    [{ 'retry-after': '30' }, 30_000],
    [{ 'retry-after': '61' }, undefined],
    [{ 'retry-after': 'soon' }, undefined],
    [{ 'retry-after': '0' }, undefined],
    [{ 'x-at': '1010' }, 10_000],
    [{ 'x-at': '990' }, undefined],
    [{ 'retry-after': '70', 'x-at': '1001' }, 1000],
  ])('%j', (fields, expected) => {
    expect(askedBackOffMs(limits, headers(fields), 1_000_000)).toBe(expected);
  });

  it('is what the upstream asks, and up to half more; else grows', () => {
    const asking = plan('5xx', {
      numRetries: 9,
      rateLimitedRetryBackOff: { resetHeaders: [{ name: 'Retry-After' }] },
      retryBackOff: { baseInterval: '0.1s', maxInterval: '0.2s' },
    });
    const state = new RetryState(asking, circuit(9), half);
    state.onResponse(503, headers({ 'retry-after': '2' }), 0);
    expect(state.backOffMs()).toBe(2500);
    state.onResponse(503, headers(), 0);
    // The second of the attempts, then up to the longest: base * (2^n - 1).
    expect(state.backOffMs()).toBe(100);
  });

  it.each([
    [0, [0, 0, 0, 0]],
    [0.5, [50, 150, 350, 500]],
    [0.999, [99.9, 299.7, 699.3, 999]],
  ])('grows fully jittered up to the longest interval: drawn %d', (drawn, expected) => {
    const growing = plan('5xx', { numRetries: 9, retryBackOff: { baseInterval: '0.1s', maxInterval: '1s' } });
    const state = new RetryState(growing, circuit(9), () => drawn);
    const waits = expected.map(() => {
      state.onResponse(500, headers(), 0);
      return state.backOffMs();
    });
    expect(waits.map((ms) => Number(ms.toFixed(3)))).toEqual(expected);
  });

  it('counts a moment the upstream names from the clock it is given', () => {
    const asking = plan('5xx', {
      numRetries: 9,
      rateLimitedRetryBackOff: { resetHeaders: [{ name: 'x-at', format: 'UNIX_TIMESTAMP' }] },
    });
    const state = new RetryState(asking, circuit(9), () => 0);
    state.onResponse(503, headers({ 'x-at': '1764000030' }), 1_764_000_010_500);
    expect(state.backOffMs()).toBe(19_500);
  });
});

describe('what an internal client asks', () => {
  it('adds conditions and takes its headers away', () => {
    const fields = headers({
      'x-envoy-retry-on': '5xx, nonsense',
      'x-envoy-retry-grpc-on': 'internal',
      'x-envoy-max-retries': '4',
      'x-other': '1',
    });
    const made = planWithControls(plan('reset'), fields)!;
    expect([...made.on]).toEqual(['reset', '5xx', 'nonsense', 'internal']);
    expect([made.maxRetries, made.retriableResponse(500, headers()), fields.names]).toEqual([4, true, ['x-other']]);
  });

  it('changes nothing when it asks for nothing', () => {
    const route = plan('reset');
    expect(planWithControls(route, headers())).toBe(route);
    expect(planWithControls(undefined, headers({ 'x-envoy-max-retries': '3' }))).toBeUndefined();
  });
});

describe('timeouts', () => {
  const route: RouteTimeouts = {
    timeoutMs: 1000,
    perAttemptMs: 300,
    perAttemptIdleMs: 0,
    grpc: { maxMs: 500, offsetMs: 20 },
  };
  const total = (fields: Record<string, string>, grpc = false, internal = false) =>
    requestTimeouts(route, headers(fields), grpc, internal);

  it('are the route’s, the gRPC client’s within bounds, or an internal client’s', () => {
    expect(total({ 'grpc-timeout': '100m' }).totalMs).toBe(1000);
    expect(total({ 'grpc-timeout': '100m' }, true)).toMatchObject({ totalMs: 80, tellGrpc: true, perAttemptMs: 0 });
    expect(total({ 'grpc-timeout': '15m' }, true).totalMs).toBe(15);
    expect(total({ 'grpc-timeout': '9S' }, true).totalMs).toBe(500);
    expect(total({}, true).totalMs).toBe(500);
    expect(total({ 'x-envoy-upstream-rq-timeout-ms': '70' }, false, true)).toMatchObject({
      totalMs: 70,
      perAttemptMs: 0,
    });
    expect(total({ 'x-envoy-upstream-rq-timeout-ms': '70' }).totalMs).toBe(1000);
    expect(total({ 'x-envoy-upstream-rq-per-try-timeout-ms': '50' }, false, true).perAttemptMs).toBe(50);
  });

  it.each([
    ['no header: what the route says', 1000, '', 1000],
    ['no header, an explicit 0: no limit', 0, '', Number.POSITIVE_INFINITY],
    ['no header, nothing of the route: the listener decides', undefined, '', undefined],
    ['what the client asks', 1000, '300m', 290],
    ['the most that it may ask', undefined, '9S', 490],
    ['less than the offset: at once', 1000, '10m', 0],
    ['a header that is no time', 1000, 'soon', 1000],
  ])('a stream lives at most: %s', (_, maxMs, asked, expected) => {
    const asks = headers(asked === '' ? {} : { 'grpc-timeout': asked });
    expect(streamDurationMs({ maxMs, grpc: { maxMs: 500, offsetMs: 10 } }, asks)).toBe(expected);
  });

  it('a stream asks for nothing where the route does not let it, and for any time where the most is 0', () => {
    const asks = headers({ 'grpc-timeout': '9S' });
    expect(streamDurationMs({ maxMs: 1000, grpc: undefined }, asks)).toBe(1000);
    expect(streamDurationMs({ maxMs: 1000, grpc: { maxMs: 0, offsetMs: 0 } }, asks)).toBe(9000);
  });

  it('tell the upstream what is left', () => {
    const times = { totalMs: 1000, perAttemptMs: 300, perAttemptIdleMs: 0, tellGrpc: false };
    expect(expectedTimeoutMs(times, 0, false)).toBe(300);
    expect(expectedTimeoutMs(times, 0, true)).toBe(1000);
    expect(expectedTimeoutMs(times, 900, false)).toBe(100);
    expect(expectedTimeoutMs(times, 2000, false)).toBe(1);
    expect(expectedTimeoutMs({ ...times, totalMs: 0, perAttemptMs: 0 }, 5, false)).toBe(0);
  });
});
