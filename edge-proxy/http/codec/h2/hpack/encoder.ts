/** The encoding side of HPACK (RFC 7541). */
import type { ByteBuffer } from '../byte-buffer.ts';
import type { HeaderEncoder } from '../header-block.ts';
import { DEFAULT_TABLE_SIZE } from './decoder.ts';
import { EncoderTable } from './encoder-table.ts';
import { type FieldName, fieldName } from './field-names.ts';
import { writeCompactString, writeInteger, writeString } from './primitives.ts';

export class HpackEncoder implements HeaderEncoder {
  private readonly most: number;
  private readonly table: EncoderTable;
  /** The size of the table that the peer knows of. */
  private announced = DEFAULT_TABLE_SIZE;
  private wanted: number;
  /** The smallest size since then. */
  private smallest: number;

  /** @param most bytes of the dynamic table, however many the peer allows */
  constructor(most: number = DEFAULT_TABLE_SIZE) {
    this.most = most;
    this.wanted = Math.min(most, DEFAULT_TABLE_SIZE);
    this.smallest = this.wanted;
    this.table = new EncoderTable(this.wanted);
  }

  limitTable(size: number): void {
    this.wanted = Math.min(size, this.most);
    this.smallest = Math.min(this.smallest, this.wanted);
  }

  begin(out: ByteBuffer): void {
    if (this.wanted === this.announced && this.smallest === this.announced) return;
    // Between two blocks the size may have changed several times (section 4.2).
    if (this.smallest < Math.min(this.wanted, this.announced)) this.updateSize(out, this.smallest);
    this.updateSize(out, this.wanted);
    this.announced = this.wanted;
    this.smallest = this.wanted;
  }

  private updateSize(out: ByteBuffer, size: number): void {
    writeInteger(out, 0x20, 5, size);
    this.table.resize(size);
  }

  field(out: ByteBuffer, name: string, value: string, neverIndexed = false): void {
    const known = fieldName(name);
    if (!neverIndexed && (this.indexed(out, known, value) || this.indexing(out, known, name.length, value))) return;
    const start = out.length;
    appendShort(out, known.literal);
    if (neverIndexed) out.bytes[start]! |= 0x10;
    writeString(out, value);
  }

  /** @returns whether a table has the field */
  private indexed(out: ByteBuffer, known: FieldName, value: string): boolean {
    const { staticValues } = known;
    for (let i = 0; i < staticValues.length; i++) {
      if (staticValues[i] !== value) continue;
      out.push(0x80 | (known.staticIndex + i));
      return true;
    }
    if (known.slot < 0) return false;
    const index = this.table.find(known.slot, value);
    if (index === 0) return false;
    writeInteger(out, 0x80, 7, index);
    return true;
  }

  /** @returns whether the field has entered the table */
  private indexing(out: ByteBuffer, { slot, indexingLiteral }: FieldName, nameLength: number, value: string): boolean {
    if (slot < 0 || !this.table.admits(slot, nameLength, value)) return false;
    appendShort(out, indexingLiteral);
    writeCompactString(out, value);
    this.table.add(slot, nameLength, value);
    return true;
  }
}

/** For few bytes a loop is faster than a native copy. */
function appendShort(out: ByteBuffer, part: Uint8Array): void {
  out.reserve(part.length);
  const { bytes, length } = out;
  for (let i = 0; i < part.length; i++) bytes[length + i] = part[i]!;
  out.length = length + part.length;
}
