import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { watchOpenPorts } from './watch-open-ports.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

it('warns once of each address, and looks no more after the stop', async () => {
  let open: string[] = [];
  let looks = 0;
  const lines: string[] = [];
  const stop = watchOpenPorts(
    {
      openPorts: async () => {
        looks++;
        return open;
      },
    },
    (line) => lines.push(line),
  );
  await vi.advanceTimersByTimeAsync(500);
  expect([looks, lines]).toEqual([1, []]);
  open = ['0.0.0.0:80'];
  await vi.advanceTimersByTimeAsync(1000);
  open = ['0.0.0.0:80', '[::]:81'];
  await vi.advanceTimersByTimeAsync(2000 + 5000);
  expect(lines.map((line) => /warning: (\S+) is open/.exec(line)?.[1])).toEqual(['0.0.0.0:80', '[::]:81']);
  expect(looks).toBe(4);
  stop();
  await vi.advanceTimersByTimeAsync(300_000);
  expect(looks).toBe(4);
});
