import { expect, it, vi } from 'vitest';
import { runProcess } from './run.ts';
import { currentRuntime } from './runtime/index.ts';
import type { Application, EndSignal, Runtime } from './runtime/runtime.ts';

/** A static proxy with an application, as a process of which the test has the signals and the readiness. */
function setup() {
  const runtime = currentRuntime();
  const signals = new Map<EndSignal, () => void>();
  const ready = Promise.withResolvers<void>();
  const stopped = Promise.withResolvers<void>();
  const application: Application = {
    pid: 1,
    kill: vi.fn(),
    openPorts: async () => [],
    ended: new Promise(() => {}),
  };
  const startApplication = vi.fn(() => application);
  const exit = vi.fn();
  const host = {
    ...runtime.process,
    args: ['-c', 'config.json', '--', 'application'],
    environment: {},
    configureLog: () => {},
    redirectOutput: () => {},
    removeFromEnvironment: () => {},
    writeError: () => {},
    startApplication,
    exit: exit as unknown as (code: number) => never,
    onSignal: (signal: EndSignal, handler: () => void) => void signals.set(signal, handler),
  };
  const running = { adminPort: 1, ready: ready.promise, ports: () => ({}), stop: () => stopped.promise };
  const ended = runProcess({
    runtime: { ...runtime, process: host } as Runtime,
    version: '1',
    proxy: () => {
      throw new Error('it is static');
    },
    envoy: () => {
      throw new Error('it is static');
    },
    startStatic: async () => running,
  });
  return { signals, ready, stopped, application, startApplication, exit, ended };
}

const settled = () => new Promise((done) => setImmediate(done));

it('passes a signal to the application once it runs', async () => {
  const { signals, ready, startApplication, application, exit } = setup();
  ready.resolve();
  await vi.waitFor(() => expect(startApplication).toHaveBeenCalledOnce());
  signals.get('SIGTERM')!();
  expect(application.kill).toHaveBeenCalledWith('SIGTERM');
  expect(exit).not.toHaveBeenCalled();
});

it('starts no application where a signal comes before the proxy is ready', async () => {
  const { signals, ready, stopped, startApplication, exit, ended } = setup();
  await settled();
  signals.get('SIGTERM')!();
  ready.resolve();
  await ended;
  expect([startApplication.mock.calls.length, exit.mock.calls.length]).toEqual([0, 0]);
  stopped.resolve();
  await settled();
  expect(exit.mock.calls).toEqual([[143]]);
});
