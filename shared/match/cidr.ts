/** IP addresses and CIDR ranges. A v4-mapped IPv6 address (`::ffff:10.0.0.1`) is the IPv4 address it maps. */

export interface Ip {
  family: 4 | 6;
  /** 32-bit words, unsigned: one for IPv4, four for IPv6. */
  words: readonly number[];
}

export interface Cidr {
  family: 4 | 6;
  prefixLength: number;
  /** The network address, host bits cleared. */
  words: readonly number[];
  masks: readonly number[];
  /** The prefix as it was written had bits beyond the length. */
  hostBits: boolean;
}

/** Parses an IPv4 or IPv6 address, strictly (no leading zeros). A zone (`fe80::1%eth0`) is dropped. */
export function parseIp(text: string): Ip | undefined {
  if (text.length > 64) return undefined;
  const zone = text.indexOf('%');
  const address = zone < 0 ? text : text.slice(0, zone);
  if (!address.includes(':')) {
    const word = zone < 0 ? parseV4(address) : undefined;
    return word === undefined ? undefined : { family: 4, words: [word] };
  }
  const words = parseV6(address);
  if (!words) return undefined;
  return isMapped(words) ? { family: 4, words: [words[3]!] } : { family: 6, words };
}

/**
 * The one spelling of an address: dotted decimal, or RFC 5952; a v4-mapped IPv6 address is the IPv4 address that it maps.
 * @returns undefined: `text` is no IP address, or has a zone
 */
export function canonicalIp(text: string): string | undefined {
  const ip = text.includes('%') ? undefined : parseIp(text);
  if (!ip) return undefined;
  if (ip.family === 6) return new URL(`http://[${text}]`).hostname.slice(1, -1);
  const [word = 0] = ip.words;
  return [24, 16, 8, 0].map((shift) => (word >>> shift) & 255).join('.');
}

/** Is this an IP address as configuration may write it: no zone? */
export function isIpAddress(text: string): boolean {
  return !text.includes('%') && parseIp(text) !== undefined;
}

/** Parses `10.0.0.0/8`, `2001:db8::/32`, or a single address. @throws RangeError */
export function parseCidr(text: string): Cidr {
  const slash = text.indexOf('/');
  const address = slash < 0 ? text : text.slice(0, slash);
  const ip = isIpAddress(address) ? parseIp(address) : undefined;
  if (!ip) throw new RangeError(`"${text}" is not an IP address or CIDR range`);
  // The length counts the bits of what was written: 128 for a v4-mapped address, whose first 96 are fixed.
  const mapped = ip.family === 4 && address.includes(':');
  const written = ip.family === 6 || mapped ? 128 : 32;
  const lengthText = slash < 0 ? String(written) : text.slice(slash + 1);
  const length = /^(0|[1-9]\d{0,2})$/.test(lengthText) ? Number(lengthText) : Number.NaN;
  if (!(length <= written)) throw new RangeError(`"${text}": the prefix length must be 0 to ${written}`);
  if (mapped && length < 96) throw new RangeError(`"${text}": a v4-mapped prefix needs a length of at least 96`);
  return cidrOf(ip, mapped ? length - 96 : length);
}

/** The range of an address and prefix length, as xDS' CidrRange gives them. @throws RangeError */
export function cidrOf(ip: Ip, prefixLength: number): Cidr {
  if (!Number.isInteger(prefixLength) || prefixLength < 0 || prefixLength > ip.words.length * 32) {
    throw new RangeError(`prefix length ${prefixLength} is out of range`);
  }
  const masks = ip.words.map((_, i) => maskOf(prefixLength - 32 * i));
  const words = ip.words.map((word, i) => (word & masks[i]!) >>> 0);
  const hostBits = words.some((word, i) => word !== ip.words[i]);
  return { family: ip.family, prefixLength, words, masks, hostBits };
}

/** The words of an address or range as text; IPv6 without abbreviations. */
export function ipText({ family, words }: Pick<Ip, 'family' | 'words'>): string {
  if (family === 4) return [24, 16, 8, 0].map((shift) => (words[0]! >>> shift) & 255).join('.');
  return words.map((word) => `${(word >>> 16).toString(16)}:${(word & 0xffff).toString(16)}`).join(':');
}

export function cidrContainsIp(cidr: Cidr, ip: Ip): boolean {
  if (cidr.family !== ip.family) return false;
  for (let i = 0; i < cidr.words.length; i++) {
    if ((ip.words[i]! & cidr.masks[i]!) >>> 0 !== cidr.words[i]) return false;
  }
  return true;
}

/** Does the range hold this address? Text that is no address is in no range. */
export function cidrContains(cidr: Cidr, ipText: string): boolean {
  const ip = remembered(ipText);
  return ip !== undefined && cidrContainsIp(cidr, ip);
}

/** Policies check the same few addresses repeatedly. Bounded: cleared when full. */
const known = new Map<string, Ip | undefined>();
const KNOWN_LIMIT = 4096;

function remembered(text: string): Ip | undefined {
  const found = known.get(text);
  if (found !== undefined) return found;
  const ip = parseIp(text);
  if (known.size >= KNOWN_LIMIT) known.clear();
  if (text.length <= 64) known.set(text, ip);
  return ip;
}

function maskOf(bits: number): number {
  if (bits <= 0) return 0;
  return bits >= 32 ? 0xffffffff : (0xffffffff << (32 - bits)) >>> 0;
}

function parseV4(text: string): number | undefined {
  const parts = text.split('.');
  if (parts.length !== 4) return undefined;
  let word = 0;
  for (const part of parts) {
    if (!/^(0|[1-9]\d{0,2})$/.test(part)) return undefined;
    const octet = Number(part);
    if (octet > 255) return undefined;
    word = word * 256 + octet;
  }
  return word;
}

function parseV6(text: string): number[] | undefined {
  const gap = text.indexOf('::');
  if (gap >= 0 && text.indexOf('::', gap + 1) >= 0) return undefined;
  const head = groupsOf(gap < 0 ? text : text.slice(0, gap), gap < 0);
  const tail = gap < 0 ? [] : groupsOf(text.slice(gap + 2), true);
  if (!head || !tail) return undefined;
  const missing = 8 - head.length - tail.length;
  if (gap < 0 ? missing !== 0 : missing < 1) return undefined;
  const groups = [...head, ...new Array<number>(missing).fill(0), ...tail];
  return [0, 2, 4, 6].map((i) => groups[i]! * 0x10000 + groups[i + 1]!);
}

/** 16-bit groups; the last may be a dotted IPv4 address when it ends the text. */
function groupsOf(text: string, endsText: boolean): number[] | undefined {
  if (text === '') return [];
  const parts = text.split(':');
  const groups: number[] = [];
  for (const [i, part] of parts.entries()) {
    if (endsText && i === parts.length - 1 && part.includes('.')) {
      const word = parseV4(part);
      if (word === undefined) return undefined;
      groups.push(word >>> 16, word & 0xffff);
    } else if (/^[0-9a-fA-F]{1,4}$/.test(part)) groups.push(Number.parseInt(part, 16));
    else return undefined;
  }
  return groups;
}

function isMapped(words: readonly number[]): boolean {
  return words[0] === 0 && words[1] === 0 && words[2] === 0xffff;
}
