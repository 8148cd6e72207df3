/** The body of a request on its way out: to the attempt under way and to mirrors, and kept for sending it again. */
import type { HeaderMap } from '../message/header-map.ts';
import type { Attempt } from './attempt.ts';
import type { Mirror } from './mirror.ts';
import type { PendingBody } from './pending-body.ts';

const NONE: readonly Uint8Array[] = [];

export class OutgoingBody {
  private chunks: Uint8Array[] | undefined;
  private bytes = 0;
  private readonly limit: number;
  private trailers: HeaderMap | undefined;
  private mirrors: readonly Mirror[] | undefined = undefined;
  /** It is kept after it was sent, for another attempt. */
  keep = false;
  /** `chunks` is the whole body so far. */
  private complete = true;
  /** The client has sent all of it. */
  ended: boolean;

  /**
   * @param limit bytes that are kept for another attempt
   * @param pending what came of it so far, be it longer
   * @param ended that is all of it
   */
  constructor(limit: number, pending: PendingBody | undefined, ended: boolean) {
    this.limit = limit;
    this.chunks = pending?.chunks;
    this.bytes = pending?.bytes ?? 0;
    this.trailers = pending?.trailers;
    this.ended = ended;
  }

  /** The request can be sent once more. */
  get replayable(): boolean {
    return this.complete && this.keep;
  }

  get mirrored(): boolean {
    return this.mirrors !== undefined;
  }

  /** Sends copies from now on, and what there is. */
  mirrorTo(mirrors: readonly Mirror[]): void {
    this.mirrors = mirrors;
    for (const mirror of mirrors) {
      for (const bytes of this.chunks ?? NONE) mirror.onData(bytes, false);
      if (this.ended) mirror.onEnd(this.trailers);
    }
  }

  /**
   * @param bytes valid during the call alone
   * @param attempt that it is sent on; undefined: none is ready
   * @returns false: the client is to wait
   */
  onData(bytes: Uint8Array, end: boolean, attempt: Attempt | undefined): boolean {
    if (end) this.ended = true;
    if (this.mirrors) for (const mirror of this.mirrors) mirror.onData(bytes, end);
    const room = bytes.length === 0 || this.add(bytes, attempt !== undefined);
    return (attempt?.data(bytes, end) ?? true) && room;
  }

  /** @param attempt that they are sent on; undefined: none is ready */
  onTrailers(trailers: HeaderMap, attempt: Attempt | undefined): void {
    this.ended = true;
    this.trailers = trailers;
    if (this.mirrors) for (const mirror of this.mirrors) mirror.onEnd(trailers);
    attempt?.trailers(trailers);
  }

  /** Nothing of the request follows its head. */
  get empty(): boolean {
    return this.ended && this.trailers === undefined && (this.chunks === undefined || this.chunks.length === 0);
  }

  /**
   * Sends what there is, behind the head.
   * @param framed the request has a body
   * @returns false: the client is to wait
   */
  sendTo(attempt: Attempt, framed: boolean): boolean {
    const { chunks = NONE, trailers, ended } = this;
    let room = true;
    for (let i = 0; i < chunks.length; i++) {
      room = attempt.data(chunks[i]!, ended && trailers === undefined && i === chunks.length - 1);
    }
    if (ended && trailers) attempt.trailers(trailers);
    if (!this.keep) {
      if (this.bytes > 0 || framed) this.complete = false;
      this.chunks = undefined;
    }
    return room;
  }

  /** Neither what there is nor what comes is sent. */
  discard(): void {
    this.complete = false;
    this.chunks = undefined;
  }

  /** Nothing will be sent any more; mirrors that have the whole request continue alone. */
  clear(): void {
    this.chunks = undefined;
    if (this.mirrors) for (const mirror of this.mirrors) if (!mirror.whole) mirror.end();
  }

  /** @returns false: the client is to wait until it is sent */
  private add(bytes: Uint8Array, sending: boolean): boolean {
    // A body that is no longer whole here while no attempt is sending: a response is on its way, and needs no more of it.
    if (!this.complete || (sending && !this.keep)) return true;
    let room = true;
    if (this.bytes + bytes.length > this.limit) {
      if (sending) {
        this.complete = false;
        this.chunks = undefined;
        return true;
      }
      // Not sent yet: it must be kept, and another attempt is out of the question.
      this.keep = false;
      room = false;
    }
    this.chunks ??= [];
    this.chunks.push(new Uint8Array(bytes));
    this.bytes += bytes.length;
    return room;
  }
}
