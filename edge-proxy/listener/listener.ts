/** One listener: accept, sniff, choose the filter chain, TLS, network filters, then HTTP or TCP. */
import type { DownstreamInfo } from '../http/request/request-context.ts';
import type { ListenerAdmission } from '../overload/admission.ts';
import type { Clock, Connection, Listening, Runtime } from '../runtime/runtime.ts';
import { type ConnectionRecord, connectionRecord } from '../tcp/connection-record.ts';
import type { CapturedListeners } from './captured-listeners.ts';
import type { CertificateChoice } from './certificate-choice.ts';
import { Candidate, type ConnectionFilter, type Denied, logDenial, stillAdmits } from './connection-filter.ts';
import type { ChainFinder, ConnectionFacts } from './filter-chain.ts';
import { HandshakeTimers } from './handshake-timers.ts';
import { type Sniffed, type SniffPlan, sniff } from './sniff.ts';

/** Where a connection that is served already would go now; undefined: nowhere, its config was removed. */
export type Reassign = (facts: ConnectionFacts, downstream: DownstreamInfo) => Terminal | undefined;

/** What serves a connection after TLS and the network filters. */
export interface Terminal {
  /**
   * @param facts what its chain was chosen by; without them the connection ends when its config does
   * @param record what the listener's log will say of the connection, for handlers that know more of it
   */
  accept(
    connection: Connection,
    downstream: DownstreamInfo,
    firstBytes?: Uint8Array,
    facts?: ConnectionFacts,
    record?: ConnectionRecord,
  ): void;
  /**
   * The listener's config was replaced. Each connection goes to where it belongs now, so that the next request meets the new
   * policies; one that matches no chain, or that may not be there any more, ends after its current request.
   * @returns ends, at the end of the drain time, what is still open and not allowed any more; undefined: nothing is
   */
  handOverTo(reassign: Reassign): (() => void) | undefined;
  /** A connection that a network filter closed, for the log. */
  denied?(downstream: DownstreamInfo, denied: Denied): void;
  drain(): void;
  /** Applies the new overload timer scale to running timers. */
  applyTimerScale?(): void;
  /** The drain time is over: closes what is still open. */
  closeAll(): void;
}

/** A compiled filter chain. */
export interface Chain {
  readonly name: string;
  /** Whether it terminates TLS; the context is read at each connection, so a rotation takes effect at once. */
  readonly secure: boolean;
  /** Equal where a connection accepted by the one chain would be accepted by the other's TLS as well. */
  readonly transport: string;
  readonly tls: CertificateChoice;
  /** A client that names no server is not served (Envoy's require_sni). */
  readonly requiresSni: boolean;
  /** How long a TLS handshake may take; 0: no limit. */
  readonly handshakeMs: number;
  /** Network filters before the last one, in order. */
  readonly filters: readonly ConnectionFilter[];
  readonly terminal: Terminal;
}

export interface CompiledListener {
  readonly name: string;
  readonly address: string;
  readonly port: number;
  /** False: it is given captured connections, by the address that they were sent to. */
  readonly bindToPort: boolean;
  /** Inherited listening sockets, on which captured connections arrive; empty: it has a socket of its own. */
  readonly descriptors: readonly number[];
  /** Captured connections go to the listener at their original destination, where there is one. */
  readonly handsOver: boolean;
  /** Permissions of the file of a Unix domain socket. */
  readonly mode?: number;
  readonly backlog: number | undefined;
  readonly reusePort: boolean;
  readonly find: ChainFinder<Chain>;
  readonly chains: readonly Chain[];
  readonly ignoresTotalLimit: boolean;
  /** What must be read at a port before the chain is chosen; undefined: nothing, or nothing at any port. */
  readonly sniff: ((port: number) => SniffPlan | undefined) | undefined;
  /** The listener's own access log: of every connection, when it has ended. */
  readonly log?: ((connection: ConnectionRecord) => void) | undefined;
}

const NOTHING = new Uint8Array(0);

/** The listeners that captured connections are handed to. */
export type CapturedServers = CapturedListeners<ListenerServer>;

/** A bound socket whose config may be replaced under it. */
export class ListenerServer {
  config: CompiledListener;
  private readonly runtime: Runtime;
  private listening: Listening | undefined;
  private readonly connections = new Set<Connection>();
  private readonly cuts = new Set<ReturnType<typeof setTimeout>>();
  private readonly captured: CapturedServers;
  private accepting = true;
  private stopped = false;
  private readonly admission: ListenerAdmission;
  private readonly handshakes: HandshakeTimers;

