/** Answers queries, whatever way they came: from the mesh's names, or an upstream server's answer. */
import type { Forwarder } from './forwarder.ts';
import { localAnswer } from './local-answer.ts';
import type { DnsMetrics } from './metrics.ts';
import type { NameTable } from './name-table.ts';
import {
  type BadQuery,
  CLASS_IN,
  EDNS_UDP_BYTES,
  MAX_MESSAGE_BYTES,
  PLAIN_UDP_BYTES,
  type Query,
  RCODE,
  TYPE,
} from './protocol.ts';
import { readQuery } from './read-message.ts';
import { type Answer, relayAnswer, writeAnswer, writeError } from './write-message.ts';

export interface ResponderOptions {
  readonly table: NameTable;
  readonly forwarder: Forwarder;
  readonly metrics: DnsMetrics;
  readonly random: () => number;
  readonly limits?: Partial<ForwardLimits>;
  /** An internal error; its query is answered with SERVFAIL. */
  readonly onInternalError: (error: unknown) => void;
  /** An upstream server sends queries back to this server. */
  readonly onLoop: () => void;
}

/** Queries that may wait for an upstream server at the same time. */
export interface ForwardLimits {
  readonly perClient: number;
  readonly total: number;
}

export const FORWARD_LIMITS: ForwardLimits = { perClient: 512, total: 1024 };

/** Where a query came from, and how it is answered. */
export interface Asker {
  readonly address: string;
  readonly transport: 'udp' | 'tcp';
  /** Called once at most. */
  reply(message: Uint8Array): void;
}

export class Responder {
  private readonly options: ResponderOptions;
  private readonly limits: ForwardLimits;
  /** Queries that wait for an upstream server, by client address. */
  private readonly waiting = new Map<string, number>();
  private total = 0;

  constructor(options: ResponderOptions) {
    this.options = options;
    this.limits = { ...FORWARD_LIMITS, ...options.limits };
  }

  /** Never throws. @returns whether there is or will be an answer: what is no query gets none */
  take(message: Uint8Array, asker: Asker): boolean {
    try {
      const query = readQuery(message);
      if (!query) return false;
      this.options.metrics.requests += 1;
      if ('rcode' in query) asker.reply(writeError(query));
      else this.answer(query, asker);
      return true;
    } catch (problem) {
      this.options.onInternalError(problem);
      return false;
    }
  }

  private answer(query: Query, asker: Asker): void {
    const { table, forwarder, random } = this.options;
    const { question } = query;
    if (question.class !== CLASS_IN || isTransfer(question.type)) {
      asker.reply(error(query, RCODE.REFUSED));
      return;
    }
    const isAny = question.type === TYPE.ANY;
    const answer = localAnswer(table, question, random) ?? (isAny ? minimalAny(question.name) : undefined);
    if (answer) asker.reply(writeAnswer(query, answer, maxBytes(query, asker)));
    // Another server would deny a name that has not come yet, or lead past the mesh.
    else if (table.awaits(question.name)) this.fail(query, asker);
    else if (forwarder.isOwn(query)) {
      this.options.onLoop();
      this.fail(query, asker);
    } else void this.forward(query, asker);
  }

  private async forward(query: Query, asker: Asker): Promise<void> {
    const { address } = asker;
    const before = this.waiting.get(address) ?? 0;
    if (before >= this.limits.perClient || this.total >= this.limits.total) {
      this.fail(query, asker);
      return;
    }
    this.waiting.set(address, before + 1);
    this.total += 1;
    try {
      const forwarded = await this.options.forwarder.ask(query);
      if (forwarded) asker.reply(relayAnswer(query, forwarded, forwarded.age, maxBytes(query, asker)));
      else this.fail(query, asker);
    } catch (problem) {
      this.options.onInternalError(problem);
      this.fail(query, asker);
    } finally {
      this.total -= 1;
      const left = this.waiting.get(address)! - 1;
      if (left > 0) this.waiting.set(address, left);
      else this.waiting.delete(address);
    }
  }

  private fail(query: Query, asker: Asker): void {
    this.options.metrics.failures += 1;
    asker.reply(error(query, RCODE.SERVFAIL));
  }
}

/** Types that ask for many records, and zone transfers: this server has no zones. */
function isTransfer(type: number): boolean {
  return type === TYPE.AXFR || type === TYPE.IXFR || type === TYPE.MAILA || type === TYPE.MAILB;
}

function error(query: Query, rcode: number): Uint8Array {
  const bad: BadQuery = { ...query, opcode: 0, rcode };
  return writeError(bad);
}

/** What the client takes (RFC 6891 6.2.3); a smaller size than 512 counts as 512. */
function maxBytes({ edns }: Query, { transport }: Asker): number {
  if (transport === 'tcp') return MAX_MESSAGE_BYTES;
  return edns ? Math.min(EDNS_UDP_BYTES, Math.max(PLAIN_UDP_BYTES, edns.udpBytes)) : PLAIN_UDP_BYTES;
}

/** `RFC8482`, and an empty string for the operating system. */
const HINFO = Uint8Array.of(7, ...new TextEncoder().encode('RFC8482'), 0);

/** The answer to ANY that amplifies nothing (RFC 8482 4.2). */
const minimalAny = (name: string): Answer => ({
  rcode: RCODE.NOERROR,
  authoritative: false,
  answers: [{ name, type: TYPE.HINFO, ttl: 3600, data: HINFO }],
});
