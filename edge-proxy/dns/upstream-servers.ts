/** The upstream servers: those that were given, or those of the host's resolver, which may change. */
import { parseResolvConf } from '../../shared/dns/resolv-conf.ts';
import type { Files, SocketAddress } from '../runtime/runtime.ts';
import type { Upstreams } from './forwarder.ts';

export interface UpstreamServersOptions {
  /** Of `--dns-upstream`; empty: the host's. */
  readonly given: readonly SocketAddress[];
  readonly files: Pick<Files, 'read'>;
  readonly monotonicMs: () => number;
  /** Where this server itself listens: it never asks itself. */
  readonly isOwn: (server: SocketAddress) => boolean;
  readonly log: (line: string) => void;
  /** Default: the files of the system. */
  readonly paths?: { readonly resolvConf: string; readonly resolved: string };
}

const PATHS = {
  resolvConf: '/etc/resolv.conf',
  /** The servers that systemd-resolved asks (systemd-resolved.service(8)). */
  resolved: '/run/systemd/resolve/resolv.conf',
};
/** Addresses at which systemd-resolved answers this host's programs. */
const RESOLVED_STUBS: readonly string[] = ['127.0.0.53', '127.0.0.54'];
const DNS_PORT = 53;
/** The file is read again when a server is needed, and this has passed. */
const REREAD_MS = 5000;
/** Shorter than the 5 s of glibc, whose clients wait for the next server as well. */
const DEFAULT_TIMEOUT_MS = 2000;
const DEFAULT_ATTEMPTS = 2;

export class UpstreamServers {
  private readonly options: UpstreamServersOptions;
  private current: Upstreams;
  private search: readonly string[] = [];
  private lastRead = Number.NEGATIVE_INFINITY;
  private reading: Promise<void> | undefined;
  private readonly reported = new Set<string>();

  constructor(options: UpstreamServersOptions) {
    this.options = options;
    const servers = options.given;
    this.current = { servers, timeoutMs: DEFAULT_TIMEOUT_MS, attempts: DEFAULT_ATTEMPTS };
  }

  /** Reads the host's file, where it counts. Never throws. */
  async start(): Promise<void> {
    await this.reread();
  }

  /** Search domains of the host, as of the start. */
  get searchDomains(): readonly string[] {
    return this.search;
  }

  /** As they are known now; a file that has changed counts a moment later. */
  get(): Upstreams {
    if (this.options.monotonicMs() - this.lastRead >= REREAD_MS) this.reading ??= this.reread();
    return this.current;
  }

  private async reread(): Promise<void> {
    const { given, isOwn, log } = this.options;
    this.lastRead = this.options.monotonicMs();
    try {
      const { nameservers, search, timeout, attempts } = await this.host();
      this.search = search;
      const own = given.length > 0 ? given : nameservers.map((address) => ({ address, port: DNS_PORT }));
      const servers = own.filter((server) => {
        if (!isOwn(server)) return true;
        this.report(`${text(server)} is this server itself, and is not asked`);
        return false;
      });
      if (servers.length === 0)
        this.report('there is no upstream server: names outside of the mesh are not resolved; pass --dns-upstream');
      this.current = {
        servers,
        timeoutMs: timeout === undefined ? DEFAULT_TIMEOUT_MS : Math.max(1, timeout) * 1000,
        attempts: Math.max(1, attempts ?? DEFAULT_ATTEMPTS),
      };
    } catch (error) {
      log(`dns: the host's resolver configuration cannot be read: ${(error as Error).message}`);
    } finally {
      this.reading = undefined;
    }
  }

  /** Programs of the host ask systemd-resolved's stub, which may ask this server: its own servers are asked. */
  private async host() {
    const { resolvConf, resolved } = this.options.paths ?? PATHS;
    const found = parseResolvConf(await this.text(resolvConf));
    if (!found.nameservers.every((address) => RESOLVED_STUBS.includes(address))) return found;
    const { nameservers } = parseResolvConf(await this.text(resolved));
    return nameservers.length > 0 ? { ...found, nameservers } : found;
  }

  private async text(path: string): Promise<string> {
    const bytes = await this.options.files.read(path);
    return bytes ? new TextDecoder().decode(bytes) : '';
  }

  private report(line: string): void {
    if (this.reported.has(line)) return;
    this.reported.add(line);
    this.options.log(`dns: ${line}`);
  }
}

const text = ({ address, port }: SocketAddress): string =>
  address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
