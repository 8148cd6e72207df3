import { expect, it, vi } from 'vitest';
import { HotRestart } from './hot-restart.ts';
import type { RunningProcess } from './mesh-proxy.ts';

function setup(options: { obstacle?: string; limitMs?: number } = {}) {
  const failed = Promise.withResolvers<string>();
  const successor = { pid: 7, failed: failed.promise, kill: vi.fn() };
  const start = vi.fn(() => successor);
  const release = vi.fn();
  const replaced = vi.fn();
  let serves = () => {};
  const running = {
    adminPort: 1,
    ready: Promise.resolve(),
    ports: () => ({}),
    stop: async () => {},
    holdFiles: async () => release,
  } satisfies RunningProcess;
  const restart = new HotRestart({
    host: {
      log: Object.assign(() => {}, {}) as never,
      succession: {
        predecessor: undefined,
        releasePredecessor() {},
        onReplaced: (call) => {
          serves = call;
        },
        closeUntaken: async () => {},
        start,
      },
    },
    sockets: { outbound: 3 },
    obstacle: options.obstacle,
    running: () => running,
    replaced,
    ...(options.limitMs !== undefined && { limitMs: options.limitMs }),
  });
  return { restart, failed, successor, start, release, replaced, serves: () => serves() };
}

const started = (start: () => unknown) => vi.waitFor(() => expect(start).toHaveBeenCalledOnce());

it('ends this process once the successor serves, and never twice', async () => {
  const { restart, start, release, replaced, serves } = setup();
  serves();
  const answers = [restart.request(), restart.request()];
  await started(start);
  expect(start).toHaveBeenCalledWith({ outbound: 3 });
  serves();
  expect(await Promise.all(answers)).toEqual([undefined, undefined]);
  expect([replaced.mock.calls.length, release.mock.calls.length]).toEqual([1, 0]);
  expect(await restart.request()).toBe('it was replaced already');
});

it('continues where the successor ends or is late', async () => {
  const { restart, start, failed, release, replaced } = setup();
  const answer = restart.request();
  await started(start);
  failed.resolve('it ended with 1');
  expect(await answer).toBe('process 7 did not take over: it ended with 1');
  expect([replaced.mock.calls.length, release.mock.calls.length]).toEqual([0, 1]);

  const late = setup({ limitMs: 1 });
  expect(await late.restart.request()).toBe('it is not ready after 0.001 s');
  expect(late.successor.kill).toHaveBeenCalled();
});

it('starts nothing where there is an obstacle, and ends a successor with this process', async () => {
  const { restart, start } = setup({ obstacle: 'it is the main process of its container' });
  expect(await restart.request()).toBe('it is the main process of its container');
  expect(start).not.toHaveBeenCalled();
  const other = setup();
  void other.restart.request();
  await started(other.start);
  other.restart.cancel();
  expect(other.successor.kill).toHaveBeenCalled();
});
