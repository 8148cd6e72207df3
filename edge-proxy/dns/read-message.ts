/** Reads DNS messages (RFC 1035 4, RFC 6891), strictly: all records are walked, and nothing may follow the last. */
import { readName } from './names.ts';
import {
  type BadQuery,
  CLASS_IN,
  DnsFormatError,
  type Edns,
  FLAG,
  HEADER_BYTES,
  type Query,
  type Question,
  RCODE,
  TYPE,
} from './protocol.ts';

/** Of a query: OPT, a signature, and the SOA of a zone transfer; each costs the reading of its names. */
const MAX_QUERY_RECORDS = 8;

interface Header {
  readonly id: number;
  readonly flags: number;
  readonly opcode: number;
  readonly rcode: number;
  readonly questions: number;
  readonly answers: number;
  readonly authorities: number;
  readonly additionals: number;
}

interface ReadRecord {
  readonly name: string;
  readonly type: number;
  readonly class: number;
  /** Where the record, its TTL and its data begin, and where it ends. */
  readonly at: number;
  readonly ttlAt: number;
  readonly dataAt: number;
  readonly end: number;
}

/** A response that was read; `bytes` are the message without its OPT record and what follows that. */
export interface Response {
  readonly id: number;
  readonly rcode: number;
  readonly truncated: boolean;
  readonly question: Question;
  readonly bytes: Uint8Array;
  readonly hasAnswers: boolean;
  /** Where TTLs are in `bytes`. */
  readonly ttls: readonly number[];
  /** The smallest TTL of all records, seconds; undefined without records. */
  readonly smallestTtl: number | undefined;
  /** How long a negative answer holds (RFC 2308 5), seconds; undefined: it has no SOA record. */
  readonly negativeTtl: number | undefined;
}

/** @returns undefined for what must not be answered: no header, or a response */
export function readQuery(bytes: Uint8Array): Query | BadQuery | undefined {
  if (bytes.length < HEADER_BYTES) return undefined;
  const header = readHeader(bytes);
  const { id, flags, opcode } = header;
  if (flags & FLAG.QR) return undefined;
  const recursionDesired = (flags & FLAG.RD) !== 0;
  const bad = (rcode: number, question?: Question, edns?: Edns): BadQuery => ({
    id,
    opcode,
    recursionDesired,
    rcode,
    question,
    edns,
  });
  if (opcode !== 0) return bad(RCODE.NOTIMP);
  const { answers, authorities, additionals } = header;
  if (header.questions !== 1 || answers + authorities + additionals > MAX_QUERY_RECORDS) return bad(RCODE.FORMERR);
  let question: Question | undefined;
  try {
    question = readQuestion(bytes);
    const { edns } = readRecords(bytes, HEADER_BYTES + question.bytes.length, header);
    // A zone transfer's authority section holds the client's SOA; it is refused by its type.
    if (answers > 0 || (authorities > 0 && question.type !== TYPE.IXFR)) return bad(RCODE.FORMERR, question, edns);
    if (edns && edns.version > 0) return bad(RCODE.BADVERS, question, edns);
    const authenticData = (flags & FLAG.AD) !== 0;
    const checkingDisabled = (flags & FLAG.CD) !== 0;
    return { id, recursionDesired, authenticData, checkingDisabled, question, edns };
  } catch (error) {
    if (!(error instanceof DnsFormatError)) throw error;
    return bad(RCODE.FORMERR, question);
  }
}

/** @throws DnsFormatError */
export function readResponse(message: Uint8Array): Response {
  if (message.length < HEADER_BYTES) throw new DnsFormatError('the header is cut off');
  const header = readHeader(message);
  const { id, flags, opcode, questions } = header;
  if (!(flags & FLAG.QR)) throw new DnsFormatError('it is a query');
  if (opcode !== 0) throw new DnsFormatError('its opcode is not QUERY');
  if (questions !== 1) throw new DnsFormatError('it has not one question');
  const question = readQuestion(message);
  const { records, extendedRcode, optAt, optIndex } = readRecords(
    message,
    HEADER_BYTES + question.bytes.length,
    header,
  );
  const kept = optIndex < 0 ? records : records.slice(0, optIndex);
  const bytes = message.slice(0, optAt < 0 ? message.length : optAt);
  setUint16(bytes, 10, kept.length - header.answers - header.authorities);
  const ttls = kept.map(({ ttlAt }) => ttlAt);
  const soa = kept.slice(header.answers, header.answers + header.authorities).find(({ type }) => type === TYPE.SOA);
  return {
    id,
    rcode: header.rcode | (extendedRcode << 4),
    truncated: (flags & FLAG.TC) !== 0,
    question,
    bytes,
    hasAnswers: header.answers > 0,
    ttls,
    smallestTtl: ttls.length > 0 ? Math.min(...ttls.map((at) => ttlAt(bytes, at))) : undefined,
    negativeTtl: soa && Math.min(ttlAt(bytes, soa.ttlAt), uint32(bytes, soa.end - 4)),
  };
}

