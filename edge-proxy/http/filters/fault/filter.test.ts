import { describe, expect, it } from 'vitest';
import { contextOf, requestDouble } from '../request-double.ts';
import { createFaultFilter, type RouteFault } from './filter.ts';

/** Answers with these numbers in turn, and notes how long it was asked to sleep. */
function run(fault: Partial<RouteFault> | undefined, draws: number[] = []) {
  const whole = { delayMs: 0, delayShare: 0, abortStatus: 0, abortShare: 0, ...fault };
  const slept: number[] = [];
  const request = requestDouble();
  const env = {
    random: () => draws.shift() ?? Number.NaN,
    sleep: (ms: number) => {
      slept.push(ms);
      return Promise.resolve();
    },
  };
  const filter = createFaultFilter(env, () => (fault ? whole : undefined));
  return { verdict: filter.onRequestHead!(contextOf(request), true), slept, request };
}
const abort = (status: number) => ({ status, body: 'fault filter abort', details: 'fault_filter_abort', flag: 'FI' });

describe('fault', () => {
  it('no route, or one without a fault: nothing, and no promise', () => {
    expect(run(undefined).verdict).toBeUndefined();
    expect(run({}).verdict).toBeUndefined();
  });
  it('aborts its share, the border excluded', () => {
    expect(run({ abortStatus: 418, abortShare: 0.5 }, [0.49]).verdict).toEqual(abort(418));
    expect(run({ abortStatus: 418, abortShare: 0.5 }, [0.5]).verdict).toBeUndefined();
    expect(run({ abortStatus: 503, abortShare: 1 }, [0.999]).verdict).toEqual(abort(503));
    expect(run({ abortStatus: 503, abortShare: 0 }, [0]).verdict).toBeUndefined();
  });
  it('delays its share, flags it, then goes on', async () => {
    const { verdict, slept, request } = run({ delayMs: 70, delayShare: 0.5 }, [0.1]);
    expect(verdict).toBeInstanceOf(Promise);
    expect(await verdict).toBeUndefined();
    expect(slept).toEqual([70]);
    expect(request.flags).toEqual(['DI']);
  });
  it('not delayed: no flag, no sleep', () => {
    const { verdict, slept, request } = run({ delayMs: 70, delayShare: 0.5 }, [0.5]);
    expect(verdict).toBeUndefined();
    expect(slept).toEqual([]);
    expect(request.flags).toEqual([]);
  });
  it('delays and then aborts; the shares are drawn apart', async () => {
    const both = { delayMs: 5, delayShare: 0.5, abortStatus: 500, abortShare: 0.5 };
    expect(await run(both, [0.1, 0.1]).verdict).toEqual(abort(500));
    expect(await run(both, [0.1, 0.9]).verdict).toBeUndefined();
    expect(run(both, [0.9, 0.1]).verdict).toEqual(abort(500));
  });
});
