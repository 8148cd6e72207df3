/**
 * Several addresses of control planes as one client. Requests go to one of them until it fails, so that a proxy has one
 * discovery session at a time; then to the next in order, round and round. Waiting between attempts is the callers'.
 */
import type { LogLevel } from '../../shared/log/log.ts';
import { ControlError, type ControlResponse, NotConnectedError, type RequestOptions } from './control-client.ts';

export interface ControlPlaneAddress {
  readonly url: string;
  readonly client: {
    request(method: string, path: string, body?: unknown, options?: RequestOptions): Promise<ControlResponse>;
    /** Closes what is idle. */
    close(): void;
  };
}

/** Learned addresses at a time. */
const MAX_LEARNED = 16;

export class ControlPlanes {
  /** In order of preference at the start. */
  private readonly given: readonly ControlPlaneAddress[];
  /** Those that were given, then those that were learned. */
  private addresses: readonly ControlPlaneAddress[];
  private readonly log: (line: string, level?: LogLevel) => void;
  /** Where the next request goes. */
  private current: ControlPlaneAddress;
  /** The address that answered last, and why it was left. */
  private last: ControlPlaneAddress;
  private reason = '';

  /** @param addresses at least one, in order of preference at the start */
  constructor(addresses: readonly ControlPlaneAddress[], log: (line: string, level?: LogLevel) => void) {
    this.given = addresses;
    this.addresses = addresses;
    this.current = this.last = addresses[0]!;
    this.log = log;
  }

  /**
   * As ControlClient. Where no connection can be made the next address is attempted at once, each one once; after any other
   * failure, and a response of 500 and above, the next request goes to the next address: this one may have been acted upon.
   * @throws as ControlClient; NotConnectedError with what is wrong with each address
   */
  async request(method: string, path: string, body?: unknown, options?: RequestOptions): Promise<ControlResponse> {
    const failures = new Map<ControlPlaneAddress, string>();
    for (let at: ControlPlaneAddress | undefined = this.current; at; at = this.next(failures)) {
      try {
        const response = await at.client.request(method, path, body, options);
        if (response.status >= 500) this.leave(at, `it answered ${response.status}`);
        else this.answered(at);
        return response;
      } catch (error) {
        if (!(error instanceof ControlError)) throw error;
        this.leave(at, error.message);
        if (!(error instanceof NotConnectedError)) throw error;
        failures.set(at, error.message);
      }
    }
    throw new NotConnectedError([...failures.values()].join('; '));
  }

  /**
   * The control planes of the mesh, as one of them said. Those that were given stay, and the one in use until it fails.
   * @param make an address of a URL that is new
   */
  learn(urls: readonly string[], make: (url: string) => ControlPlaneAddress): void {
    const known = new Map(this.addresses.map((address) => [keyOf(address.url), address]));
    const given = new Set(this.given.map(({ url }) => keyOf(url)));
    const learned = [...new Set(urls.filter(isHttps).map(keyOf))].filter((key) => !given.has(key));
    const all = [...this.given, ...learned.slice(0, MAX_LEARNED).map((key) => known.get(key) ?? make(key))];
    this.addresses = all.includes(this.current) ? all : [...all, this.current];
    for (const address of known.values()) if (!this.addresses.includes(address)) address.client.close();
  }

  /** The first from the current one on that the request was not sent to. Other requests move it, too. */
  private next(failures: ReadonlyMap<ControlPlaneAddress, string>): ControlPlaneAddress | undefined {
    const { addresses } = this;
    const from = addresses.indexOf(this.current);
    for (let i = 0; i < addresses.length; i++) {
      const address = addresses[(from + i) % addresses.length]!;
      if (!failures.has(address)) return address;
    }
    return undefined;
  }

  close(): void {
    for (const { client } of this.addresses) client.close();
  }

  /** Unless another request has left it already. */
  private leave(at: ControlPlaneAddress, reason: string): void {
    if (this.current !== at || this.addresses.length === 1) return;
    at.client.close();
    if (at === this.last) this.reason = reason;
    this.current = this.addresses[(this.addresses.indexOf(at) + 1) % this.addresses.length]!;
  }

  /** An answer of an address that was left meanwhile changes nothing. */
  private answered(at: ControlPlaneAddress): void {
    if (at !== this.current || at === this.last) return;
    const before = this.last.url;
    this.last = at;
    this.log(`control plane: ${at.url} is used instead of ${before}: ${this.reason}`);
  }
}

/** One spelling of a URL: without a path `https://host:port`. */
const keyOf = (url: string): string => (URL.canParse(url) ? new URL(url).href.replace(/\/$/, '') : url);
const isHttps = (url: string): boolean => URL.parse(url)?.protocol === 'https:';
