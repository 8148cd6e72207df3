/**
 * Header fields of one message: order and spelling as received (HTTP/1.1 peers see them unchanged), look-up by
 * lower-case name. Parallel arrays keep a request to few allocations.
 */
export class HeaderMap {
  /** As received or as added. */
  readonly names: string[] = [];
  /** Lower-case, same index as `names`. */
  readonly keys: string[] = [];
  readonly values: string[] = [];
  /** Lower-case names of fields that came as never to be indexed (RFC 7541 section 6.2.3), and are passed on so. */
  neverIndexed: readonly string[] | undefined = undefined;
  /** A bit for each name there was: most look-ups are for what is not there, and end here. Bits are never taken back. */
  private present = 0;

  get size(): number {
    return this.keys.length;
  }

  /** Appends a field; `key` must be the lower-case of `name`. */
  append(name: string, value: string, key: string = name.toLowerCase()): void {
    this.present |= bitOf(key);
    this.names.push(name);
    this.keys.push(key);
    this.values.push(value);
  }

  /** Where a lower-case name stands, from `from` on; -1 is nowhere. */
  indexOf(key: string, from = 0): number {
    return (this.present & bitOf(key)) === 0 ? -1 : this.keys.indexOf(key, from);
  }

  /** The first value of a lower-case name. */
  get(key: string): string | undefined {
    const at = this.indexOf(key);
    return at < 0 ? undefined : this.values[at];
  }

  /** All values joined by ',' as Envoy's header matchers see them; undefined when absent. */
  joined(key: string): string | undefined {
    let at = this.indexOf(key);
    if (at < 0) return undefined;
    let out = this.values[at]!;
    while ((at = this.keys.indexOf(key, at + 1)) >= 0) out += `,${this.values[at]}`;
    return out;
  }

  has(key: string): boolean {
    return this.indexOf(key) >= 0;
  }

  /** Replaces every field of this name by one; keeps the first one's place and spelling. */
  set(key: string, value: string): void {
    const at = this.indexOf(key);
    if (at < 0) {
      this.append(key, value, key);
      return;
    }
    this.values[at] = value;
    let next: number;
    while ((next = this.keys.indexOf(key, at + 1)) >= 0) this.removeAt(next);
  }

  remove(key: string): boolean {
    let found = false;
    let at: number;
    while ((at = this.indexOf(key)) >= 0) {
      this.removeAt(at);
      found = true;
    }
    return found;
  }

  /**
   * Removes every field of this name.
   * @returns the value where there was one field; '' where there was none, and where several contradict each other
   */
  take(key: string): string {
    const at = this.indexOf(key);
    if (at < 0) return '';
    const value = this.values[at]!;
    this.removeAt(at);
    return this.keys.indexOf(key, at) < 0 || !this.remove(key) ? value : '';
  }

  /** Removes every field whose lower-case name is in `keys`. */
  removeAny(keys: ReadonlySet<string>): void {
    for (let at = this.keys.length - 1; at >= 0; at--) if (keys.has(this.keys[at]!)) this.removeAt(at);
  }

  /** Moved by hand: each `splice` would make an array of what it takes out. */
  private removeAt(at: number): void {
    const { names, keys, values } = this;
    for (let i = at + 1; i < keys.length; i++) {
      names[i - 1] = names[i]!;
      keys[i - 1] = keys[i]!;
      values[i - 1] = values[i]!;
    }
    names.pop();
    keys.pop();
    values.pop();
  }

  copy(): HeaderMap {
    const out = new HeaderMap();
    for (let i = 0; i < this.keys.length; i++) out.append(this.names[i]!, this.values[i]!, this.keys[i]!);
    out.neverIndexed = this.neverIndexed;
    return out;
  }
}

/** Length and first letter tell most names apart; '' has a bit of its own. */
function bitOf(key: string): number {
  return 1 << ((key.length * 7 + key.charCodeAt(0)) & 31);
}
