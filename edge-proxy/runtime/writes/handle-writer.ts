/**
 * Writes to Node's sockets below their stream, at the handle that the stream itself writes to: a request object and a
 * native call. What that needs is found on a probe; without it, sockets are written as streams.
 */
import net from 'node:net';
import { getSystemErrorName } from 'node:util';
import type { SocketWriter, WriterOwner } from './outlet.ts';

interface WriteRequest {
  oncomplete: ((this: WriteRequest, status: number) => void) | undefined;
  /** Below 0 for one that no write has taken: each write that completes later takes its request. */
  getAsyncId(): number;
  /** The writer it belongs to. */
  writer?: HandleWriter | undefined;
  /** Kept until the write is over: the kernel is given its memory. */
  bytes?: Uint8Array | undefined;
}
type WriteRequestClass = new () => WriteRequest;

interface WriteHandle {
  /** @returns 0, or a negative system error */
  writeBuffer(request: WriteRequest, bytes: Uint8Array): number;
  writeLatin1String(request: WriteRequest, text: string): number;
  writev(request: WriteRequest, chunks: unknown[], allBuffers: boolean): number;
}
type Written = net.Socket & { _handle?: WriteHandle | null };

const Request = findRequestClass();

/** The class of the objects that a handle's writes take, seen where a socket writes to a handle of ours. */
function findRequestClass(): WriteRequestClass | undefined {
  let found: WriteRequestClass | undefined;
  const handle = {
    writeLatin1String(request: WriteRequest) {
      found = request.constructor as WriteRequestClass;
      return 0;
    },
    readStart: () => 0,
    readStop: () => 0,
    close(done?: () => void) {
      done?.();
    },
  };
  try {
    const probe = new net.Socket({ handle } as unknown as net.SocketConstructorOpts);
    probe.on('error', () => {});
    probe.write('x', 'latin1');
    probe.destroy();
    return found && new found().getAsyncId() === -1 ? found : undefined;
  } catch {
    return undefined;
  }
}

/** @param copies the handle encrypts, and keeps nothing of what it was given. @returns undefined: not possible */
export function handleWriter(socket: net.Socket, copies: boolean): ((owner: WriterOwner) => SocketWriter) | undefined {
  const { _handle: handle } = socket as Written;
  if (!Request || !handle?.writeBuffer || socket.writableLength > 0) return undefined;
  return (owner) => new HandleWriter(socket, handle, copies, owner);
}

class HandleWriter implements SocketWriter {
  readonly copies: boolean;
  private readonly socket: Written;
  private readonly handle: WriteHandle;
  private readonly owner: WriterOwner;
  /** Given to the next write; one that completed at once did not use it. */
  private request: WriteRequest | undefined = undefined;
  /** Absent where the runtime would copy text twice. */
  readonly writeText?: (text: string) => boolean;

  constructor(socket: net.Socket, handle: WriteHandle, copies: boolean, owner: WriterOwner) {
    this.copies = copies;
    this.socket = socket;
    this.handle = handle;
    this.owner = owner;
    if (!copies) this.writeText = this.writePlainText;
  }

  write(bytes: Uint8Array): boolean {
    const request = this.nextRequest();
    if (!request) return true;
    return this.finished(this.handle.writeBuffer(request, bytes), this.copies ? undefined : bytes);
  }

  private writePlainText(text: string): boolean {
    const request = this.nextRequest();
    if (!request) return true;
    return this.finished(this.handle.writeLatin1String(request, text), undefined);
  }

  writeBoth(text: string, bytes: Uint8Array): boolean {
    const request = this.nextRequest();
    if (!request) return true;
    return this.finished(this.handle.writev(request, [text, 'latin1', bytes, 'buffer'], false), bytes);
  }

  /** @returns undefined: the socket is closed */
  private nextRequest(): WriteRequest | undefined {
    // A closed socket's handle is no longer its own.
    if (this.socket._handle !== this.handle) return undefined;
    return (this.request ??= this.newRequest());
  }

  private newRequest(): WriteRequest {
    const request = new Request!();
    request.oncomplete = onComplete;
    request.writer = this;
    return request;
  }

  private finished(error: number, bytes: Uint8Array | undefined): boolean {
    if (error !== 0) {
      this.request = undefined;
      this.fail(error);
      return true;
    }
    const request = this.request!;
    if (request.getAsyncId() < 0) return true;
    request.bytes = bytes;
    this.request = undefined;
    return false;
  }

  fail(error: number): void {
    const code = getSystemErrorName(error);
    this.socket.destroy(Object.assign(new Error(`write ${code}`), { code, errno: error, syscall: 'write' }));
  }

  completed(status: number): void {
    if (this.socket.destroyed) return;
    if (status < 0) this.fail(status);
    else this.owner.onWritten();
  }
}

function onComplete(this: WriteRequest, status: number): void {
  const { writer } = this;
  this.writer = undefined;
  this.bytes = undefined;
  writer?.completed(status);
}
