/** Deno: a TLSSocket's pause() does not stop reading; stopping the socket below it does. */
import type { Socket } from 'node:net';
import type { Runtime } from './runtime.ts';
import { socketsRuntime } from './sockets-runtime.ts';

interface RawHandle {
  /** Of a TLS socket that dialled: the handle of the TCP socket below. */
  readonly _parent?: RawHandle;
  readStop(): number;
  readStart(): number;
}
type Handled = Socket & { _handle?: RawHandle | null };

function holdRaw(secure: Socket, raw: Socket | undefined, hold: boolean): void {
  const handle = raw ? (raw as Handled)._handle : (secure as Handled)._handle?._parent;
  // A TLS socket over a stream of ours has none; that stream is held by what it pushes.
  if (!handle?.readStop) return;
  if (hold) handle.readStop();
  else handle.readStart();
}

export function denoRuntime(): Runtime {
  return socketsRuntime('deno', { holdRaw, fixedCiphers: 'Deno chooses them itself' });
}
