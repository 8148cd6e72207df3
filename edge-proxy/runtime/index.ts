/** The runtime this process runs on. */
import process from 'node:process';
import { bunRuntime } from './bun.ts';
import { denoRuntime } from './deno.ts';
import { nodeRuntime } from './node.ts';
import type { Runtime } from './runtime.ts';

let chosen: Runtime | undefined;

/** @throws Error when this version of the runtime cannot be used */
export function currentRuntime(): Runtime {
  chosen ??= process.versions.bun ? bunRuntime() : process.versions['deno'] ? denoRuntime() : nodeRuntime();
  return chosen;
}
