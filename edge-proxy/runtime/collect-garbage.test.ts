import { afterEach, expect, it, vi } from 'vitest';
import { garbageCollection, startupRelease } from './collect-garbage.ts';

afterEach(() => void vi.unstubAllGlobals());

it('uses the ways of Bun where there are any', () => {
  expect(startupRelease()).toBeUndefined();
  const [gc, shrink] = [vi.fn(), vi.fn()];
  vi.stubGlobal('Bun', { gc, shrink });
  garbageCollection()!();
  startupRelease()!();
  expect([gc.mock.calls, shrink.mock.calls]).toEqual([[[true]], [[]]]);
  vi.stubGlobal('Bun', { gc });
  expect(startupRelease()).toBeUndefined();
});
