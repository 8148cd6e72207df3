/**
 * A strict, incremental reader of the TLS ClientHello (RFC 8446 4.1.2): the server name and the offered protocols,
 * without taking part in the handshake. It never guesses: what does not fit is `invalid`.
 */

export interface ClientHello {
  /** Lower-case host name of SNI, '' without one. */
  readonly serverName: string;
  readonly alpn: readonly string[];
}
export type ClientHelloResult = ClientHello | 'incomplete' | 'invalid';

/** Larger hellos are refused (post-quantum key shares take about 1.2 KB; Envoy's limit is 64 KB). */
export const MAX_CLIENT_HELLO = 32 * 1024;

const HANDSHAKE_RECORD = 22;
const CLIENT_HELLO = 1;
const MAX_RECORD = 16384;
const SERVER_NAME_EXTENSION = 0;
const ALPN_EXTENSION = 16;

/** Can these first bytes (at least one) begin a TLS connection? Only the part that is there is judged. */
export function looksLikeTls(bytes: Uint8Array): boolean {
  return bytes[0] === HANDSHAKE_RECORD && (bytes.length < 2 || bytes[1] === 3);
}

/** @param bytes everything received so far */
export function readClientHello(bytes: Uint8Array): ClientHelloResult {
  const message = handshakeMessage(bytes);
  if (typeof message === 'string') return message;
  try {
    return parse(new Reader(message));
  } catch {
    return 'invalid';
  }
}

/** Joins the handshake fragments of one or more records into the ClientHello message body. */
function handshakeMessage(bytes: Uint8Array): Uint8Array | 'incomplete' | 'invalid' {
  let at = 0;
  let joined: Uint8Array = new Uint8Array(0);
  for (;;) {
    if (bytes.length > at && !looksLikeTls(bytes.subarray(at))) return 'invalid';
    if (joined.length >= 1 && joined[0] !== CLIENT_HELLO) return 'invalid';
    if (joined.length >= 4) {
      const length = (joined[1]! << 16) | (joined[2]! << 8) | joined[3]!;
      if (length > MAX_CLIENT_HELLO) return 'invalid';
      if (joined.length >= 4 + length) return joined.subarray(4, 4 + length);
    }
    if (bytes.length < at + 5) return 'incomplete';
    const length = (bytes[at + 3]! << 8) | bytes[at + 4]!;
    if (length === 0 || length > MAX_RECORD) return 'invalid';
    // A fragment that has only partly arrived can already show that this is no ClientHello.
    const fragment = bytes.subarray(at + 5, Math.min(bytes.length, at + 5 + length));
    joined = joined.length === 0 ? fragment : concat(joined, fragment);
    if (fragment.length < length) {
      if (joined.length >= 1 && joined[0] !== CLIENT_HELLO) return 'invalid';
      if (bytes.length > MAX_CLIENT_HELLO) return 'invalid';
      if (joined.length >= 4 && ((joined[1]! << 16) | (joined[2]! << 8) | joined[3]!) > MAX_CLIENT_HELLO)
        return 'invalid';
      return 'incomplete';
    }
    at += 5 + length;
  }
}

function concat(a: Uint8Array, b: Uint8Array): Uint8Array {
  const out = new Uint8Array(a.length + b.length);
  out.set(a);
  out.set(b, a.length);
  return out;
}

/** Big-endian reading with bounds; running over throws. */
class Reader {
  private readonly bytes: Uint8Array;
  private at = 0;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }

  get done(): boolean {
    return this.at === this.bytes.length;
  }

  take(length: number): Uint8Array {
    if (this.at + length > this.bytes.length) throw new RangeError('truncated');
    const out = this.bytes.subarray(this.at, this.at + length);
    this.at += length;
    return out;
  }

  number(size: 1 | 2): number {
    const bytes = this.take(size);
    return size === 1 ? bytes[0]! : (bytes[0]! << 8) | bytes[1]!;
  }

  /** A vector whose length is given in `size` bytes before it. */
  vector(size: 1 | 2): Reader {
    return new Reader(this.take(this.number(size)));
  }

  /** Two-byte numbers to the end. */
  numbers(): number[] {
    const out: number[] = [];
    while (!this.done) out.push(this.number(2));
    return out;
  }

  rest(): Uint8Array {
    return this.take(this.bytes.length - this.at);
  }
}

