/** What came of a request's body, and passed the filters, before there was somewhere to send it. */
import type { HeaderMap } from '../message/header-map.ts';

export class PendingBody {
  readonly chunks: Uint8Array[] = [];
  bytes = 0;
  trailers: HeaderMap | undefined;

  /** @param bytes kept as they are */
  add(bytes: Uint8Array, trailers: HeaderMap | undefined): void {
    if (bytes.length > 0) this.chunks.push(bytes);
    this.bytes += bytes.length;
    this.trailers = trailers;
  }
}
