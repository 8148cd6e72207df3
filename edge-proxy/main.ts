/** The proxy process on Node, Bun and Deno. `tulle proxy` and `tulle run` start it. */
import * as z from 'zod';
import { meshProxyPart, startStaticProxy } from './assemble.ts';
import { runProcess } from './run.ts';
import { currentRuntime } from './runtime/index.ts';
import { runWorker } from './workers/worker.ts';
import { workerParts } from './workers/worker-parts.ts';

// Config is read seldom: parsers made for speed would only hold memory.
z.config({ jitless: true });

const VERSION = '0.1.0';
const runtime = currentRuntime();

const { parent } = runtime.process;
if (parent) {
  // Signals of a terminal reach the whole group: a worker goes when its parent says so.
  for (const signal of ['SIGTERM', 'SIGINT'] as const) runtime.process.onSignal(signal, () => {});
  runWorker(parent, (init) => workerParts(runtime, init), runtime.process.exit);
} else
  await runProcess({
    runtime,
    version: VERSION,
    proxy: (settings, given) => meshProxyPart(runtime, VERSION, settings, given),
    envoy: async (settings, args) => (await import('./envoy/envoy-engine.ts')).envoyEngine(runtime, settings, args),
    startStatic: (settings, actions, sockets) => startStaticProxy(runtime, VERSION, settings, actions, sockets),
  });