function readHeader(bytes: Uint8Array): Header {
  const flags = uint16(bytes, 2);
  return {
    id: uint16(bytes, 0),
    flags,
    opcode: (flags >> 11) & 15,
    rcode: flags & 15,
    questions: uint16(bytes, 4),
    answers: uint16(bytes, 6),
    authorities: uint16(bytes, 8),
    additionals: uint16(bytes, 10),
  };
}

function readQuestion(bytes: Uint8Array): Question {
  const { name, end } = readName(bytes, HEADER_BYTES, false);
  if (end + 4 > bytes.length) throw new DnsFormatError('the question is cut off');
  return {
    name,
    type: uint16(bytes, end),
    class: uint16(bytes, end + 2),
    bytes: bytes.subarray(HEADER_BYTES, end + 4),
  };
}

interface Records {
  readonly records: readonly ReadRecord[];
  readonly edns: Edns | undefined;
  readonly extendedRcode: number;
  /** Of the OPT record; -1: there is none. */
  readonly optAt: number;
  readonly optIndex: number;
}

const NO_RECORDS: Records = { records: [], edns: undefined, extendedRcode: 0, optAt: -1, optIndex: -1 };

function readRecords(bytes: Uint8Array, from: number, header: Header): Records {
  const { answers, authorities, additionals } = header;
  const count = answers + authorities + additionals;
  if (count === 0) {
    if (from !== bytes.length) throw new DnsFormatError('bytes follow the last record');
    return NO_RECORDS;
  }
  const records: ReadRecord[] = [];
  let optIndex = -1;
  let at = from;
  for (let i = 0; i < count; i++) {
    const record = readRecord(bytes, at);
    if (record.type === TYPE.OPT) {
      if (optIndex >= 0 || i < answers + authorities || record.name !== '')
        throw new DnsFormatError('an OPT record that is not the only one, or at a wrong place');
      optIndex = i;
    } else checkData(bytes, record);
    records.push(record);
    at = record.end;
  }
  if (at !== bytes.length) throw new DnsFormatError('bytes follow the last record');
  const opt = records[optIndex];
  if (!opt) return { ...NO_RECORDS, records };
  const edns = {
    udpBytes: opt.class,
    version: bytes[opt.ttlAt + 1]!,
    dnssecOk: (bytes[opt.ttlAt + 2]! & 0x80) !== 0,
  };
  return { records, edns, extendedRcode: bytes[opt.ttlAt]!, optAt: opt.at, optIndex };
}

function readRecord(bytes: Uint8Array, at: number): ReadRecord {
  const { name, end } = readName(bytes, at, true);
  const dataAt = end + 10;
  if (dataAt > bytes.length) throw new DnsFormatError('a record is cut off');
  const record = {
    name,
    type: uint16(bytes, end),
    class: uint16(bytes, end + 2),
    at,
    ttlAt: end + 4,
    dataAt,
    end: dataAt + uint16(bytes, end + 8),
  };
  if (record.end > bytes.length) throw new DnsFormatError('the data of a record is cut off');
  return record;
}

/** Checks data of the types whose names may be compressed, or that clients of this proxy read. */
function checkData(bytes: Uint8Array, record: ReadRecord): void {
  const { type, end } = record;
  const expected = record.class === CLASS_IN ? expectedEnd(bytes, record) : undefined;
  if (expected !== undefined && expected !== end)
    throw new DnsFormatError(`the data of a record of type ${type} has a wrong length`);
}

/** Where the data must end; undefined: it can end anywhere. */
function expectedEnd(bytes: Uint8Array, { type, dataAt }: ReadRecord): number | undefined {
  const behindName = (from: number): number => readName(bytes, from, true).end;
  switch (type) {
    case TYPE.A:
      return dataAt + 4;
    case TYPE.AAAA:
      return dataAt + 16;
    case TYPE.NS:
    case TYPE.CNAME:
    case TYPE.PTR:
      return behindName(dataAt);
    case TYPE.MX:
      return behindName(dataAt + 2);
    case TYPE.SRV:
      return behindName(dataAt + 6);
    case TYPE.SOA:
      return behindName(behindName(dataAt)) + 20;
    default:
      return undefined;
  }
}

/** A TTL with the highest bit set counts as 0 (RFC 2181 8). */
export function ttlAt(bytes: Uint8Array, at: number): number {
  const ttl = uint32(bytes, at);
  return ttl > 0x7fffffff ? 0 : ttl;
}

export function uint16(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 8) | bytes[at + 1]!;
}

export function uint32(bytes: Uint8Array, at: number): number {
  return uint16(bytes, at) * 0x10000 + uint16(bytes, at + 2);
}

export function setUint16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >> 8;
  bytes[at + 1] = value;
}

export function setUint32(bytes: Uint8Array, at: number, value: number): void {
  setUint16(bytes, at, value >>> 16);
  setUint16(bytes, at + 2, value & 0xffff);
}
