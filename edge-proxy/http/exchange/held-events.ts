/** The rest of a request that cannot be shown to its filters yet; its stream is paused. */
import type { HeaderMap } from '../message/header-map.ts';

export class HeldEvents {
  private readonly data: { readonly bytes: Uint8Array; readonly end: boolean }[] = [];
  private trailers: HeaderMap | undefined;

  /** @param bytes are copied */
  addData(bytes: Uint8Array, end: boolean): void {
    this.data.push({ bytes: new Uint8Array(bytes), end });
  }

  addTrailers(trailers: HeaderMap): void {
    this.trailers = trailers;
  }

  /** Hands everything over in order, also what is added while that is done. */
  replay(onData: (bytes: Uint8Array, end: boolean) => void, onTrailers: (trailers: HeaderMap) => void): void {
    for (let one = this.data.shift(); one; one = this.data.shift()) onData(one.bytes, one.end);
    if (this.trailers) onTrailers(this.trailers);
  }
}
