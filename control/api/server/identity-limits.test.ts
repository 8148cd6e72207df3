import { describe, expect, it } from 'vitest';
import { IdentityLimits, type IdentityLimitsSettings } from './identity-limits.ts';

const jane = { identity: 'user jane', isProved: true };
const address = { identity: '192.0.2.1', isProved: false };

function limitsOf(settings: Partial<IdentityLimitsSettings>) {
  const refused: string[] = [];
  let now = 0;
  const limits = new IdentityLimits(
    settings,
    (limit) => void refused.push(limit),
    () => now,
  );
  return { limits, refused, wait: (ms: number) => void (now += ms) };
}

const code = (run: () => unknown) => {
  try {
    run();
    return 200;
  } catch (error) {
    return (error as { code: number }).code;
  }
};
const times = (count: number, run: () => unknown) => Array.from({ length: count }, () => code(run));
const refusals = (codes: readonly number[]) => codes.filter((each) => each === 429).length;

describe('requests each second', () => {
  it('of one identity are limited, and those of others are not', () => {
    const { limits, refused, wait } = limitsOf({ perSecond: 10, anonymousPerSecond: 1 });
    expect(refusals(times(60, () => limits.admit(jane)))).toBe(10);
    expect(code(() => limits.admit({ ...jane, identity: 'user john' }))).toBe(200);
    expect(refusals(times(6, () => limits.admit(address)))).toBe(1);
    expect(new Set(refused)).toEqual(new Set(['rate']));
    wait(1000);
    expect(refusals(times(11, () => limits.admit(jane)))).toBe(1);
  });

  it('say when to come back', () => {
    const { limits } = limitsOf({ anonymousPerSecond: 1 });
    times(5, () => limits.admit(address));
    expect(() => limits.admit(address)).toThrow(
      expect.objectContaining({
        code: 429,
        reason: 'TooManyRequests',
        message: 'requests of 192.0.2.1 come too often: attempt it again in 1 s',
        details: { retryAfterSeconds: 1 },
      }),
    );
  });

  it('are not limited by 0', () => {
    const { limits } = limitsOf({ perSecond: 0, inFlight: 0, failedTokensPerSecond: 0 });
    expect(refusals(times(100_000, () => limits.admit(jane)))).toBe(0);
    expect(refusals(times(10_000, () => limits.enter(jane, 'in-flight')))).toBe(0);
    times(10_000, () => limits.failed('a'));
    expect(code(() => limits.mayTry('a', 'token'))).toBe(200);
  });
});

it('requests in flight and watches are limited apart', () => {
  const { limits, refused } = limitsOf({ inFlight: 2, watches: 3 });
  const leave = limits.enter(jane, 'in-flight');
  limits.enter(jane, 'in-flight');
  expect(refusals(times(4, () => limits.enter(jane, 'watches')))).toBe(1);
  expect(() => limits.enter(jane, 'in-flight')).toThrow('the limit of 2 requests in flight of user jane is reached');
  expect(refused).toEqual(['watches', 'in-flight']);
  leave();
  expect(code(() => limits.enter(jane, 'in-flight'))).toBe(200);
});

describe('tokens that fail', () => {
  it('are limited by address; those that were valid before are not', () => {
    const { limits, refused, wait } = limitsOf({ failedTokensPerSecond: 1 });
    limits.succeeded('valid');
    for (let i = 0; i < 20; i++) {
      expect(code(() => limits.mayTry('a', `guess-${i}`))).toBe(200);
      limits.failed('a');
    }
    expect(code(() => limits.mayTry('a', 'guess'))).toBe(429);
    expect(code(() => limits.mayTry('a', 'valid'))).toBe(200);
    expect(code(() => limits.mayTry('b', 'guess'))).toBe(200);
    expect(refused).toEqual(['failed-tokens']);
    wait(1000);
    expect(code(() => limits.mayTry('a', 'guess'))).toBe(200);
  });

  it('the valid ones that are remembered are the last ones', () => {
    const { limits } = limitsOf({ failedTokensPerSecond: 1 });
    for (let i = 0; i < 10_001; i++) limits.succeeded(`token-${i}`);
    for (let i = 0; i < 20; i++) limits.failed('a');
    expect(code(() => limits.mayTry('a', 'token-0'))).toBe(429);
    expect(code(() => limits.mayTry('a', 'token-1'))).toBe(200);
  });
});

it('sources that are too many to be distinguished share a limit, and are distinguished again later', () => {
  const { limits, wait } = limitsOf({ anonymousPerSecond: 1 });
  const of = (i: number) => ({ identity: `address ${i}`, isProved: false });
  for (let i = 0; i < 10_000; i++) limits.admit(of(i));
  expect(refusals(Array.from({ length: 20 }, (_, i) => code(() => limits.admit(of(20_000 + i)))))).toBe(15);
  expect(code(() => limits.admit(of(0)))).toBe(200);
  wait(5000);
  expect(refusals(Array.from({ length: 20 }, (_, i) => code(() => limits.admit(of(30_000 + i)))))).toBe(0);
});
