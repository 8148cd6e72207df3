/**
 * Memory that bulk is read into, and read into again once what was read has gone out. Else each read on the way to a
 * slow peer would leave 64 KB to be collected, of which a runtime lets tens of megabytes gather.
 */
import { Buffer } from 'node:buffer';
import type { Socket } from 'node:net';
import type { ConnectionHandler } from './runtime.ts';

/** Reads of this size on are lent. */
export const BULK = 16 * 1024;
/** As much as one read of Node's takes. */
const SIZE = 64 * 1024;
/** Kept for the next bulk read; the surplus is freed. */
const MOST_FREE = 32;
const free: Loan[] = [];
/** Connections that may keep memory while they read little. */
const MANY = 64;
let taken = 0;

/** Whose bytes a handler is looking at now. */
let lending: Loan | undefined;

export class Loan {
  readonly memory: Uint8Array;
  private readonly returned: (loan: Loan, sound: boolean) => void;
  /** Writes of it that have not gone out. */
  private pending = 0;
  /** Writes that went out at once, and whose callback is still to come. */
  private early = 0;
  private read = true;
  private spoilt = false;

  /** @param returned called when it has no reader any more; not sound: a write of it failed */
  constructor(memory: Uint8Array, returned: (loan: Loan, sound: boolean) => void) {
    this.memory = memory;
    this.returned = returned;
  }

  /** Shared memory to read into. */
  static take(): Loan {
    const loan = free.pop() ?? new Loan(Buffer.allocUnsafeSlow(SIZE), giveBack);
    loan.read = true;
    taken++;
    return loan;
  }

  /** So much is lent that holders should return what they do not need. */
  static get many(): boolean {
    return taken > MANY;
  }

  /** Bytes of it are on their way out. */
  get kept(): boolean {
    return this.pending > 0;
  }

  /** No read uses it any more. */
  leave(): void {
    this.read = false;
    this.settle();
  }

  /** Hands bytes of this memory over; writes of them meanwhile take note. */
  lend(bytes: Uint8Array, to: ConnectionHandler): void {
    lending = this;
    try {
      to.onLent!(bytes);
    } finally {
      lending = undefined;
    }
  }

  write(socket: Socket, bytes: Uint8Array): boolean {
    this.pending++;
    const room = socket.write(bytes, this.sent);
    if (socket.writableLength === 0) {
      this.pending--;
      this.early++;
    }
    return room;
  }

  /** A write of it waits for the kernel; `done` follows. */
  hold(): void {
    this.pending++;
  }

  /** @param error it was never sent, and may still be read */
  done(error?: Error | null): void {
    this.pending--;
    if (error) this.spoilt = true;
    this.settle();
  }

  private readonly sent = (error?: Error | null): void => {
    if (this.early > 0) this.early--;
    else this.done(error);
  };

  private settle(): void {
    if (!this.read && this.pending === 0) this.returned(this, !this.spoilt);
  }
}

function giveBack(loan: Loan, sound: boolean): void {
  taken--;
  if (sound && free.length < MOST_FREE) free.push(loan);
}

/** The memory that `bytes` are lent from, when they are. */
export function lenderOf(bytes: Uint8Array): Loan | undefined {
  return lending !== undefined && bytes.buffer === lending.memory.buffer ? lending : undefined;
}

/**
 * Lends what a read has brought, in memory of its own, which is given back to the system once it has been written on:
 * JavaScriptCore would let tens of megabytes gather.
 */
export function lendOnce(bytes: Uint8Array, to: ConnectionHandler): void {
  const loan = new Loan(bytes, discard);
  try {
    loan.lend(bytes, to);
  } finally {
    loan.leave();
  }
}

/** Memory that other reads share is left alone. */
function discard({ memory }: Loan, sound: boolean): void {
  const { buffer, length } = memory;
  if (sound && buffer.byteLength === length) (buffer as ArrayBuffer).transfer(0);
}
