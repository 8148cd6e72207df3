/** The runtime's own way of collecting garbage at once: Bun.gc, or V8's gc. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

interface Exposed {
  readonly Bun?: { gc(now: boolean): void; shrink?(): void };
  /** Of V8, where the process was started with --expose-gc, as `proxyCommand` does. */
  readonly gc?: () => void;
}

/** @returns undefined: there is none */
export function garbageCollection(): (() => void) | undefined {
  const { Bun: bun, gc } = globalThis as Exposed;
  if (bun) return () => bun.gc(true);
  return gc ? () => gc() : late();
}

/**
 * Bun's way of giving back the memory of a start: soon, when nothing runs, it drops all machine code and byte code, which is
 * made again for functions that are called again. @returns undefined: there is none
 */
export function startupRelease(): (() => void) | undefined {
  const { Bun: bun } = globalThis as Exposed;
  return bun?.shrink && (() => bun.shrink?.());
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
