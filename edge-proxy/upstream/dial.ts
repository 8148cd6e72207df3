/** Opening a connection: it opens, fails, or takes too long, whichever comes first, and is reported once. */
import type { Connection, ConnectionHandler, DialTarget, Runtime, TlsContext } from '../runtime/runtime.ts';
import type { DialOptions, Endpoint } from './cluster.ts';

export type Dialler = Pick<Runtime, 'connect'>;

export type DialFailure = 'remote_connection_failure' | 'connection_timeout';

/** Exactly one of the two is called, after `dial` has returned; none after `cancel`. */
export interface DialClient {
  /** It is open: set its handler during the call. */
  onOpen(connection: Connection): void;
  /** @param detail the transport's words (see `connectDetail`), '' for a timeout */
  onFailed(reason: DialFailure, detail: string): void;
}

export interface Dialling {
  /** Gives the dial up. @returns false: it was open, or had failed, already */
  cancel(): boolean;
}

/** Istio's sources of connections to the own application: what a node is configured with is of one family. */
const PASSTHROUGH_SOURCES: Readonly<Record<string, string>> = { '127.0.0.6': '::6', '::6': '127.0.0.6' };

/** Where a connection to an endpoint goes, and from where: captured connections are of both families. */
export function targetOf(
  { address, port, preface, tunnel }: Pick<Endpoint, 'address' | 'port' | 'preface' | 'tunnel'>,
  options: DialOptions | undefined,
): DialTarget {
  const to = { address, port, preface, ...options, ...(tunnel && { tunnel }) };
  const from = options?.localAddress;
  if (from === undefined || from.includes(':') === address.includes(':')) return to;
  return { ...to, localAddress: PASSTHROUGH_SOURCES[from] ?? from };
}

/** @param timeoutMs until the connection, TLS included, is there; 0: the caller has a limit of its own */
export function dial(
  dialler: Dialler,
  to: DialTarget,
  tls: TlsContext | undefined,
  timeoutMs: number,
  client: DialClient,
): Dialling {
  return new Dial(dialler, to, tls, timeoutMs, client);
}

class Dial implements Dialling, ConnectionHandler {
  private readonly client: DialClient;
  private readonly connection: Connection;
  private readonly timer: ReturnType<typeof setTimeout> | undefined;
  private settled = false;

  constructor(dialler: Dialler, to: DialTarget, tls: TlsContext | undefined, timeoutMs: number, client: DialClient) {
    this.client = client;
    if (timeoutMs > 0) this.timer = setTimeout(() => this.fail('connection_timeout', ''), timeoutMs);
    this.connection = dialler.connect(to, tls, this, (opened) => this.open(opened));
  }

  cancel(): boolean {
    if (!this.settle()) return false;
    this.connection.destroy();
    return true;
  }

  private open(connection: Connection): void {
    if (this.settle()) this.client.onOpen(connection);
    else connection.destroy();
  }

  private fail(reason: DialFailure, detail: string): void {
    if (!this.settle()) return;
    this.connection.destroy();
    this.client.onFailed(reason, detail);
  }

  /** @returns false: it is settled already */
  private settle(): boolean {
    if (this.settled) return false;
    this.settled = true;
    clearTimeout(this.timer);
    return true;
  }

  onData(): void {}

  onDrain(): void {}

  onEnd(): void {}

  onClose(error?: Error): void {
    this.fail('remote_connection_failure', connectDetail(error));
  }
}

/** `ECONNREFUSED` in Envoy's words; other transports' messages as they are. */
export function connectDetail(error: Error | undefined): string {
  if (error === undefined) return '';
  const code = (error as Error & { code?: string }).code;
  if (code === 'ECONNREFUSED') return 'delayed connect error: Connection refused';
  if (code === 'ECONNRESET') return 'delayed connect error: Connection reset by peer';
  if (code === 'EHOSTUNREACH') return 'delayed connect error: No route to host';
  return error.message;
}
