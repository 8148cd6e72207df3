/**
 * Where the bytes of a connection leave: at the runtime's socket, without a stream between. One write is under way at a
 * time; what is written meanwhile is queued, and small pieces of the queue leave as one.
 */
import { Buffer } from 'node:buffer';
import { type Loan, lenderOf } from '../loans.ts';
import { joinText, writeText } from './text.ts';

/** Hands bytes to one socket. */
export interface SocketWriter {
  /** Bytes may change once `write` has returned, even where they have not all gone out. */
  readonly copies: boolean;
  /** @returns true: it has gone out, or the socket is being destroyed; false: `WriterOwner.onWritten` follows */
  write(bytes: Uint8Array): boolean;
  /** As `write`, where the runtime encodes Latin-1 text at less cost. */
  writeText?(text: string): boolean;
  /** As `write`, of both in one system call. */
  writeBoth?(text: string, bytes: Uint8Array): boolean;
}

export interface WriterOwner {
  /** The write that was under way is over. */
  onWritten(): void;
}

export interface OutletOwner {
  /** There is room again after a write that answered false. */
  onRoom(): void;
  /** All has gone out, and `end` was called. */
  onAllSent(): void;
}

/** Bytes under way above which a writer should wait; node:net's number. */
const HIGH_WATER = 64 * 1024;
/** What is queued is joined up to the size of a TLS record. */
const RECORD = 16 * 1024;
/** Text and small bodies are joined here. */
const PAGE = 64 * 1024;
/** The page of writers that read it after `write` has returned is replaced then, so it is smaller. */
const KEPT_PAGE = RECORD;

const page = Buffer.allocUnsafeSlow(PAGE);
let keptPage = Buffer.allocUnsafeSlow(KEPT_PAGE);

export class Outlet implements WriterOwner {
  /** Bytes that have not gone out. */
  buffered = 0;
  private readonly writer: SocketWriter;
  private readonly owner: OutletOwner;
  /** Bytes of the write that is under way. */
  private flying = 0;
  private flyingLender: Loan | undefined = undefined;
  private queue: Uint8Array[] | undefined = undefined;
  /** Whose memory what is queued is, where it is lent. */
  private lenders: (Loan | undefined)[] | undefined = undefined;
  private owesRoom = false;
  private ending = false;

  constructor(makeWriter: (owner: WriterOwner) => SocketWriter, owner: OutletOwner) {
    this.owner = owner;
    this.writer = makeWriter(this);
  }

  /** @returns false: above the high-water mark, `onRoom` follows */
  write(bytes: Uint8Array): boolean {
    const { length } = bytes;
    if (length === 0) return true;
    const lender = lenderOf(bytes);
    if (this.flying > 0) return this.enqueue(bytes, lender);
    this.flying = length;
    if (this.writer.write(bytes)) return this.gone();
    if (lender && !this.writer.copies) {
      lender.hold();
      this.flyingLender = lender;
    }
    return this.underWay(length);
  }

  /** As `write`, for a string whose characters are all below U+0100. */
  writeLatin1(text: string): boolean {
    const { length } = text;
    if (length === 0) return true;
    if (this.flying > 0) return this.enqueue(joinText(text, undefined), undefined);
    const { writer } = this;
    if (writer.writeText === undefined) return this.writeJoined(text, undefined);
    this.flying = length;
    return writer.writeText(text) ? this.gone() : this.underWay(length);
  }

  /** As `writeLatin1`, then `write`. */
  writeBoth(text: string, bytes: Uint8Array): boolean {
    if (bytes.length === 0) return this.writeLatin1(text);
    if (this.flying > 0) {
      if (text.length + bytes.length <= RECORD) return this.enqueue(joinText(text, bytes), undefined);
      this.writeLatin1(text);
      return this.write(bytes);
    }
    const length = text.length + bytes.length;
    const { writer } = this;
    if (length <= (writer.copies ? PAGE : KEPT_PAGE)) return this.writeJoined(text, bytes);
    if (writer.writeBoth === undefined) {
      this.writeLatin1(text);
      return this.write(bytes);
    }
    this.flying = length;
    const lender = lenderOf(bytes);
    if (writer.writeBoth(text, bytes)) return this.gone();
    lender?.hold();
    this.flyingLender = lender;
    return this.underWay(length);
  }

  private writeJoined(text: string, bytes: Uint8Array | undefined): boolean {
    const length = text.length + (bytes?.length ?? 0);
    const { copies } = this.writer;
    if (length > (copies ? PAGE : KEPT_PAGE)) return this.write(joinText(text, undefined));
    const memory = copies ? page : keptPage;
    writeText(memory, text);
    if (bytes) memory.set(bytes, text.length);
    this.flying = length;
    if (this.writer.write(memory.subarray(0, length))) return this.gone();
    if (!copies) keptPage = Buffer.allocUnsafeSlow(KEPT_PAGE);
    return this.underWay(length);
  }

  private gone(): true {
    this.flying = 0;
    return true;
  }

  private underWay(length: number): boolean {
    this.buffered += length;
    return this.hasRoom();
  }

  private hasRoom(): boolean {
    if (this.buffered < HIGH_WATER) return true;
    this.owesRoom = true;
    return false;
  }

  private enqueue(bytes: Uint8Array, lender: Loan | undefined): boolean {
    this.queue ??= [];
    this.lenders ??= [];
    lender?.hold();
    this.queue.push(bytes);
    this.lenders.push(lender);
    this.buffered += bytes.length;
    return this.hasRoom();
  }

  onWritten(): void {
    this.buffered -= this.flying;
    this.flying = 0;
    this.flyingLender?.done();
    this.flyingLender = undefined;
    while (this.flying === 0 && this.queue !== undefined && this.queue.length > 0)
      this.sendQueued(this.queue, this.lenders!);
    if (this.flying > 0) return;
    if (this.ending) this.owner.onAllSent();
    else if (this.owesRoom) {
      this.owesRoom = false;
      this.owner.onRoom();
    }
  }

  private sendQueued(queue: Uint8Array[], lenders: (Loan | undefined)[]): void {
    let count = 0;
    let length = 0;
    while (count < queue.length && (count === 0 || length + queue[count]!.length <= RECORD))
      length += queue[count++]!.length;
    const pieces = queue.splice(0, count);
    const owners = lenders.splice(0, count);
    this.buffered -= length;
    const first = count === 1;
    const bytes = first ? pieces[0]! : Buffer.concat(pieces, length);
    const lender = owners[0];
    if (!first) for (const owner of owners) owner?.done();
    this.flying = length;
    if (this.writer.write(bytes)) {
      if (first) lender?.done();
      this.flying = 0;
      return;
    }
    this.buffered += length;
    if (!first) return;
    if (this.writer.copies) lender?.done();
    else this.flyingLender = lender;
  }

  /** `onAllSent` follows what is under way. */
  end(): void {
    this.ending = true;
    if (this.flying === 0) this.owner.onAllSent();
  }

  /** The socket has closed. */
  close(): void {
    const failed = new Error('not sent');
    this.flyingLender?.done(failed);
    this.flyingLender = undefined;
    for (const lender of this.lenders ?? []) lender?.done();
    this.queue = undefined;
    this.lenders = undefined;
    this.buffered = 0;
    // A completion that the runtime still reports changes nothing.
    this.flying = 0;
    this.ending = false;
    this.owesRoom = false;
  }
}
