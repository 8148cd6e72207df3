/**
 * Writes to a Bun socket below node:net at its own `write`, which takes at once what the kernel takes; what is left goes
 * to the stream's `_write`, which calls back when it has gone out.
 */
import type { Socket } from 'node:net';
import { ImplementationWriter } from './implementation-writer.ts';
import type { SocketWriter, WriterOwner } from './outlet.ts';

interface NativeHandle {
  /** @returns bytes taken; below 0 when closed */
  write(bytes: Uint8Array, from: number, length: number): number;
}
type Written = Socket & { readonly _handle?: Partial<NativeHandle> | null };

/** @returns undefined: not possible */
export function nativeWriter(socket: Socket): ((owner: WriterOwner) => SocketWriter) | undefined {
  const { _handle: handle } = socket as Written;
  if (typeof handle?.write !== 'function' || socket.writableLength > 0 || socket.destroyed) return undefined;
  return (owner) => new NativeWriter(socket, handle as NativeHandle, owner);
}

class NativeWriter implements SocketWriter {
  /** What `_write` does not pass on at once it copies. */
  readonly copies = true;
  private readonly socket: Written;
  private readonly handle: NativeHandle;
  private readonly rest: ImplementationWriter;

  constructor(socket: Socket, handle: NativeHandle, owner: WriterOwner) {
    this.socket = socket;
    this.handle = handle;
    this.rest = new ImplementationWriter(socket, true, owner);
  }

  write(bytes: Uint8Array): boolean {
    if (this.socket._handle !== this.handle) return true;
    const { length } = bytes;
    const taken = Math.max(0, this.handle.write(bytes, 0, length));
    return taken === length || this.rest.write(bytes.subarray(taken));
  }
}
