/** The addresses of a range, given out one after the other: one that becomes free is given out again after all others. */
import { type Cidr, cidrContainsIp, type Ip, ipText, parseCidr, parseIp } from '../../shared/match/cidr.ts';

export class AddressRange {
  private readonly cidr: Cidr;
  private readonly last: number;
  /** By their distance from the first address of the range. */
  private readonly used = new Set<number>();
  /** The network address itself is not given out. */
  private next = 1;

  /** @param range of at most 2^32 addresses that are given out: the lowest of an IPv6 range */
  constructor(range: string) {
    this.cidr = parseCidr(range);
    const bits = this.cidr.words.length * 32 - this.cidr.prefixLength;
    this.last = 2 ** Math.min(bits, 32) - 1;
  }

  has(address: string): boolean {
    return this.offsetOf(address) !== undefined;
  }

  /** @returns false: it is of no part of the range that is given out, or in use */
  take(address: string): boolean {
    const offset = this.offsetOf(address);
    if (offset === undefined || this.used.has(offset)) return false;
    this.used.add(offset);
    return true;
  }

  release(address: string): void {
    const offset = this.offsetOf(address);
    if (offset !== undefined) this.used.delete(offset);
  }

  /** @returns undefined: all are in use */
  takeNext(): string | undefined {
    if (this.used.size >= this.last) return undefined;
    while (this.used.has(this.next)) this.next = this.next >= this.last ? 1 : this.next + 1;
    const offset = this.next;
    this.used.add(offset);
    this.next = offset >= this.last ? 1 : offset + 1;
    return shortened(this.ipAt(offset));
  }

  private offsetOf(address: string): number | undefined {
    const ip = parseIp(address);
    if (!ip || !cidrContainsIp(this.cidr, ip)) return undefined;
    const { words } = this.cidr;
    // Only the lowest word counts.
    if (ip.words.slice(0, -1).some((word, i) => word !== words[i])) return undefined;
    const offset = ip.words.at(-1)! - words.at(-1)!;
    return offset >= 1 && offset <= this.last ? offset : undefined;
  }

  private ipAt(offset: number): Ip {
    const { family, words } = this.cidr;
    return { family, words: [...words.slice(0, -1), words.at(-1)! + offset] };
  }
}

/** RFC 5952: the longest run of zero groups is `::`. */
function shortened(ip: Ip): string {
  const text = ipText(ip);
  if (ip.family === 4) return text;
  const runs = [...text.matchAll(/(?:^|:)0(?::0)+(?=:|$)/g)].sort((a, b) => b[0].length - a[0].length);
  const [longest] = runs;
  if (!longest) return text;
  const before = text.slice(0, longest.index);
  const after = text.slice(longest.index + longest[0].length).replace(/^:/, '');
  return `${before}::${after}`;
}
