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

export class ControlPlanes {
  private readonly addresses: readonly ControlPlaneAddress[];
  private readonly log: (line: string, level?: LogLevel) => void;
  /** Where the next request goes. */
  private current = 0;
  /** The address that answered last, and why it was left. */
  private last = 0;
  private reason = '';

  /** @param addresses at least one, in order of preference at the start */
  constructor(addresses: readonly ControlPlaneAddress[], log: (line: string, level?: LogLevel) => void) {
    this.addresses = addresses;
    this.log = log;
  }

  /**
   * As ControlClient. Where no connection can be made the next address is attempted at once, each one once; after any other
   * failure, and a response of 500 and above, the next request goes to the next address: this one may have been acted upon.
   * @throws as ControlClient; NotConnectedError with what is wrong with each address
   */
  async request(method: string, path: string, body?: unknown, options?: RequestOptions): Promise<ControlResponse> {
    const failures = new Map<number, string>();
    for (let at = this.current; at >= 0; at = this.next(failures)) {
      try {
        const response = await this.addresses[at]!.client.request(method, path, body, options);
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

  /** The first from the current one on that the request was not sent to; -1: there is none. Other requests move it, too. */
  private next(failures: ReadonlyMap<number, string>): number {
    const { addresses, current } = this;
    for (let i = 0; i < addresses.length; i++) {
      const at = (current + i) % addresses.length;
      if (!failures.has(at)) return at;
    }
    return -1;
  }

  close(): void {
    for (const { client } of this.addresses) client.close();
  }

  /** Unless another request has left it already. */
  private leave(at: number, reason: string): void {
    if (this.current !== at || this.addresses.length === 1) return;
    this.addresses[at]!.client.close();
    if (at === this.last) this.reason = reason;
    this.current = (at + 1) % this.addresses.length;
  }

  /** An answer of an address that was left meanwhile changes nothing. */
  private answered(at: number): void {
    if (at !== this.current || at === this.last) return;
    const before = this.addresses[this.last]!.url;
    this.last = at;
    this.log(`control plane: ${this.addresses[at]!.url} is used instead of ${before}: ${this.reason}`);
  }
}
