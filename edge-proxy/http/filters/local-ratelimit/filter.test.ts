import { expect, it } from 'vitest';
import { LocalRateLimit } from '../../../../shared/xds/filters/local-ratelimit.ts';
import { HeaderMap } from '../../message/header-map.ts';
import { contextOf, requestDouble } from '../../testing/request-double.ts';
import { compileRateLimit } from './compile.ts';
import { createRateLimitFilter } from './filter.ts';
import { TokenBucket } from './token-bucket.ts';

const ALWAYS = { defaultValue: { numerator: 100 } };
let nowMs = 0;
const counters = new Map<string, { value: number }>();
const env = {
  now: () => nowMs,
  random: () => 0.5,
  managerCounter: (name: string) => {
    const made = counters.get(name) ?? { value: 0 };
    counters.set(name, made);
    return made;
  },
};
const limitOf = (config: object) =>
  compileRateLimit(
    LocalRateLimit.parse({
      statPrefix: 'test',
      tokenBucket: { maxTokens: 2, tokensPerFill: 1, fillInterval: '10s' },
      filterEnabled: ALWAYS,
      filterEnforced: ALWAYS,
      ...config,
    }),
    '',
    env,
  );

function filterOf(config: object) {
  nowMs = 1000;
  counters.clear();
  const hooks = createRateLimitFilter(limitOf(config), () => undefined, env);
  return (downstream = requestDouble().downstream) => {
    const request = { ...requestDouble({ path: '/' }), downstream };
    const context = contextOf(request);
    const answer = hooks.onRequestHead!(context, true) as { status?: number } | undefined;
    const headers = new HeaderMap();
    hooks.onResponseHead!(context, { status: answer?.status ?? 200, headers }, true);
    return { status: answer?.status, request: request.headers, headers };
  };
}

it('takes tokens that fill continuously, up to the most, whatever the clock does', () => {
  const bucket = new TokenBucket(2, 1, 10_000, 0);
  expect([bucket.take(0), bucket.take(0), bucket.take(0)]).toEqual([true, true, false]);
  expect(bucket.secondsToToken(4000)).toBe(6);
  expect([bucket.take(9999), bucket.take(10_000), bucket.take(10_000)]).toEqual([false, true, false]);
  expect(bucket.take(-5_000)).toBe(false);
  expect(bucket.remaining(1_000_000)).toBe(2);
});

it('refuses what exceeds the bucket, with headers, and counts', () => {
  const call = filterOf({
    enableXRatelimitHeaders: 'DRAFT_VERSION_03',
    responseHeadersToAdd: [{ header: { key: 'x-limited', value: 'yes' } }],
  });
  expect([call().status, call().status]).toEqual([undefined, undefined]);
  const refused = call();
  expect(refused.status).toBe(429);
  const names = ['x-limited', 'x-ratelimit-limit', 'x-ratelimit-remaining', 'x-ratelimit-reset'];
  expect(names.map((name) => refused.headers.get(name))).toEqual(['yes', '2', '0', '10']);
  nowMs += 10_000;
  expect(call().status).toBeUndefined();
  const count = (name: string) => counters.get(`test.http_local_rate_limit.${name}`)!.value;
  expect(['enabled', 'ok', 'rate_limited', 'enforced'].map(count)).toEqual([4, 3, 1, 1]);
});

it.each([
  ['is off by default', { filterEnabled: undefined }, [undefined, undefined, undefined], undefined],
  ['marks requests where it is not enforced', { filterEnforced: undefined }, [undefined, undefined, undefined], 'yes'],
  ['answers as it is asked to', { status: { code: 'ServiceUnavailable' } }, [undefined, undefined, 503], undefined],
  ['answers 429 where the status is no error', { status: { code: 'OK' } }, [undefined, undefined, 429], undefined],
  ['limits nothing without a bucket', { tokenBucket: undefined }, [undefined, undefined, undefined], undefined],
])('%s', (_, config, statuses, marked) => {
  const call = filterOf({
    ...config,
    requestHeadersToAddWhenNotEnforced: [{ header: { key: 'x-over', value: 'yes' } }],
  });
  const answers = [call(), call(), call()];
  expect(answers.map(({ status }) => status)).toEqual(statuses);
  expect(answers[2]!.request.get('x-over') ?? undefined).toBe(marked);
});

it('gives each connection a bucket of its own', () => {
  const call = filterOf({ localRateLimitPerDownstreamConnection: true });
  const [one, other] = [requestDouble().downstream, requestDouble().downstream];
  expect([one, one, one, other].map((downstream) => call(downstream).status)).toEqual([
    undefined,
    undefined,
    429,
    undefined,
  ]);
});

it.each([
  [{ tokenBucket: { maxTokens: 0, fillInterval: '1s' } }, 'tokenBucket.maxTokens: must be at least 1'],
  [{ tokenBucket: { maxTokens: 1, fillInterval: '0.049s' } }, 'tokenBucket.fillInterval: must be at least 0.05s'],
  [
    { tokenBucket: { maxTokens: 1, tokensPerFill: 0, fillInterval: '1s' } },
    'tokenBucket.tokensPerFill: must be at least 1',
  ],
])('refuses %j', (config, message) => {
  expect(() => limitOf(config)).toThrow(message);
});
