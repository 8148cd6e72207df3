/** For tests: queries as clients send them, and a short text of answers. */
import { nameBytes } from '../names.ts';
import { FLAG, type Query, TYPE } from '../protocol.ts';
import { readQuery, readResponse, ttlAt } from '../read-message.ts';

export interface QueryOptions {
  readonly type?: keyof typeof TYPE | number;
  readonly id?: number;
  readonly class?: number;
  readonly edns?: { readonly udpBytes: number; readonly version?: number; readonly dnssecOk?: boolean };
  readonly flags?: number;
}

/** @param name its letters are kept as they are */
export function queryBytes(name: string, options: QueryOptions = {}): Uint8Array {
  const { type = 'A', id = 0x1234, edns, flags = FLAG.RD } = options;
  const number = typeof type === 'number' ? type : TYPE[type];
  const labels = nameBytes(name)!;
  const opt = edns
    ? [0, 0, 41, edns.udpBytes >> 8, edns.udpBytes & 255, 0, edns.version ?? 0, edns.dnssecOk ? 128 : 0, 0, 0, 0]
    : [];
  const words = [id, flags, 1, 0, 0, edns ? 1 : 0].flatMap((word) => [word >> 8, word & 255]);
  const of = options.class ?? 1;
  return Uint8Array.from([...words, ...labels, number >> 8, number & 255, of >> 8, of & 255, ...opt]);
}

export function queryOf(name: string, options: QueryOptions = {}): Query {
  const query = readQuery(queryBytes(name, options));
  if (!query || 'rcode' in query) throw new Error('it is no good query');
  return query;
}

export function summary(message: Uint8Array): { rcode: number; flags: number; ttls: number[]; answers: number } {
  const { rcode, ttls, bytes } = readResponse(message);
  const flags = (message[2]! << 8) | message[3]!;
  return { rcode, flags, ttls: ttls.map((at) => ttlAt(bytes, at)), answers: (message[6]! << 8) | message[7]! };
}
