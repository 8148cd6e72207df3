/** The DNS server of a proxy (Istio's DNS proxying): names of the mesh from discovery, all others from upstream servers. */
import type { DnsHost } from '../../shared/dns/dns-host.ts';
import type { Runtime, SocketAddress } from '../runtime/runtime.ts';
import { Forwarder } from './forwarder.ts';
import { DnsMetrics } from './metrics.ts';
import { NameTable } from './name-table.ts';
import { randomIds } from './random-id.ts';
import { Responder } from './responder.ts';
import { type DnsServer, LOOPBACK, serveDnsOn, startDnsServer } from './server.ts';
import { UpstreamServers } from './upstream-servers.ts';

/** Between attempts to listen at a port that is in use. */
const WAIT_MS = 10;

export interface DnsProxyOptions {
  readonly runtime: Pick<Runtime, 'openDatagrams' | 'listen' | 'connect' | 'monotonicMs' | 'random' | 'files'>;
  /** 0: one that is free. */
  readonly port: number;
  /** Listening sockets that were inherited: queries come by TCP on these alone. Default: none. */
  readonly descriptors?: readonly number[];
  /** Empty: those of the host's resolver. */
  readonly upstreams: readonly SocketAddress[];
  /** It listens only once `listen` is called: a predecessor answers until then. Default: at once. */
  readonly listensLater?: boolean;
  /** Of the workload. */
  readonly namespace: string;
  /** `cluster.local` */
  readonly domainSuffix: string;
  readonly log: (line: string) => void;
}

export class DnsProxy {
  private readonly options: DnsProxyOptions;
  private readonly metrics = new DnsMetrics();
  private readonly hosts = new Map<string, DnsHost>();
  private readonly servers: UpstreamServers;
  private readonly table: NameTable;
  private readonly responder: Responder;
  private server: DnsServer | undefined;
  private waiting: ReturnType<typeof setTimeout> | undefined;
  private closed = false;
  /** The last line of each kind of trouble is not repeated. */
  private readonly reported = new Set<string>();

  private constructor(options: DnsProxyOptions) {
    this.options = options;
    const { runtime, namespace, domainSuffix } = options;
    this.table = new NameTable({ namespace, domainSuffix, searchDomains: () => this.servers.searchDomains });
    this.servers = new UpstreamServers({
      given: options.upstreams,
      files: runtime.files,
      monotonicMs: () => runtime.monotonicMs(),
      isOwn: ({ address, port }) => port === this.port && LOOPBACK.includes(address),
      log: options.log,
    });
    this.responder = this.respondingBy();
  }

  /**
   * A port that is in use is waited for: the proxy that this one replaces has it until it has drained.
   * @throws ListenError for another reason
   */
  static async start(options: DnsProxyOptions): Promise<DnsProxy> {
    const proxy = new DnsProxy(options);
    if (!options.listensLater) await proxy.open();
    // The port is known now, so that this server can be left out.
    await proxy.servers.start();
    return proxy;
  }

  /** With `listensLater`. @throws ListenError, as `start` */
  async listen(): Promise<void> {
    if (this.options.listensLater) await this.open();
  }

  private async open(): Promise<void> {
    const { runtime, port, descriptors = [] } = this.options;
    const { responder } = this;
    const options = { runtime, responder, onError: (error: Error) => this.report(error.message) };
    try {
      const server = await (descriptors.length > 0
        ? serveDnsOn(descriptors, port, options)
        : startDnsServer(port, options));
      if (this.closed) await server.close();
      else this.server = server;
    } catch (error) {
      if ((error as { code?: string }).code !== 'EADDRINUSE') throw error;
      this.report(`${(error as Error).message}; names are answered once it is free`);
      if (!this.closed) this.waiting = setTimeout(() => void this.open().catch(this.failed), WAIT_MS);
    }
  }

  private readonly failed = (error: unknown): void => this.report((error as Error).message);

  private respondingBy(): Responder {
    const { runtime } = this.options;
    const forwarder = new Forwarder({
      runtime,
      monotonicMs: () => runtime.monotonicMs(),
      upstreams: () => this.servers.get(),
      randomId: randomIds(),
      metrics: this.metrics,
    });
    return new Responder({
      table: this.table,
      forwarder,
      metrics: this.metrics,
      random: () => runtime.random(),
      onInternalError: (error) => this.report(`internal error: ${(error as Error).stack ?? error}`),
      onLoop: () =>
        this.report('an upstream server sends queries back to this server: they are answered with SERVFAIL'),
    });
  }

  get port(): number {
    return this.server?.port ?? this.options.port;
  }

  /** The hosts whose names are answered, for dumps. */
  get held(): DnsHost[] {
    return [...this.hosts.values()];
  }

  apply(upserts: readonly DnsHost[], removed: readonly string[]): void {
    for (const name of removed) this.hosts.delete(name);
    for (const host of upserts) this.hosts.set(host.name, host);
    this.table.apply(upserts, removed);
  }

  /** All names have come: those that are not here are asked elsewhere. */
  complete(): void {
    this.table.isComplete = true;
  }

  /** Prometheus' text exposition. */
  exposition(): string {
    return this.metrics.exposition();
  }

  /** Queries that were received are answered first. Safe to call again. */
  async close(): Promise<void> {
    this.closed = true;
    clearTimeout(this.waiting);
    const { server } = this;
    this.server = undefined;
    await server?.close();
  }

  private report(line: string): void {
    if (this.reported.has(line) || this.reported.size > 100) return;
    this.reported.add(line);
    this.options.log(`dns: ${line}`);
  }
}
