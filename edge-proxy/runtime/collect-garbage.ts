/** The runtime's own way of collecting garbage at once: Bun.gc, or V8's gc. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

interface Exposed {
  readonly Bun?: { gc(now: boolean): void };
  /** Of V8, where the process was started with --expose-gc, as `proxyCommand` does. */
  readonly gc?: () => void;
}

/** @returns undefined: there is none */
export function garbageCollection(): (() => void) | undefined {
  const { Bun: bun, gc } = globalThis as Exposed;
  if (bun) return () => bun.gc(true);
  return gc ? () => gc() : late();
}

/** V8 takes the flag later, too, for contexts that are made from then on. */
function late(): (() => void) | undefined {
  try {
    setFlagsFromString('--expose-gc');
    const gc = runInNewContext('gc') as unknown;
    return typeof gc === 'function' ? () => void gc() : undefined;
  } catch {
    return undefined;
  }
}
