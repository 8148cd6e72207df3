/** Writes DNS messages: answers that are made here, answers of upstream servers for one client, and queries to those servers. */
import { nameBytes } from './names.ts';
import {
  type BadQuery,
  type DnsRecord,
  EDNS_UDP_BYTES,
  type Edns,
  FLAG,
  HEADER_BYTES,
  type Query,
  TYPE,
} from './protocol.ts';
import { setUint16, setUint32, ttlAt } from './read-message.ts';

/** What an answer says besides the question. */
export interface Answer {
  readonly rcode: number;
  /** Of names that the mesh has. */
  readonly authoritative: boolean;
  readonly answers: readonly DnsRecord[];
  readonly additionals?: readonly DnsRecord[];
}

const OPT_BYTES = 11;
const NO_QUESTION = new Uint8Array(0);

/**
 * An answer made here, for a client that takes so many bytes: where it is larger, it says TC and has no records
 * (RFC 2181 9). Owner names that are the question's, or came before, are compressed.
 */
export function writeAnswer(query: Query, answer: Answer, maxBytes: number): Uint8Array<ArrayBuffer> {
  const { id, recursionDesired, checkingDisabled, question, edns } = query;
  const flags =
    FLAG.QR |
    FLAG.RA |
    (answer.authoritative ? FLAG.AA : 0) |
    (recursionDesired ? FLAG.RD : 0) |
    (checkingDisabled ? FLAG.CD : 0);
  const additionals = answer.additionals ?? [];
  const writer = new MessageWriter(id, flags | (answer.rcode & 15), question.bytes);
  writer.compress(question.name, HEADER_BYTES);
  for (const record of answer.answers) writer.record(record);
  for (const record of additionals) writer.record(record);
  if (edns) writer.opt(answer.rcode >> 4, edns.dnssecOk);
  if (writer.length > maxBytes) return withoutRecords(id, flags | FLAG.TC | (answer.rcode & 15), question.bytes, edns);
  return writer.finish(answer.answers.length, additionals.length + (edns ? 1 : 0));
}

/** The answer to a query that is not answered otherwise. */
export function writeError(query: BadQuery): Uint8Array<ArrayBuffer> {
  const { id, opcode, recursionDesired, rcode, question, edns } = query;
  const flags = FLAG.QR | (opcode << 11) | (recursionDesired ? FLAG.RD | FLAG.RA : FLAG.RA) | (rcode & 15);
  return withoutRecords(id, flags, question?.bytes ?? NO_QUESTION, edns, rcode >> 4);
}

function withoutRecords(
  id: number,
  flags: number,
  question: Uint8Array,
  edns: Edns | undefined,
  extendedRcode = 0,
): Uint8Array<ArrayBuffer> {
  const writer = new MessageWriter(id, flags, question);
  if (edns) writer.opt(extendedRcode, edns.dnssecOk);
  return writer.finish(0, edns ? 1 : 0);
}

/** A message from an upstream server that was kept. */
export interface KeptMessage {
  /** Without OPT record; its question has as many bytes as the query's. */
  readonly bytes: Uint8Array;
  readonly ttls: readonly number[];
}

/**
 * A kept answer for one client: with the client's id and spelling of the name, its TTLs less by `age` seconds; with TC alone where
 * it is larger than the client takes.
 */
export function relayAnswer(query: Query, kept: KeptMessage, age: number, maxBytes: number): Uint8Array<ArrayBuffer> {
  const { id, question, edns, recursionDesired, checkingDisabled, authenticData } = query;
  const keepsAd = authenticData || edns?.dnssecOk === true;
  const dropped = FLAG.AA | FLAG.TC | FLAG.RD | FLAG.CD | (keepsAd ? 0 : FLAG.AD);
  const upstream = (kept.bytes[2]! << 8) | kept.bytes[3]!;
  const flags = (upstream & ~dropped) | FLAG.RA | (recursionDesired ? FLAG.RD : 0) | (checkingDisabled ? FLAG.CD : 0);
  const size = kept.bytes.length + (edns ? OPT_BYTES : 0);
  if (size > maxBytes) return withoutRecords(id, flags | FLAG.TC, question.bytes, edns);
  const out = new Uint8Array(size);
  out.set(kept.bytes);
  setUint16(out, 0, id);
  setUint16(out, 2, flags);
  out.set(question.bytes, HEADER_BYTES);
  for (const at of kept.ttls) setUint32(out, at, Math.max(0, ttlAt(out, at) - age));
  if (edns) {
    writeOpt(out, kept.bytes.length, 0, edns.dnssecOk);
    setUint16(out, 10, ((out[10]! << 8) | out[11]!) + 1);
  }
  return out;
}

