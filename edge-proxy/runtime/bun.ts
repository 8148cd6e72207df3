/** Bun: node:net and node:tls as Node has them. */
import type { Runtime } from './runtime.ts';
import { socketsRuntime } from './sockets-runtime.ts';

export function bunRuntime(): Runtime {
  return socketsRuntime('bun', {});
}
