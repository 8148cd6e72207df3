/**
 * Writes to a socket where its stream would: at `_write`, which takes one write at a time and calls back. Saves the
 * stream's own bookkeeping.
 */
import type { Socket } from 'node:net';
import type { SocketWriter, WriterOwner } from './outlet.ts';

/** @param copies `_write` keeps nothing of what it was given. @returns undefined: something is under way already */
export function implementationWriter(
  socket: Socket,
  copies: boolean,
): ((owner: WriterOwner) => SocketWriter) | undefined {
  if (socket.writableLength > 0 || socket.destroyed) return undefined;
  return (owner) => new ImplementationWriter(socket, copies, owner);
}

/** Node's types leave it out: what streams say of a chunk that is bytes. */
const BUFFER = 'buffer' as BufferEncoding;

class ImplementationWriter implements SocketWriter {
  readonly copies: boolean;
  private readonly socket: Socket;
  private readonly owner: WriterOwner;
  /** `_write` has not returned. */
  private calling = false;
  private called = false;

  constructor(socket: Socket, copies: boolean, owner: WriterOwner) {
    this.socket = socket;
    this.copies = copies;
    this.owner = owner;
  }

  write(bytes: Uint8Array): boolean {
    if (this.socket.destroyed) return true;
    this.calling = true;
    this.called = false;
    this.socket._write(bytes, BUFFER, this.done);
    this.calling = false;
    return this.called;
  }

  private readonly done = (error?: Error | null): void => {
    if (this.calling) this.called = true;
    if (error) this.socket.destroy(error);
    else if (!this.calling && !this.socket.destroyed) this.owner.onWritten();
  };
}
