/** Reports where an application that was started behind its sidecar can be reached past it. */
import type { Application } from './runtime/runtime.ts';

/** When an application's listeners are looked at, milliseconds after each other; the last repeats. */
const LOOKS_MS = [500, 1000, 2000, 5000, 10_000, 60_000];

/** Warns, once an address, where other hosts reach the application without its sidecar. @returns stop */
export function watchOpenPorts(application: Pick<Application, 'openPorts'>, warn: (line: string) => void): () => void {
  const reported = new Set<string>();
  let timer: ReturnType<typeof setTimeout>;
  let stopped = false;
  const look = async (turn: number) => {
    for (const at of await application.openPorts()) {
      if (stopped || reported.has(at)) continue;
      reported.add(at);
      warn(
        `tulle: warning: ${at} is open: other hosts reach the application there without mTLS and policies; bind 127.0.0.1`,
      );
    }
    if (!stopped) schedule(turn + 1);
  };
  const schedule = (turn: number) => {
    timer = setTimeout(() => void look(turn), LOOKS_MS[Math.min(turn, LOOKS_MS.length - 1)]);
  };
  schedule(0);
  return () => {
    stopped = true;
    clearTimeout(timer);
  };
}
