/** The proxy process on Node, Bun and Deno. `tulle proxy` and `tulle run` start it. */
import { meshProxyPart, startStaticProxy } from './assemble.ts';
import { runProcess } from './run.ts';
import { currentRuntime } from './runtime/index.ts';

const VERSION = '0.1.0';
const runtime = currentRuntime();

await runProcess({
  runtime,
  version: VERSION,
  proxy: (settings) => meshProxyPart(runtime, VERSION, settings),
  startStatic: (settings, quit) => startStaticProxy(runtime, VERSION, settings, quit),
});
