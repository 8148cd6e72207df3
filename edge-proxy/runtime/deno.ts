/**
 * Deno's quirks. A TLSSocket's pause() does not stop reading; stopping the socket below it does. Deno leaves a piece of
 * memory outside the heap behind for each read and write of TLS, which V8 takes no account of until a hundred megabytes
 * have gathered.
 */
import type { Socket } from 'node:net';
import { readDirectly, readNextInto } from './node-reads.ts';
import type { Runtime } from './runtime.ts';
import { socketsRuntime } from './sockets-runtime.ts';
import { implementationWriter } from './writes/implementation-writer.ts';

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

/** Between two collections of young memory, which take a millisecond each. */
const TLS_BYTES = 8 * 1024 * 1024;
/** `proxyCommand` exposes it; without it TLS in bulk needs more memory. */
const collect = (globalThis as { gc?: (options: { type: 'minor' }) => void }).gc;
let tlsBytes = 0;

function onTlsBytes(length: number): void {
  tlsBytes += length;
  if (tlsBytes < TLS_BYTES) return;
  tlsBytes = 0;
  collect!({ type: 'minor' });
}

export function denoRuntime(): Runtime {
  return socketsRuntime('deno', {
    holdRaw,
    readDirectly,
    readNextInto,
    // TLS encrypts what it is given before `_write` returns; TCP writes from it later.
    directWriter: implementationWriter,
    directForGood: true,
    ...(collect && { onTlsBytes }),
    fixedCiphers: 'Deno chooses them itself',
  });
}