  constructor(runtime: Runtime, config: CompiledListener, admission: ListenerAdmission, captured: CapturedServers) {
    this.runtime = runtime;
    this.captured = captured;
    this.admission = admission;
    this.config = config;
    this.handshakes = new HandshakeTimers(
      () => runtime.monotonicMs(),
      () => admission.timers,
    );
  }

  /** @throws ListenError, or Error where another listener has the address for captured connections */
  async open(): Promise<void> {
    const { address, port, bindToPort, descriptors, mode, backlog, reusePort, chains } = this.config;
    if (!bindToPort) {
      const remove = this.captured.add(this.config, this);
      this.listening = { address, port, close: async () => remove() };
      return;
    }
    const plaintext = !chains.some((chain) => chain.secure);
    const options = {
      address,
      port,
      plaintext,
      ...(mode === undefined ? {} : { mode }),
      ...(backlog ? { backlog } : {}),
    };
    const take = (connection: Connection) => this.onConnection(connection);
    this.listening =
      descriptors.length > 0
        ? await listenOnAll(descriptors, (descriptor) => this.runtime.listen({ ...options, descriptor }, take))
        : await this.runtime.listen({ ...options, reusePort }, take);
  }

  /** Where it listens; the port is the kernel's choice when 0 was configured. Undefined: it binds none. */
  get bound(): { address: string; port: number } | undefined {
    if (!this.listening || !this.config.bindToPort) return undefined;
    return { address: this.listening.address, port: this.listening.port };
  }

  /** New connections and the next requests of those open take the new config at once. */
  update(config: CompiledListener): void {
    const before = this.config;
    this.config = config;
    for (const chain of before.chains) {
      const { terminal } = chain;
      const end = terminal.handOverTo(reassignUnder(config, chain));
      if (end) this.endLater(end);
      if (!config.chains.includes(chain)) this.endLater(() => terminal.closeAll());
    }
  }

  /** Another server has come in its place: stops accepting, hands over what is open. */
  async replacedBy(config: CompiledListener): Promise<void> {
    this.accepting = false;
    this.update(config);
    await this.listening?.close();
  }

  /** Stops accepting and lets connections finish. */
  async drain(): Promise<void> {
    if (!this.accepting) return;
    this.accepting = false;
    for (const { terminal } of this.config.chains) {
      terminal.drain();
      this.endLater(() => terminal.closeAll());
    }
    await this.listening?.close();
  }

  /** Applies the new overload timer scale to running timers. */
  applyTimerScale(): void {
    this.handshakes.applyTimerScale();
    for (const { terminal } of this.config.chains) terminal.applyTimerScale?.();
  }

  /** Continues accepting, each connection for one answer; stops after the drain time. */
  drainGracefully(): void {
    for (const { terminal } of this.config.chains) terminal.drain();
    const timer = setTimeout(() => {
      this.cuts.delete(timer);
      void this.drain();
    }, this.admission.drainMs);
    this.cuts.add(timer);
  }

  /** Envoy's drain time: what is still open behind it and may not stay is closed. */
  private endLater(end: () => void): void {
    const timer = setTimeout(() => {
      this.cuts.delete(timer);
      end();
    }, this.admission.drainMs);
    this.cuts.add(timer);
  }

  /** Connections that are sniffed or in their handshake, closed now. Served ones belong to their terminal. */
  async stop(): Promise<void> {
    this.stopped = true;
    await this.drain();
    for (const timer of this.cuts) clearTimeout(timer);
    for (const connection of this.connections) connection.destroy();
    for (const { terminal } of this.config.chains) terminal.closeAll();
  }

  private count(secure: Connection): void {
    const expires = this.admission.closesOnExpiry ? secure.tls?.peerNotAfter : undefined;
    const expiry = expires === undefined ? undefined : closeAt(secure, expires, this.runtime);
    secure.gone = () => {
      expiry?.();
      this.admission.release();
    };
  }

  private readonly countTimeout = () => {
    this.admission.sniffTimeout.value++;
  };

  /** Serves a connection that came otherwise than by the socket; its local address is the one it was sent to. */
  accept(connection: Connection): void {
    this.onConnection(connection);
  }

  private onConnection(connection: Connection): void {
    const { handsOver, port } = this.config;
    // A connection to the proxy's own port was not captured.
    const to =
      handsOver && connection.localPort !== port
        ? this.captured.find(connection.localAddress, connection.localPort)
        : undefined;
    (to ?? this).take(connection);
  }

  /** The kernel may have accepted captured connections before the sockets closed: no other process will serve them. */
  private get takes(): boolean {
    return this.accepting || (!this.stopped && (!this.config.bindToPort || this.config.descriptors.length > 0));
  }

