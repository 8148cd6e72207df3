/** Numbers of the DNS protocol (IANA dns-parameters) and what messages are read into. */

export const TYPE = {
  A: 1,
  NS: 2,
  CNAME: 5,
  SOA: 6,
  PTR: 12,
  HINFO: 13,
  MX: 15,
  AAAA: 28,
  SRV: 33,
  OPT: 41,
  SVCB: 64,
  HTTPS: 65,
  IXFR: 251,
  AXFR: 252,
  MAILB: 253,
  MAILA: 254,
  ANY: 255,
} as const;

export const CLASS_IN = 1;

/** BADVERS needs the extended rcode of an OPT record. */
export const RCODE = { NOERROR: 0, FORMERR: 1, SERVFAIL: 2, NXDOMAIN: 3, NOTIMP: 4, REFUSED: 5, BADVERS: 16 } as const;

export const HEADER_BYTES = 12;
/** The largest message in a UDP datagram without EDNS (RFC 1035 4.2.1). */
export const PLAIN_UDP_BYTES = 512;
/** The largest UDP payload that is sent and announced: no fragments on paths of 1280 bytes (DNS flag day 2020). */
export const EDNS_UDP_BYTES = 1232;
export const MAX_MESSAGE_BYTES = 65_535;

/** Bits of the second 16-bit word of a header. */
export const FLAG = { QR: 0x8000, AA: 0x0400, TC: 0x0200, RD: 0x0100, RA: 0x0080, AD: 0x0020, CD: 0x0010 } as const;

/** A message that breaks the format. */
export class DnsFormatError extends Error {
  override name = 'DnsFormatError';
}

export interface Question {
  /** Lower case, without the dot at its end; '' is the root. A dot inside a label is `\046`, a backslash `\092`. */
  readonly name: string;
  readonly type: number;
  readonly class: number;
  /** The question section as sent. */
  readonly bytes: Uint8Array;
}

/** The OPT record (RFC 6891). */
export interface Edns {
  readonly udpBytes: number;
  readonly version: number;
  /** DO (RFC 3225). */
  readonly dnssecOk: boolean;
}

export interface Query {
  readonly id: number;
  readonly recursionDesired: boolean;
  readonly authenticData: boolean;
  readonly checkingDisabled: boolean;
  readonly question: Question;
  readonly edns: Edns | undefined;
}

/** A query that is answered with an error alone. */
export interface BadQuery {
  readonly id: number;
  readonly opcode: number;
  readonly recursionDesired: boolean;
  readonly rcode: number;
  /** Absent where it could not be read. */
  readonly question: Question | undefined;
  readonly edns: Edns | undefined;
}

/** One record of an answer that is made here. */
export interface DnsRecord {
  /** As in a question. */
  readonly name: string;
  readonly type: number;
  /** Seconds. */
  readonly ttl: number;
  /** What precedes the name, or all there is. */
  readonly data: Uint8Array;
  /** The name at the end of the data. */
  readonly target?: string;
}