/** The query to an upstream server. @param withEdns some servers answer FORMERR to EDNS (RFC 6891 7) */
export function writeQuery(query: Query, id: number, withEdns: boolean): Uint8Array<ArrayBuffer> {
  const { recursionDesired, checkingDisabled, question, edns } = query;
  const flags = (recursionDesired ? FLAG.RD : 0) | FLAG.AD | (checkingDisabled ? FLAG.CD : 0);
  const writer = new MessageWriter(id, flags, question.bytes);
  if (withEdns) writer.opt(0, edns?.dnssecOk === true);
  return writer.finish(0, withEdns ? 1 : 0);
}

function writeOpt(bytes: Uint8Array, at: number, extendedRcode: number, dnssecOk: boolean): void {
  bytes[at] = 0;
  setUint16(bytes, at + 1, TYPE.OPT);
  setUint16(bytes, at + 3, EDNS_UDP_BYTES);
  bytes[at + 5] = extendedRcode;
  bytes[at + 6] = 0;
  setUint16(bytes, at + 7, dnssecOk ? 0x8000 : 0);
  setUint16(bytes, at + 9, 0);
}

/** Pointers reach this far. */
const MAX_POINTER = 0x3fff;

class MessageWriter {
  private bytes = new Uint8Array(512);
  private readonly places = new Map<string, number>();
  length: number;

  constructor(id: number, flags: number, question: Uint8Array) {
    this.reserve(HEADER_BYTES + question.length);
    setUint16(this.bytes, 0, id);
    setUint16(this.bytes, 2, flags);
    setUint16(this.bytes, 4, question.length > 0 ? 1 : 0);
    this.bytes.set(question, HEADER_BYTES);
    this.length = HEADER_BYTES + question.length;
  }

  /** `name` is at `at`. */
  compress(name: string, at: number): void {
    if (name !== '') this.places.set(name, at);
  }

  record({ name, type, ttl, data, target }: DnsRecord): void {
    this.name(name);
    this.reserve(10 + data.length);
    setUint16(this.bytes, this.length, type);
    setUint16(this.bytes, this.length + 2, 1);
    setUint32(this.bytes, this.length + 4, ttl);
    const lengthAt = this.length + 8;
    this.length += 10;
    this.bytes.set(data, this.length);
    this.length += data.length;
    // The target of an SRV record is never compressed (RFC 2782).
    if (target !== undefined) this.name(target, type === TYPE.SRV);
    setUint16(this.bytes, lengthAt, this.length - lengthAt - 2);
  }

  private name(name: string, whole = false): void {
    const place = whole ? undefined : this.places.get(name);
    if (place !== undefined) {
      this.reserve(2);
      setUint16(this.bytes, this.length, 0xc000 | place);
      this.length += 2;
      return;
    }
    const labels = nameBytes(name);
    if (!labels) throw new Error(`"${name}" is no domain name`);
    if (this.length <= MAX_POINTER) this.compress(name, this.length);
    this.reserve(labels.length);
    this.bytes.set(labels, this.length);
    this.length += labels.length;
  }

  opt(extendedRcode: number, dnssecOk: boolean): void {
    this.reserve(OPT_BYTES);
    writeOpt(this.bytes, this.length, extendedRcode, dnssecOk);
    this.length += OPT_BYTES;
  }

  finish(answers: number, additionals: number): Uint8Array<ArrayBuffer> {
    setUint16(this.bytes, 6, answers);
    setUint16(this.bytes, 10, additionals);
    return this.bytes.slice(0, this.length);
  }

  private reserve(more: number): void {
    const needed = (this.length ?? 0) + more;
    if (needed <= this.bytes.length) return;
    const larger = new Uint8Array(Math.max(needed, this.bytes.length * 2));
    larger.set(this.bytes);
    this.bytes = larger;
  }
}