  private take(connection: Connection): void {
    if (!this.takes || !this.admission.admit()) {
      connection.destroy();
      return;
    }
    connection.gone = () => this.admission.release();
    const plan = this.config.sniff?.(connection.localPort);
    if (!plan) {
      this.choose(connection, PLAIN);
      return;
    }
    this.connections.add(connection);
    const forget = () => this.connections.delete(connection);
    sniff(
      connection,
      { ...plan, onTimeout: this.countTimeout },
      (found) => {
        forget();
        this.choose(connection, found);
      },
      forget,
    );
  }

  /** An exception in compiled config closes the connection, never the process: accepting runs outside any handler. */
  private choose(connection: Connection, found: Sniffed): void {
    try {
      this.hand(connection, found);
    } catch (error) {
      connection.destroy(error as Error);
    }
  }

  private hand(connection: Connection, found: Sniffed): void {
    const facts: ConnectionFacts = {
      localAddress: connection.localAddress,
      // A listener on a kernel-chosen port keeps matching by the port it really has.
      localPort: connection.localPort,
      remoteAddress: connection.remoteAddress,
      remotePort: connection.remotePort,
      serverName: found.serverName,
      transportProtocol: found.transportProtocol,
      applicationProtocols: found.applicationProtocols,
      inspected: found !== PLAIN,
    };
    const chain = this.config.find(facts);
    if (!chain) {
      this.admission.noChain.value++;
      connection.destroy();
      this.logUnserved(connection, facts, (record) => {
        record.flags.push('NR');
        record.details = 'filter_chain_not_found';
      });
      return;
    }
    if (chain.secure) {
      this.secure(connection, chain, found, facts);
      return;
    }
    // SNI of a connection that is passed through still names it for policies.
    this.serve(connection, chain, found.serverName, facts, found.firstBytes, found.ended);
  }

  /** Of a connection that no chain has served. */
  private logUnserved(
    connection: Connection,
    facts: ConnectionFacts,
    describe: (record: ConnectionRecord) => void,
  ): void {
    const { log } = this.config;
    if (!log) return;
    const record = connectionRecord(this.downstreamOf(connection, facts.serverName), this.runtime.monotonicMs());
    describe(record);
    log(record);
  }

  private downstreamOf(connection: Connection, serverName: string): DownstreamInfo {
    const { bindToPort, descriptors, port } = this.config;
    return downstreamOf(
      connection,
      serverName,
      !bindToPort || (descriptors.length > 0 && connection.localPort !== port),
    );
  }

  private serve(
    connection: Connection,
    chain: Chain,
    serverName: string,
    facts: ConnectionFacts,
    firstBytes: Uint8Array,
    ended: boolean,
  ): void {
    const downstream = this.downstreamOf(connection, serverName);
    const { log } = this.config;
    let record: ConnectionRecord | undefined;
    if (log) {
      const opened = connectionRecord(downstream, this.runtime.monotonicMs());
      const { gone } = connection;
      connection.gone = () => {
        gone?.();
        log(opened);
      };
      record = opened;
    }
    this.judge(new Candidate(connection, chain, facts, downstream, record, { firstBytes, ended }), 0);
  }

  /** Shows the connection to the filters of its chain from this position on. */
  private judge(candidate: Candidate<Chain>, from: number): void {
    const { connection, chain } = candidate;
    for (let at = from; at < chain.filters.length; at++) {
      const verdict = chain.filters[at]!(candidate);
      if (verdict instanceof Promise) {
        this.hold(candidate, at, verdict);
        return;
      }
      if (verdict) {
        this.refuse(candidate, verdict);
        return;
      }
    }
    const { downstream, facts, record, received } = candidate;
    chain.terminal.accept(connection, downstream, received.firstBytes, facts, record);
    if (received.ended) connection.handler.onEnd();
  }

  private refuse({ connection, chain, downstream, record }: Candidate<Chain>, denied: Denied): void {
    if (record) logDenial(record, denied);
    connection.destroy();
    chain.terminal.denied?.(downstream, denied);
  }

  /** What the client sends is kept until the filter has decided. */
  private hold(candidate: Candidate<Chain>, at: number, verdict: Promise<Denied | undefined>): void {
    const { connection } = candidate;
    this.connections.add(connection);
    const release = candidate.hold(() => this.connections.delete(connection));
    const settle = (settled: () => void) => {
      if (!release()) return;
      this.connections.delete(connection);
      try {
        settled();
      } catch (error) {
        connection.destroy(error as Error);
      }
    };
    verdict.then(
      (denied) =>
        settle(() => {
          if (denied) this.refuse(candidate, denied);
          else this.proceed(candidate, at + 1);
        }),
      (error: unknown) => settle(() => connection.destroy(error as Error)),
    );
  }

