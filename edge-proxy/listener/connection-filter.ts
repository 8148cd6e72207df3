/** Network filters in front of the last one: they let an accepted connection through or close it. */
import type { DownstreamInfo, ResponseFlag } from '../http/request/request-context.ts';
import type { Connection } from '../runtime/runtime.ts';
import type { AcceptedConnection, ConnectionRecord } from '../tcp/connection-record.ts';
import type { ConnectionFacts } from './filter-chain.ts';

/** Why a connection is closed. */
export interface Denied {
  /** Envoy's connection termination details; with a flag, its response code details. */
  readonly details: string;
  readonly flag?: ResponseFlag;
}

/** A connection, as network filters see it. */
export interface ConnectionContext {
  /** Filters may write metadata. */
  readonly traffic: AcceptedConnection;
  /** Undefined where a connection that was accepted is judged again under new configuration. */
  readonly connection: Connection | undefined;
  /** Aborted when the connection has closed. */
  readonly signal: AbortSignal;
}

/**
 * Undefined: the connection continues. Meanwhile nothing is read of it beyond a limit, and nothing is forwarded. One that is
 * judged again is not waited for: a promise counts as yes.
 */
export type ConnectionFilter = (context: ConnectionContext) => Denied | undefined | Promise<Denied | undefined>;

export function logDenial(record: ConnectionRecord, { details, flag }: Denied): void {
  if (flag === undefined) record.terminationDetails = details;
  else {
    record.flags.push(flag);
    record.details = details;
  }
}

/** Whether filters of new configuration would let a connection pass that earlier ones let pass. */
export function stillAdmits(filters: readonly ConnectionFilter[], downstream: DownstreamInfo): boolean {
  const context = { traffic: { kind: 'connection' as const, downstream }, connection: undefined, signal: NEVER };
  return filters.every((filter) => {
    const verdict = filter(context);
    return verdict === undefined || verdict instanceof Promise;
  });
}

const NEVER = new AbortController().signal;

interface Received {
  readonly firstBytes: Uint8Array;
  /** The client has finished sending. */
  readonly ended: boolean;
}

/** Bytes that are kept while a filter decides; then the client is paused. */
const MOST_HELD = 64 * 1024;

/** A connection on its way through the filters of a chain. */
export class Candidate<Chain> implements ConnectionContext {
  readonly connection: Connection;
  readonly chain: Chain;
  readonly facts: ConnectionFacts;
  readonly downstream: DownstreamInfo;
  /** What the listener's log will say of it; undefined: it has none. */
  readonly record: ConnectionRecord | undefined;
  readonly traffic: AcceptedConnection;
  received: Received;
  private abortion: AbortController | undefined;

  constructor(
    connection: Connection,
    chain: Chain,
    facts: ConnectionFacts,
    downstream: DownstreamInfo,
    record: ConnectionRecord | undefined,
    received: Received,
  ) {
    this.connection = connection;
    this.chain = chain;
    this.facts = facts;
    this.downstream = downstream;
    this.record = record;
    this.traffic = record ?? { kind: 'connection', downstream };
    this.received = received;
  }

  get signal(): AbortSignal {
    this.abortion ??= new AbortController();
    return this.abortion.signal;
  }

  /** The same connection under another chain, of which nothing has been found yet. */
  under(chain: Chain): Candidate<Chain> {
    const { connection, facts, downstream, record, received } = this;
    if (record) record.metadata = undefined;
    return new Candidate(connection, chain, facts, downstream, record, received);
  }

  /**
   * Keeps what the client sends.
   * @param closed the connection has closed meanwhile
   * @returns ends it; false: the connection has closed
   */
  hold(closed: () => void): () => boolean {
    const { connection } = this;
    const chunks: Uint8Array[] = [this.received.firstBytes];
    let size = this.received.firstBytes.length;
    let { ended } = this.received;
    let isClosed = false;
    connection.handler = {
      onData: (bytes) => {
        chunks.push(new Uint8Array(bytes));
        size += bytes.length;
        if (size >= MOST_HELD) connection.pause();
      },
      onDrain: () => {},
      onEnd: () => {
        ended = true;
      },
      onClose: () => {
        isClosed = true;
        this.abortion?.abort();
        closed();
      },
    };
    return () => {
      this.received = { firstBytes: joinedBytes(chunks, size), ended };
      if (!isClosed && size >= MOST_HELD) connection.resume();
      return !isClosed;
    };
  }
}

function joinedBytes(chunks: readonly Uint8Array[], size: number): Uint8Array {
  if (chunks.length === 1) return chunks[0]!;
  const out = new Uint8Array(size);
  let at = 0;
  for (const chunk of chunks) {
    out.set(chunk, at);
    at += chunk.length;
  }
  return out;
}
