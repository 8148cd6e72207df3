/** The codec's HPACK behind the seam of header-block.ts. */
import type { ByteBuffer } from './byte-buffer.ts';
import type { FieldSink, HeaderDecoder, HeaderEncoder } from './header-block.ts';
import { HpackDecoder as Decoder, type DecoderLimits, HpackEncoder as Encoder } from './hpack.ts';

export class HpackDecoder implements HeaderDecoder {
  private readonly decoder: Decoder;

  constructor(limits: DecoderLimits) {
    this.decoder = new Decoder(limits);
  }

  decode(bytes: Uint8Array, start: number, end: number, sink: FieldSink): void {
    for (const [name, value] of this.decoder.decode(bytes.subarray(start, end))) sink.onField(name, value);
  }
}

export class HpackEncoder implements HeaderEncoder {
  private readonly encoder = new Encoder();

  limitTable(size: number): void {
    this.encoder.limitTable(size);
  }

  begin(out: ByteBuffer): void {
    out.append(this.encoder.encode([]));
  }

  field(out: ByteBuffer, name: string, value: string): void {
    out.append(this.encoder.encode([[name, value]]));
  }
}
