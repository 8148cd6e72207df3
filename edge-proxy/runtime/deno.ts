/** Deno: a server TLSSocket's pause() does not stop reading; stopping the socket below it does. */
import type { Socket } from 'node:net';
import type { Runtime } from './runtime.ts';
import { socketsRuntime } from './sockets-runtime.ts';

interface RawHandle {
  readStop(): number;
  readStart(): number;
}

function holdRaw(raw: Socket, hold: boolean): void {
  const handle = (raw as Socket & { _handle?: RawHandle | null })._handle;
  if (!handle) return;
  if (hold) handle.readStop();
  else handle.readStart();
}

export function denoRuntime(): Runtime {
  return socketsRuntime('deno', { holdRaw, fixedCiphers: 'Deno chooses them itself' });
}
