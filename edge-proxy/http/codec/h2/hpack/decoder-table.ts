/** The dynamic table of a decoder (RFC 7541 sections 2.3.2 and 4): entries by age. */

/** What an entry or a field counts for beside its bytes (RFC 7541 section 4.1, RFC 9113 section 6.5.2). */
export const OVERHEAD = 32;
/** Places of evicted entries before the arrays are compacted. */
const MOST_EVICTED = 64;

export class DecoderTable {
  capacity: number;
  private bytes = 0;
  /** Oldest first. Places before `first` are evicted entries. */
  private readonly names: string[] = [];
  private readonly values: string[] = [];
  private first = 0;

  constructor(capacity: number) {
    this.capacity = capacity;
  }

  /** Entries. */
  get length(): number {
    return this.names.length - this.first;
  }

  /** @param age 0: the newest; below `length` */
  name(age: number): string {
    return this.names[this.names.length - 1 - age]!;
  }

  value(age: number): string {
    return this.values[this.values.length - 1 - age]!;
  }

  resize(capacity: number): void {
    this.capacity = capacity;
    this.evict(capacity);
  }

  /** An entry larger than the table only empties it (section 4.4). */
  add(name: string, value: string): void {
    const size = name.length + value.length + OVERHEAD;
    if (this.bytes + size > this.capacity) this.evict(this.capacity - size);
    if (size > this.capacity) return;
    this.names.push(name);
    this.values.push(value);
    this.bytes += size;
  }

  /** Drops the oldest until no more than `room` bytes are held. */
  private evict(room: number): void {
    const { names, values } = this;
    while (this.bytes > room && this.first < names.length) {
      this.bytes -= names[this.first]!.length + values[this.first]!.length + OVERHEAD;
      names[this.first] = '';
      values[this.first++] = '';
    }
    if (this.first > MOST_EVICTED || this.first === names.length) this.compact();
  }

  private compact(): void {
    for (const part of [this.names, this.values]) {
      part.copyWithin(0, this.first);
      part.length -= this.first;
    }
    this.first = 0;
  }
}
