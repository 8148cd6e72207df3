import { describe, expect, it } from 'vitest';
import { retryLimit } from './circuit-breakers.ts';
import { RequestWindow } from './request-window.ts';

describe('RequestWindow', () => {
  it('counts what began in the last interval', () => {
    let now = 12_345;
    const window = new RequestWindow(1000, () => now);
    expect(window.total).toBe(0);
    window.add();
    window.add();
    now += 500;
    window.add();
    expect(window.total).toBe(3);
    now += 400;
    expect(window.total).toBe(3);
    now += 200;
    expect(window.total).toBe(1);
    now += 600;
    expect(window.total).toBe(0);
    window.add();
    now += 3_600_000;
    expect(window.total).toBe(0);
    window.add();
    expect(window.total).toBe(1);
  });

  it('is what the retry budget is a share of, where more requests began than are under way', () => {
    let now = 0;
    const recent = new RequestWindow(10_000, () => now);
    const limits = {
      maxConnections: 9,
      maxPendingRequests: 9,
      maxRequests: 9,
      maxRetries: 9,
      retryBudget: { percent: 20, minConcurrency: 1 },
    };
    const use = { connections: 0, pending: 0, requests: 2, retries: 0 };
    expect(retryLimit({ limits, use, recent })).toBe(1);
    for (let i = 0; i < 50; i++) recent.add();
    expect(retryLimit({ limits, use, recent })).toBe(10);
    expect(retryLimit({ limits, use })).toBe(1);
    now = 20_000;
    expect(retryLimit({ limits, use, recent })).toBe(1);
    expect(retryLimit({ limits, use: { ...use, requests: 40 }, recent })).toBe(8);
  });
});
