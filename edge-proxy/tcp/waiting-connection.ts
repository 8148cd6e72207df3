/** A connection of the TCP proxy whose cluster is being fetched (on-demand discovery). */
import type { DownstreamInfo } from '../http/request/request-context.ts';
import type { ConnectionFacts } from '../listener/filter-chain.ts';
import type { Connection, ConnectionHandler } from '../runtime/runtime.ts';
import type { ClusterSet } from '../upstream/cluster.ts';
import { type FetchOutcome, fetchFailure, type PendingFetch } from '../upstream/fetches.ts';
import type { ConnectionRecord } from './connection-record.ts';
import type { ServedStream } from './served-stream.ts';
import { Tunnel, type TunnelOwner } from './tunnel.ts';

/** The proxy that serves the connection. */
export interface WaitingOwner extends TunnelOwner {
  readonly clusters: ClusterSet;
  readonly waiting: Set<WaitingConnection>;
  /** There is no such cluster. @param reason goes to the log */
  refuse(name: string, connection: Connection, record: ConnectionRecord, reason?: string): void;
}

/** Nothing more is read of it meanwhile. */
export class WaitingConnection implements ConnectionHandler, ServedStream {
  private proxy: WaitingOwner;
  readonly facts: ConnectionFacts | undefined;
  /** The one that is fetched. */
  readonly cluster: string;
  private readonly connection: Connection;
  private readonly record: ConnectionRecord;
  private readonly early: Uint8Array[];
  private ended = false;

  /** @param early what was read of the connection, in memory of its own */
  constructor(
    proxy: WaitingOwner,
    fetch: PendingFetch,
    connection: Connection,
    record: ConnectionRecord,
    facts: ConnectionFacts | undefined,
    early: Uint8Array[],
  ) {
    this.proxy = proxy;
    this.facts = facts;
    this.cluster = fetch.name;
    this.connection = connection;
    this.record = record;
    this.early = early;
    proxy.waiting.add(this);
    connection.handler = this;
    connection.pause();
    void fetch.done.then((outcome) => this.fetched(fetch.name, outcome));
  }

  get downstream(): DownstreamInfo {
    return this.record.downstream;
  }

  /** Another version of the config serves it from now on. */
  moveTo(proxy: WaitingOwner): void {
    this.proxy.waiting.delete(this);
    this.proxy = proxy;
    proxy.waiting.add(this);
  }

  private fetched(name: string, outcome: FetchOutcome): void {
    const { proxy, connection, record } = this;
    if (!proxy.waiting.delete(this)) return;
    const cluster = proxy.clusters.get(name);
    if (!cluster) {
      proxy.refuse(name, connection, record, fetchFailure(outcome));
      return;
    }
    record.cluster = cluster;
    const tunnel = new Tunnel(proxy, cluster, connection, record, this.facts, this.early);
    tunnel.start();
    if (this.ended) tunnel.endDown();
  }

  /** A runtime may hand over what it had read before the pause took effect. */
  onData(bytes: Uint8Array): void {
    this.early.push(new Uint8Array(bytes));
  }

  onLent(bytes: Uint8Array): void {
    this.onData(bytes);
  }

  onDrain(): void {}

  onEnd(): void {
    this.ended = true;
  }

  onClose(): void {
    if (!this.proxy.waiting.delete(this)) return;
    this.record.flags.push('DC');
    this.proxy.ended(this.record);
  }

  close(error: Error): void {
    if (!this.proxy.waiting.delete(this)) return;
    this.proxy.ended(this.record);
    this.connection.destroy(error);
  }
}