/** What a client can do that decides which of several certificates fits it; as lists of code points. */
export interface KeyOffers {
  /** Lower-case host name of SNI, '' without one. */
  readonly serverName: string;
  readonly cipherSuites: readonly number[];
  readonly groups: readonly number[];
  readonly signatureAlgorithms: readonly number[];
  /** It lists the versions it speaks, which clients of TLS 1.3 do. */
  readonly listsVersions: boolean;
}

const GROUPS_EXTENSION = 10;
const SIGNATURE_ALGORITHMS_EXTENSION = 13;
const VERSIONS_EXTENSION = 43;

/** @param bytes from the first byte of the connection @returns undefined where they hold no whole ClientHello */
export function readKeyOffers(bytes: Uint8Array): KeyOffers | undefined {
  const hello = readClientHello(bytes);
  const message = handshakeMessage(bytes);
  if (typeof hello === 'string' || typeof message === 'string') return undefined;
  const reader = new Reader(message);
  reader.take(2 + 32);
  reader.vector(1);
  const cipherSuites = reader.vector(2).numbers();
  reader.vector(1);
  const extensions = new Map<number, Reader>();
  for (const list = reader.done ? undefined : reader.vector(2); list && !list.done; ) {
    const type = list.number(2);
    extensions.set(type, list.vector(2));
  }
  const numbers = (type: number): number[] => {
    const body = extensions.get(type);
    if (!body) return [];
    try {
      const list = body.vector(2);
      return body.done ? list.numbers() : [];
    } catch {
      // The handshake will refuse it.
      return [];
    }
  };
  return {
    serverName: hello.serverName,
    cipherSuites,
    groups: numbers(GROUPS_EXTENSION),
    signatureAlgorithms: numbers(SIGNATURE_ALGORITHMS_EXTENSION),
    listsVersions: extensions.has(VERSIONS_EXTENSION),
  };
}

function parse(hello: Reader): ClientHelloResult {
  if (hello.number(1) !== 3) return 'invalid';
  hello.take(1 + 32);
  hello.vector(1);
  const suites = hello.vector(2).rest().length;
  if (suites === 0 || suites % 2 === 1) return 'invalid';
  if (hello.vector(1).rest().length === 0) return 'invalid';
  let serverName = '';
  let alpn: string[] = [];
  if (hello.done) return { serverName, alpn };
  const extensions = hello.vector(2);
  if (!hello.done) return 'invalid';
  const seen = new Set<number>();
  while (!extensions.done) {
    const type = extensions.number(2);
    const body = extensions.vector(2);
    // RFC 8446 4.2: there must not be more than one extension of the same type.
    if (seen.has(type)) return 'invalid';
    seen.add(type);
    if (type === SERVER_NAME_EXTENSION) serverName = readServerName(body);
    else if (type === ALPN_EXTENSION) alpn = readAlpn(body);
  }
  return { serverName, alpn };
}

/** RFC 6066 3: a list of names of different types; type 0, host name, is the only one there is. */
function readServerName(extension: Reader): string {
  const list = extension.vector(2);
  if (!extension.done) throw new RangeError('trailing bytes');
  const type = list.number(1);
  const name = list.vector(2).rest();
  if (type !== 0 || !list.done || name.length === 0 || name.length > 255) throw new RangeError('bad server name');
  return printable(name).toLowerCase();
}

function readAlpn(extension: Reader): string[] {
  const list = extension.vector(2);
  if (!extension.done || list.done) throw new RangeError('bad protocol list');
  const out: string[] = [];
  while (!list.done) {
    const name = list.vector(1).rest();
    if (name.length === 0) throw new RangeError('bad protocol list');
    // Protocol names are bytes (GREASE is not text); those compare equal to no configured name.
    out.push(String.fromCharCode(...name));
  }
  return out;
}

function printable(bytes: Uint8Array): string {
  for (const byte of bytes) if (byte <= 0x20 || byte > 0x7e) throw new RangeError('unprintable name');
  return String.fromCharCode(...bytes);
}
