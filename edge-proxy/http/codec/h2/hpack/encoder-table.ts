/** The dynamic table of an encoder (RFC 7541 sections 2.3.2 and 4), searched by the slot of a name and a value. */
import { OVERHEAD } from './decoder-table.ts';
import { SLOTS } from './field-names.ts';
import { LAST_STATIC } from './static-table.ts';

/** No entry is this old. */
const NONE = -1;

export class EncoderTable {
  private capacity: number;
  private bytes = 0;
  /** Entries are numbered from 0 on; those from `oldest` to `next - 1` are in the table, at their number modulo its places. */
  private oldest = 0;
  private next = 0;
  private places = 16;
  private values: string[] = [];
  private sizes: number[] = [];
  /** The entry before it with the same slot. */
  private previous: number[] = [];
  /** By slot. */
  private newest: number[] | undefined;
  /** By slot: of the last value that was not in the table. */
  private missed: number[] = [];

  constructor(capacity: number) {
    this.capacity = capacity;
  }

  resize(capacity: number): void {
    this.capacity = capacity;
    this.evict(capacity);
  }

  /** @returns the index of the entry; 0: there is none */
  find(slot: number, value: string): number {
    if (this.newest === undefined) return 0;
    const { values, previous, oldest, places } = this;
    for (let at = this.newest[slot]!; at >= oldest; at = previous[at % places]!)
      if (values[at % places] === value) return LAST_STATIC + this.next - at;
    return 0;
  }

  /**
   * Whether a value that is not in the table shall enter it: when it is sent for the second time in a row. So values that
   * differ in each message drive nothing out. An entry takes no more than half of the table.
   */
  admits(slot: number, nameLength: number, value: string): boolean {
    if ((nameLength + value.length + OVERHEAD) * 2 > this.capacity) return false;
    const print = fingerprint(value);
    if (this.missed[slot] === print) return true;
    if (this.missed.length === 0) this.missed = new Array<number>(SLOTS).fill(0);
    this.missed[slot] = print;
    return false;
  }

  /** For what `admits` has admitted. */
  add(slot: number, nameLength: number, value: string): void {
    const size = nameLength + value.length + OVERHEAD;
    this.evict(this.capacity - size);
    if (this.next - this.oldest === this.places) this.grow();
    this.newest ??= new Array<number>(SLOTS).fill(NONE);
    const place = this.next % this.places;
    // A copy of its own: part of a larger string would keep that in memory.
    this.values[place] = ` ${value}`.slice(1);
    this.sizes[place] = size;
    this.previous[place] = this.newest[slot]!;
    this.newest[slot] = this.next++;
    this.bytes += size;
  }

  private evict(room: number): void {
    while (this.bytes > room && this.oldest < this.next) {
      const place = this.oldest++ % this.places;
      this.bytes -= this.sizes[place]!;
      this.values[place] = '';
    }
  }

  /** Twice the places; each entry keeps its number. */
  private grow(): void {
    const { values, sizes, previous, places } = this;
    this.places = places * 2;
    this.values = new Array<string>(this.places).fill('');
    this.sizes = new Array<number>(this.places).fill(0);
    this.previous = new Array<number>(this.places).fill(NONE);
    for (let at = this.oldest; at < this.next; at++) {
      this.values[at % this.places] = values[at % places]!;
      this.sizes[at % this.places] = sizes[at % places]!;
      this.previous[at % this.places] = previous[at % places]!;
    }
  }
}

/** Values are compared by it where a collision does no harm; the value itself is not kept. */
function fingerprint(text: string): number {
  let print = text.length;
  for (let i = 0; i < text.length; i++) print = (Math.imul(print, 31) + text.charCodeAt(i)) | 0;
  return print;
}
