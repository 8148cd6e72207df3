/** What came of a request's body before there was somewhere to send it. */
import type { HeaderMap } from '../message/header-map.ts';

export class PendingBody {
  readonly chunks: Uint8Array[] = [];
  bytes = 0;
  trailers: HeaderMap | undefined;
  /** Bytes of a body that must be whole before it is sent. */
  limit = Number.POSITIVE_INFINITY;

  /** @param bytes valid during the call alone */
  add(bytes: Uint8Array, trailers: HeaderMap | undefined): void {
    if (bytes.length > 0) this.chunks.push(new Uint8Array(bytes));
    this.bytes += bytes.length;
    this.trailers = trailers;
  }

  get tooLong(): boolean {
    return this.bytes > this.limit;
  }
}
