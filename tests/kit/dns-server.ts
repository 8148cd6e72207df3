/** An authoritative DNS server for tests, which misbehaves on request. It has an encoder of its own, so that it shares no bug. */
import dgram from 'node:dgram';
import net from 'node:net';

export interface ZoneAnswer {
  rcode?: number;
  /** Of the type asked for: addresses, or names of CNAME and PTR records. */
  records?: readonly { type: 'A' | 'AAAA' | 'CNAME' | 'TXT'; ttl: number; value: string; name?: string }[];
  /** Adds an SOA record with this minimum and TTL. */
  negativeTtl?: number;
  /** By UDP it says TC and nothing else. */
  truncated?: boolean;
  /** By UDP nothing is answered. */
  silent?: boolean;
  delayMs?: number;
  /** Sent in advance of the answer: with another id, another question. */
  forged?: boolean;
  /** FORMERR for queries with an OPT record. */
  refusesEdns?: boolean;
}

const TYPES = { A: 1, CNAME: 5, SOA: 6, TXT: 16, AAAA: 28 } as const;

export class DnsTestServer {
  /** `name type` -> answer; a name without any is answered with NXDOMAIN. */
  readonly zone = new Map<string, ZoneAnswer>();
  /** `udp name type` or `tcp name type` of the queries in their order. */
  readonly asked: string[] = [];
  /** Ids and source ports of UDP queries. */
  readonly seen: { id: number; port: number }[] = [];
  port = 0;
  private readonly udp: dgram.Socket;
  private readonly tcp: net.Server;
  private readonly sockets = new Set<net.Socket>();
  readonly address: string;

  constructor(address = '127.0.0.1') {
    this.address = address;
    this.udp = dgram.createSocket(address.includes(':') ? 'udp6' : 'udp4');
    this.tcp = net.createServer((socket) => this.serve(socket));
    this.udp.on('message', (query, from) => {
      this.seen.push({ id: query.readUInt16BE(0), port: from.port });
      this.answer('udp', query, (message) => this.udp.send(message, from.port, from.address));
    });
  }

  /** @param port 0: one that is free for UDP and TCP */
  async start(port = 0): Promise<number> {
    await new Promise<void>((done, fail) => {
      this.tcp.once('error', fail).listen(port, this.address, done);
    });
    this.port = (this.tcp.address() as net.AddressInfo).port;
    await new Promise<void>((done, fail) => {
      this.udp.once('error', fail).bind(this.port, this.address, done);
    });
    return this.port;
  }

  async stop(): Promise<void> {
    this.udp.close();
    for (const socket of this.sockets) socket.destroy();
    await new Promise((done) => this.tcp.close(done));
  }

  private serve(socket: net.Socket): void {
    this.sockets.add(socket);
    socket.on('close', () => this.sockets.delete(socket)).on('error', () => {});
    let held = Buffer.alloc(0);
    socket.on('data', (bytes) => {
      held = Buffer.concat([held, bytes]);
      while (held.length >= 2 && held.length >= 2 + held.readUInt16BE(0)) {
        const query = held.subarray(2, 2 + held.readUInt16BE(0));
        held = held.subarray(2 + query.length);
        this.answer('tcp', query, (message) => {
          const length = Buffer.alloc(2);
          length.writeUInt16BE(message.length);
          socket.write(Buffer.concat([length, message]));
        });
      }
    });
  }

  private answer(transport: 'udp' | 'tcp', query: Buffer, send: (message: Buffer) => void): void {
    const end = query.indexOf(0, 12) + 5;
    const question = query.subarray(12, end);
    const name = nameOf(query);
    const type = query.readUInt16BE(end - 4);
    const word = Object.entries(TYPES).find(([, number]) => number === type)?.[0] ?? String(type);
    this.asked.push(`${transport} ${name} ${word}`);
    const found = this.zone.get(`${name} ${word}`) ?? { rcode: 3, negativeTtl: 60 };
    if (found.silent && transport === 'udp') return;
    const hasEdns = query.readUInt16BE(10) > 0;
    const message =
      found.refusesEdns && hasEdns
        ? response(query, question, { rcode: 1 }, transport)
        : response(query, question, found, transport);
    if (found.forged) {
      const other = Buffer.from(message);
      other.writeUInt16BE((query.readUInt16BE(0) + 1) & 0xffff, 0);
      send(other);
      const foreign = Buffer.from(message);
      foreign[13] = foreign[13]! ^ 1;
      send(foreign);
    }
    setTimeout(() => send(message), found.delayMs ?? 0);
  }
}

function nameOf(query: Buffer): string {
  const labels: string[] = [];
  for (let at = 12; query[at]! > 0; at += query[at]! + 1)
    labels.push(query.toString('latin1', at + 1, at + 1 + query[at]!));
  return labels.join('.').toLowerCase();
}

function response(query: Buffer, question: Buffer, answer: ZoneAnswer, transport: 'udp' | 'tcp'): Buffer {
  const cut = answer.truncated === true && transport === 'udp';
  const records = cut ? [] : (answer.records ?? []).map(recordOf);
  const authority = answer.negativeTtl === undefined ? [] : [soa(answer.negativeTtl)];
  const header = Buffer.alloc(12);
  query.copy(header, 0, 0, 2);
  header.writeUInt16BE(0x8580 | (cut ? 0x200 : 0) | (answer.rcode ?? 0), 2);
  header.writeUInt16BE(1, 4);
  header.writeUInt16BE(records.length, 6);
  header.writeUInt16BE(authority.length, 8);
  const hasEdns = query.readUInt16BE(10) > 0 && answer.rcode !== 1;
  header.writeUInt16BE(hasEdns ? 1 : 0, 10);
  const opt = hasEdns ? [Buffer.from([0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0])] : [];
  return Buffer.concat([header, question, ...records, ...authority, ...opt]);
}

function recordOf({ type, ttl, value, name }: NonNullable<ZoneAnswer['records']>[number]): Buffer {
  return record(name === undefined ? Buffer.from([0xc0, 12]) : labels(name), TYPES[type], ttl, dataOf(type, value));
}

function record(owner: Buffer, type: number, ttl: number, data: Buffer): Buffer {
  const fixed = Buffer.alloc(10);
  fixed.writeUInt16BE(type, 0);
  fixed.writeUInt16BE(1, 2);
  fixed.writeUInt32BE(ttl, 4);
  fixed.writeUInt16BE(data.length, 8);
  return Buffer.concat([owner, fixed, data]);
}

function dataOf(type: keyof typeof TYPES, value: string): Buffer {
  if (type === 'A') return Buffer.from(value.split('.').map(Number));
  if (type === 'AAAA')
    return Buffer.from(
      value
        .split(':')
        .map((part) => part.padStart(4, '0'))
        .join(''),
      'hex',
    );
  if (type === 'TXT') return Buffer.concat([Buffer.from([value.length]), Buffer.from(value)]);
  return labels(value);
}

function soa(minimum: number): Buffer {
  const numbers = Buffer.alloc(20);
  numbers.writeUInt32BE(minimum, 16);
  return record(labels('test'), TYPES.SOA, 3600, Buffer.concat([labels('ns.test'), labels('admin.test'), numbers]));
}

function labels(name: string): Buffer {
  const parts = name.split('.').flatMap((label) => [Buffer.from([label.length]), Buffer.from(label)]);
  return Buffer.concat([...parts, Buffer.from([0])]);
}
