/** One listener: accept, sniff, choose the filter chain, TLS, network filters, then HTTP or TCP. */
import type { DownstreamInfo } from '../http/stream.ts';
import type { Connection, Listening, Runtime, TlsContext } from '../runtime/runtime.ts';
import type { ChainFinder } from './filter-chain.ts';
import { type Sniffed, type SniffPlan, sniff } from './sniff.ts';

/** What serves a connection after TLS and the network filters. */
export interface Terminal {
  accept(connection: Connection, downstream: DownstreamInfo, firstBytes?: Uint8Array): void;
  /** A connection that a network filter closed, for the log; `details` are Envoy's connection termination details. */
  denied?(downstream: DownstreamInfo, details: string): void;
  drain(): void;
}

/** A compiled filter chain. */
export interface Chain {
  readonly name: string;
  /** Whether it terminates TLS; the context is read at each connection, so a rotation takes effect at once. */
  readonly secure: boolean;
  readonly tls: () => TlsContext | undefined;
  /** Network RBAC in order: why the connection is closed; undefined goes on. */
  readonly denials: readonly ((downstream: DownstreamInfo) => string | undefined)[];
  readonly terminal: Terminal;
}

export interface CompiledListener {
  readonly name: string;
  readonly address: string;
  readonly port: number;
  readonly backlog: number | undefined;
  readonly reusePort: boolean;
  readonly find: ChainFinder<Chain>;
  readonly chains: readonly Chain[];
  /** undefined: nothing must be read before the chain is chosen. */
  readonly sniff: SniffPlan | undefined;
}

const NOTHING = new Uint8Array(0);

/** A bound socket whose config may be replaced under it. */
export class ListenerServer {
  config: CompiledListener;
  private readonly runtime: Runtime;
  private listening: Listening | undefined;
  private readonly connections = new Set<Connection>();
  private accepting = true;

  constructor(runtime: Runtime, config: CompiledListener) {
    this.runtime = runtime;
    this.config = config;
  }

  /** @throws ListenError */
  async open(): Promise<void> {
    const { address, port, backlog, reusePort } = this.config;
    this.listening = await this.runtime.listen(
      { address, port, reusePort, ...(backlog ? { backlog } : {}) },
      (connection) => this.onConnection(connection),
    );
  }

  /** Where it listens; the port is the kernel's choice when 0 was configured. */
  get bound(): { address: string; port: number } | undefined {
    return this.listening && { address: this.listening.address, port: this.listening.port };
  }

  /** New connections take the new config at once; chains that are no longer there drain. */
  update(config: CompiledListener): void {
    const kept = new Set(config.chains);
    const dropped = this.config.chains.filter((chain) => !kept.has(chain));
    this.config = config;
    for (const chain of dropped) chain.terminal.drain();
  }

  /** Stops accepting and lets connections finish. */
  async drain(): Promise<void> {
    this.accepting = false;
    for (const chain of this.config.chains) chain.terminal.drain();
    await this.listening?.close();
  }

  /** Connections that are sniffed or in their handshake, closed now. Served ones belong to their terminal. */
  async stop(): Promise<void> {
    await this.drain();
    for (const connection of this.connections) connection.destroy();
  }

  private onConnection(connection: Connection): void {
    if (!this.accepting) {
      connection.destroy();
      return;
    }
    const { sniff: plan } = this.config;
    if (!plan) {
      this.choose(connection, PLAIN);
      return;
    }
    this.connections.add(connection);
    const forget = () => this.connections.delete(connection);
    sniff(
      connection,
      plan,
      (found) => {
        forget();
        this.choose(connection, found);
      },
      forget,
    );
  }

  /** A fault of compiled config costs the connection, never the process: accepting is outside any handler. */
  private choose(connection: Connection, found: Sniffed): void {
    try {
      this.hand(connection, found);
    } catch (error) {
      connection.destroy(error as Error);
    }
  }

  private hand(connection: Connection, found: Sniffed): void {
    const chain = this.config.find({
      localAddress: connection.localAddress,
      // A listener on a kernel-chosen port keeps matching by the port it really has.
      localPort: connection.localPort,
      remoteAddress: connection.remoteAddress,
      remotePort: connection.remotePort,
      serverName: found.serverName,
      transportProtocol: found.transportProtocol,
      applicationProtocols: found.applicationProtocols,
    });
    if (!chain) {
      connection.destroy();
      return;
    }
    if (chain.secure) {
      this.secure(connection, chain, found);
      return;
    }
    // SNI of a connection that is passed through still names it for policies.
    serve(connection, chain, found.serverName, found.firstBytes, found.ended);
  }

  private secure(connection: Connection, chain: Chain, found: Sniffed): void {
    const context = chain.tls();
    // Plaintext where TLS is wanted, or certificates that have not arrived: nothing is served.
    if (found.transportProtocol !== 'tls' || !context) {
      connection.destroy();
      return;
    }
    this.connections.add(connection);
    this.runtime.acceptTls(connection, context, found.firstBytes).then(
      (secure) => {
        this.connections.delete(connection);
        try {
          serve(secure, chain, secure.tls?.serverName ?? '', NOTHING, false);
        } catch (error) {
          secure.destroy(error as Error);
        }
      },
      () => {
        this.connections.delete(connection);
      },
    );
  }
}

const PLAIN: Sniffed = {
  transportProtocol: 'raw_buffer',
  serverName: '',
  applicationProtocols: [],
  firstBytes: NOTHING,
  ended: false,
};

function serve(connection: Connection, chain: Chain, serverName: string, firstBytes: Uint8Array, ended: boolean): void {
  const { tls } = connection;
  const downstream: DownstreamInfo = {
    remoteAddress: connection.remoteAddress,
    remotePort: connection.remotePort,
    localAddress: connection.localAddress,
    localPort: connection.localPort,
    secure: tls !== undefined,
    serverName,
    peerUris: tls?.peerUris ?? [],
    peerDns: tls?.peerDns ?? [],
    peerSubject: tls?.peerSubject ?? '',
    peerHash: tls?.peerHash ?? '',
    peerLeaf: tls?.peerHash ? tls.peerChain[0] : undefined,
    localUris: tls?.localUris ?? [],
  };
  for (const denial of chain.denials) {
    const details = denial(downstream);
    if (details !== undefined) {
      connection.destroy();
      chain.terminal.denied?.(downstream, details);
      return;
    }
  }
  chain.terminal.accept(connection, downstream, firstBytes);
  if (ended) connection.handler.onEnd();
}