  /** The configuration may have changed while a filter was deciding: the connection is judged by the present one. */
  private proceed(candidate: Candidate<Chain>, from: number): void {
    const { connection, chain, facts } = candidate;
    const current = this.config.find(facts);
    if (current === chain) this.judge(candidate, from);
    else if (current?.transport === chain.transport) this.judge(candidate.under(current), 0);
    else connection.destroy();
  }

  private secure(connection: Connection, chain: Chain, found: Sniffed, facts: ConnectionFacts): void {
    const context = chain.tls(found.firstBytes);
    // Plaintext where TLS is wanted, or certificates that have not arrived: nothing is served.
    if (found.transportProtocol !== 'tls' || !context || (chain.requiresSni && found.serverName === '')) {
      this.admission.handshakeFailures.value++;
      connection.destroy();
      this.logUnserved(connection, facts, () => {});
      return;
    }
    this.connections.add(connection);
    // The connection that results from the handshake is counted in its place.
    connection.gone = undefined;
    const timer = this.handshakes.begin(chain.handshakeMs);
    this.runtime.acceptTls(connection, context, found.firstBytes, timer.signal).then(
      (secure) => {
        timer.end();
        this.connections.delete(connection);
        this.admission.handshakes.value++;
        this.count(secure);
        try {
          // The config may have changed during the handshake.
          const current = this.config.find(facts);
          if (current?.transport !== chain.transport) secure.destroy();
          else this.serve(secure, current, secure.tls?.serverName ?? '', facts, NOTHING, false);
        } catch (error) {
          secure.destroy(error as Error);
        }
      },
      () => {
        timer.end();
        this.connections.delete(connection);
        this.admission.handshakeFailures.value++;
        if (timer.signal.aborted) this.admission.handshakeTimeouts.value++;
        this.admission.release();
        this.logUnserved(connection, facts, () => {});
      },
    );
  }
}

/** Timers hold at most 2^31 ms. */
const LONGEST_TIMER_MS = 2_147_000_000;

/** Closes a connection at a moment of the wall clock. @returns stop */
function closeAt(connection: Connection, when: number, clock: Pick<Clock, 'now'>): () => void {
  let timer: ReturnType<typeof setTimeout>;
  const wait = (): void => {
    const left = when - clock.now();
    timer = setTimeout(
      () => (left > LONGEST_TIMER_MS ? wait() : connection.destroy(new Error("the peer's certificate has expired"))),
      Math.max(0, Math.min(left, LONGEST_TIMER_MS)),
    );
  };
  wait();
  return () => clearTimeout(timer);
}

/** Where connections of a chain of the former config belong under `config`. */
function reassignUnder(config: CompiledListener, { transport }: Chain): Reassign {
  return (facts, downstream) => {
    // Which chain it belongs to cannot be known any more.
    if (config.sniff?.(facts.localPort) !== undefined && facts.inspected === false) return undefined;
    const next = config.find(facts);
    // Another TLS context may ask for what this connection never proved; network filters are asked once a connection.
    if (!next || next.transport !== transport) return undefined;
    if (!stillAdmits(next.filters, downstream)) return undefined;
    return next.terminal;
  };
}

const PLAIN: Sniffed = {
  transportProtocol: 'raw_buffer',
  serverName: '',
  applicationProtocols: [],
  firstBytes: NOTHING,
  ended: false,
};

/** All or none. */
async function listenOnAll(
  descriptors: readonly number[],
  listen: (descriptor: number) => Promise<Listening>,
): Promise<Listening> {
  const opened: Listening[] = [];
  const close = async () => {
    for (const listening of opened) await listening.close();
  };
  try {
    for (const descriptor of descriptors) opened.push(await listen(descriptor));
  } catch (error) {
    await close();
    throw error;
  }
  const { address, port } = opened[0]!;
  return { address, port, close };
}

function downstreamOf(connection: Connection, serverName: string, redirected: boolean): DownstreamInfo {
  const { tls } = connection;
  return {
    remoteAddress: connection.remoteAddress,
    remotePort: connection.remotePort,
    localAddress: connection.localAddress,
    localPort: connection.localPort,
    redirected,
    secure: tls !== undefined,
    serverName,
    peerUris: tls?.peerUris ?? [],
    peerDns: tls?.peerDns ?? [],
    peerSubject: tls?.peerSubject ?? '',
    peerHash: tls?.peerHash ?? '',
    peerChain: tls?.peerHash ? tls.peerChain : [],
    localUris: tls?.localUris ?? [],
  };
}
