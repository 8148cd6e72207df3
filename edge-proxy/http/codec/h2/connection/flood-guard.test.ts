import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { defaultHttp2Options } from '../options.ts';
import { FloodGuard } from './flood-guard.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

it('runs no timer behind the end of its connection', () => {
  const guard = new FloodGuard(defaultHttp2Options.flood, 10);
  guard.onEarlyEnd();
  expect(vi.getTimerCount()).toBe(1);
  guard.stop();
  guard.onEarlyEnd();
  expect(vi.getTimerCount()).toBe(0);
});
