/** Asks upstream servers what the mesh does not know: one after another, each question once at a time, with a cache. */
import type { SocketAddress } from '../runtime/runtime.ts';
import { AnswerCache } from './cache.ts';
import { askByTcp, askByUdp, type ExchangeRuntime, type SentQuery } from './exchange.ts';
import type { DnsMetrics } from './metrics.ts';
import { type Query, RCODE } from './protocol.ts';
import type { Response } from './read-message.ts';
import { type KeptMessage, writeQuery } from './write-message.ts';

/** The servers to ask, in their order, and how, as in resolv.conf(5). */
export interface Upstreams {
  readonly servers: readonly SocketAddress[];
  /** How long one server may take for an answer. */
  readonly timeoutMs: number;
  /** How often all of them are asked. */
  readonly attempts: number;
}

export interface ForwarderOptions {
  readonly runtime: ExchangeRuntime;
  readonly monotonicMs: () => number;
  readonly upstreams: () => Upstreams;
  readonly randomId: () => number;
  readonly metrics: DnsMetrics;
  readonly cache?: AnswerCache;
  /** Questions that are asked at the same time, each of which has a socket. */
  readonly maxQuestions?: number;
}

export interface Forwarded extends KeptMessage {
  /** Seconds since the server sent it. */
  readonly age: number;
}

const MAX_QUESTIONS = 256;
/** Of one question, over all servers: clients have asked again by then. */
const MAX_TOTAL_MS = 10_000;

export class Forwarder {
  private readonly options: ForwarderOptions;
  private readonly cache: AnswerCache;
  private readonly asked = new Map<string, Promise<Response | undefined>>();
  /** Queries that are on their way: what comes back as a query is a loop. */
  private readonly sent = new Set<string>();
  /** The server that answered last, by its place in the list. */
  private preferred = 0;

  constructor(options: ForwarderOptions) {
    this.options = options;
    this.cache = options.cache ?? new AnswerCache();
  }

  /** @returns undefined where no server has an answer, or too many questions are under way */
  async ask(query: Query): Promise<Forwarded | undefined> {
    const key = keyOf(query);
    const now = this.options.monotonicMs();
    const cached = this.cache.get(key, now);
    if (cached) return { ...cached, age: Math.floor((now - cached.storedAt) / 1000) };
    let asked = this.asked.get(key);
    if (!asked) {
      if (this.asked.size >= (this.options.maxQuestions ?? MAX_QUESTIONS)) return undefined;
      asked = this.askAll(query, key).finally(() => this.asked.delete(key));
      this.asked.set(key, asked);
    }
    const response = await asked;
    return response && { bytes: response.bytes, ttls: response.ttls, age: 0 };
  }

  /** Whether a query that came in is one that this forwarder has sent: its server has sent it back. */
  isOwn({ id, question }: Query): boolean {
    return this.sent.size > 0 && this.sent.has(sentKey(id, question.name, question.type));
  }

  private async askAll(query: Query, key: string): Promise<Response | undefined> {
    const { metrics, monotonicMs, upstreams } = this.options;
    const { servers, timeoutMs, attempts } = upstreams();
    const began = monotonicMs();
    metrics.upstreamRequests += 1;
    /** The last answer that says that its server cannot answer. */
    let failure: Response | undefined;
    const first = this.preferred < servers.length ? this.preferred : 0;
    try {
      for (let i = 0; i < servers.length * attempts; i++) {
        const at = (first + i) % servers.length;
        const left = began + MAX_TOTAL_MS - monotonicMs();
        if (left <= 0) break;
        const response = await this.askServer(servers[at]!, query, Math.min(timeoutMs, left));
        if (response && isAnswer(response)) {
          this.preferred = at;
          this.cache.put(key, response, monotonicMs());
          return response;
        }
        failure = response ?? failure;
        if (!response) metrics.upstreamFailures += 1;
      }
      return failure;
    } finally {
      metrics.observeUpstream((monotonicMs() - began) / 1000);
    }
  }

  /** @returns undefined when the server did not answer */
  private async askServer(server: SocketAddress, query: Query, timeoutMs: number): Promise<Response | undefined> {
    try {
      const response = await this.exchange(server, query, timeoutMs, true);
      return response.rcode === RCODE.FORMERR ? await this.exchange(server, query, timeoutMs, false) : response;
    } catch {
      return undefined;
    }
  }

  private async exchange(server: SocketAddress, query: Query, timeoutMs: number, withEdns: boolean): Promise<Response> {
    const { runtime, randomId } = this.options;
    const { question } = query;
    const id = randomId();
    const sent: SentQuery = { id, question, bytes: writeQuery(query, id, withEdns) };
    const mark = sentKey(id, question.name, question.type);
    this.sent.add(mark);
    try {
      const response = await askByUdp(runtime, server, sent, timeoutMs);
      return response.truncated ? await askByTcp(runtime, server, sent, timeoutMs) : response;
    } finally {
      this.sent.delete(mark);
    }
  }
}

/** Other codes say that the server cannot answer: another one may. */
function isAnswer({ rcode }: Response): boolean {
  return rcode === RCODE.NOERROR || rcode === RCODE.NXDOMAIN;
}

/** Of everything that the answer depends on. */
function keyOf({ question, recursionDesired, checkingDisabled, edns }: Query): string {
  const bits = (recursionDesired ? 1 : 0) | (checkingDisabled ? 2 : 0) | (edns?.dnssecOk ? 4 : 0);
  return `${question.type} ${bits} ${question.name}`;
}

const sentKey = (id: number, name: string, type: number): string => `${id} ${type} ${name}`;
