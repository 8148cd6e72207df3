/**
 * A small HTTPS/1.1 JSON client over the runtime's sockets, so that the proxy speaks to the control plane the same way
 * on Node, Bun and Deno: mTLS with the SVID of the moment, the server verified by trust bundle and DNS or IP name.
 */
import type { ClientTlsOptions, Connection, KeyPair, Runtime, TlsContext } from '../runtime/runtime.ts';
import type { PeerNames } from '../x509/verify-peer.ts';
import { gunzip } from './gunzip.ts';
import { ResponseReader } from './response-reader.ts';

export interface ControlClientOptions {
  readonly runtime: Runtime;
  /** `https://host:port` */
  readonly url: string;
  /** PEM roots of the control plane, read at each dial: trust bundles rotate. */
  readonly trustedRoots: () => string;
  /** The SVID presented, read at each dial; undefined before the first one is issued. */
  readonly identity: () => KeyPair | undefined;
  /** Largest response body, as sent and after decompression. Default 64 MiB. */
  readonly maxBodyBytes?: number;
  /** For TCP connect and TLS handshake; twice as long after each timeout, up to four times. Default 5 s. */
  readonly connectTimeoutMs?: number;
  /** A connection was made, from this address of the host. */
  readonly connected?: ((localAddress: string) => void) | undefined;
}

export interface RequestOptions {
  readonly signal?: AbortSignal;
  /** From start to the last byte. Default 30 s. */
  readonly timeoutMs?: number;
  /** Keep the connection for the next request, and allow this one to use a kept one (it must be repeatable). */
  readonly keepAlive?: boolean;
}

export interface ControlResponse {
  readonly status: number;
  /** Parsed JSON; the text itself when it is not JSON; undefined when empty. */
  readonly body: unknown;
}

/** The control plane could not be reached, trusted or understood. One line, no secrets. */
export class ControlError extends Error {
  override name = 'ControlError';
}

/** No connection was made, so the control plane has nothing of the request. */
export class NotConnectedError extends ControlError {
  override name = 'NotConnectedError';
}

/** A control plane that all proxies call at once needs longer for each: with the same limit for every attempt none would succeed. */
const MAX_PATIENCE = 4;

interface Exchange {
  readonly bytes: Uint8Array;
  readonly signal: AbortSignal | undefined;
  readonly deadlineMs: number;
  readonly keepAlive: boolean;
}

/** A kept connection and the context it was dialled with: a rotated identity dials again. */
interface Idle {
  readonly connection: Connection;
  readonly tls: TlsContext;
}

/** A poll that is held, and the one that takes its place. */
const MAX_IDLE = 2;

export class ControlClient {
  private readonly options: ControlClientOptions;
  private readonly host: string;
  private readonly port: number;
  private readonly hostHeader: string;
  private readonly base: string;
  /** The last used last. */
  private idle: Idle[] = [];
  /** By how much the limit of a dial exceeds the configured one. */
  private patience = 1;
  private context: { keyPair: KeyPair | undefined; roots: string; tls: TlsContext } | undefined;

  /** @throws ControlError when the URL is not an https one */
  constructor(options: ControlClientOptions) {
    const url = parseUrl(options.url);
    this.options = options;
    this.host = url.hostname.replace(/^\[|\]$/g, '');
    this.port = url.port === '' ? 443 : Number(url.port);
    this.hostHeader = url.host;
    this.base = url.pathname.replace(/\/+$/, '');
  }

  /**
   * One JSON exchange. Any status is an answer.
   * @throws NotConnectedError unreachable or untrusted; ControlError timed out, or not HTTP; the signal's reason when aborted
   */
  async request(method: string, path: string, body?: unknown, options: RequestOptions = {}): Promise<ControlResponse> {
    options.signal?.throwIfAborted();
    const exchange: Exchange = {
      bytes: this.encode(method, path, body, options.keepAlive === true),
      signal: options.signal,
      deadlineMs: this.options.runtime.monotonicMs() + (options.timeoutMs ?? 30_000),
      keepAlive: options.keepAlive === true,
    };
    const tls = this.tls();
    const kept = this.takeIdle(tls, exchange.keepAlive);
    if (kept) {
      const answer = await this.converse(kept, tls, exchange).catch((error: unknown) => {
        // The server may close an idle connection just as it is used; only that justifies a second attempt.
        if (error instanceof StaleConnection) return undefined;
        throw error;
      });
      if (answer) return answer;
    }
    return this.converse(await this.dial(tls, exchange), tls, exchange, false);
  }

  close(): void {
    for (const { connection } of this.idle) connection.destroy();
    this.idle = [];
  }

  private encode(method: string, path: string, body: unknown, keepAlive: boolean): Uint8Array {
    const payload = body === undefined ? '' : JSON.stringify(body);
    const encoder = new TextEncoder();
    const content = encoder.encode(payload);
    const head = [
      `${method} ${this.base}${path} HTTP/1.1`,
      `host: ${this.hostHeader}`,
      'accept: application/json',
      'accept-encoding: gzip',
      `connection: ${keepAlive ? 'keep-alive' : 'close'}`,
      ...(body === undefined ? [] : ['content-type: application/json']),
      ...(body === undefined && method === 'GET' ? [] : [`content-length: ${content.length}`]),
    ];
    if (head.some((line) => /[\r\n\0]/.test(line))) throw new ControlError('request line holds a control character');
    const start = encoder.encode(`${head.join('\r\n')}\r\n\r\n`);
    const bytes = new Uint8Array(start.length + content.length);
    bytes.set(start);
    bytes.set(content, start.length);
    return bytes;
  }

  private tls(): TlsContext {
    const keyPair = this.options.identity();
    const roots = this.options.trustedRoots();
    const last = this.context;
    if (last && last.keyPair === keyPair && last.roots === roots) return last.tls;
    const ip = isIp(this.host);
    const options: ClientTlsOptions = {
      keyPair,
      trustedRoots: roots,
      serverName: ip ? undefined : this.host,
      alpn: ['http/1.1'],
      minVersion: 'TLSv1.2',
      maxVersion: 'TLSv1.3',
      acceptNames: (names) => isFor(names, this.host),
    };
    const tls = this.options.runtime.clientTls(options);
    this.context = { keyPair, roots, tls };
    return tls;
  }

  private takeIdle(tls: TlsContext, wanted: boolean): Connection | undefined {
    if (!wanted) return undefined;
    for (let idle = this.idle.pop(); idle; idle = this.idle.pop()) {
      if (idle.tls === tls) return idle.connection;
      idle.connection.destroy();
    }
    return undefined;
  }

  /** Tries each address of the host in turn. */
  private async dial(tls: TlsContext, exchange: Exchange): Promise<Connection> {
    const addresses = isIp(this.host) ? [this.host] : await this.resolve();
    let last: unknown;
    for (const address of addresses) {
      try {
        return await this.dialOne(address, tls, exchange);
      } catch (error) {
        if (exchange.signal?.aborted) throw error;
        last = error;
      }
    }
    throw this.notConnected(last);
  }

  private async resolve(): Promise<string[]> {
    try {
      const { addresses } = await this.options.runtime.resolve(this.host);
      if (addresses.length > 0) return addresses;
    } catch (error) {
      throw this.notConnected(error);
    }
    throw this.notConnected(new Error('the name has no address'));
  }

  private dialOne(address: string, tls: TlsContext, exchange: Exchange): Promise<Connection> {
    const left = exchange.deadlineMs - this.options.runtime.monotonicMs();
    const limit = Math.min(this.patience * (this.options.connectTimeoutMs ?? 5000), Math.max(left, 1));
    return new Promise((resolve, reject) => {
      let connection: Connection | undefined;
      const finish = (error?: unknown) => {
        clearTimeout(timer);
        exchange.signal?.removeEventListener('abort', aborted);
        if (error === undefined) return;
        connection?.destroy();
        reject(error);
      };
      const aborted = () => finish(exchange.signal?.reason ?? new ControlError('aborted'));
      const timer = setTimeout(() => {
        this.patience = Math.min(2 * this.patience, MAX_PATIENCE);
        finish(new Error(`no connection within ${limit} ms`));
      }, limit);
      exchange.signal?.addEventListener('abort', aborted);
      const handler = { ...silent, onClose: (error?: Error) => finish(error ?? new Error('connection closed')) };
      connection = this.options.runtime.connect({ address, port: this.port }, tls, handler, (opened) => {
        finish();
        this.patience = 1;
        this.options.connected?.(opened.localAddress);
        opened.handler = silent;
        resolve(opened);
      });
    });
  }

  /** Sends and reads one answer. `reused`: a close before the first byte is a StaleConnection. */
  private converse(
    connection: Connection,
    tls: TlsContext,
    exchange: Exchange,
    reused = true,
  ): Promise<ControlResponse> {
    return new Promise((resolve, reject) => {
      const reader = new ResponseReader(this.maxBodyBytes);
      const finish = (error: unknown, reusable = false) => {
        clearTimeout(timer);
        exchange.signal?.removeEventListener('abort', aborted);
        connection.handler = silent;
        if (reusable && exchange.keepAlive) this.keep(connection, tls);
        else connection.destroy();
        if (error !== undefined) return reject(error);
        this.bodyOf(reader).then(
          (body) => resolve({ status: reader.status, body }),
          (failure: unknown) => reject(this.unreachable(failure)),
        );
      };
      const aborted = () => finish(exchange.signal?.reason ?? new ControlError('aborted'));
      const left = Math.max(exchange.deadlineMs - this.options.runtime.monotonicMs(), 1);
      const timer = setTimeout(() => finish(this.unreachable(new Error('no complete answer in time'))), left);
      exchange.signal?.addEventListener('abort', aborted);
      const closed = (error?: Error) => {
        if (reader.end()) return finish(undefined);
        if (reused && !reader.started) return finish(new StaleConnection('closed while idle'));
        finish(this.unreachable(error ?? new Error('connection closed before the answer was complete')));
      };
      connection.handler = {
        onData(bytes) {
          try {
            if (reader.push(bytes)) finish(undefined, reader.reusable);
          } catch (error) {
            finish(error);
          }
        },
        onDrain() {},
        onEnd: () => closed(),
        onClose: closed,
      };
      connection.write(exchange.bytes);
    });
  }

  private async bodyOf(reader: ResponseReader): Promise<unknown> {
    const bytes = reader.body();
    return parseBody(reader.coding === 'gzip' ? await gunzip(bytes, this.maxBodyBytes) : bytes);
  }

  private get maxBodyBytes(): number {
    return this.options.maxBodyBytes ?? 64 * 1024 * 1024;
  }

  private keep(connection: Connection, tls: TlsContext): void {
    this.idle.push({ connection, tls });
    if (this.idle.length > MAX_IDLE) this.idle.shift()?.connection.destroy();
    const drop = () => {
      this.idle = this.idle.filter((kept) => kept.connection !== connection);
      connection.destroy();
    };
    // Unasked-for bytes, an end or an error: this connection is no good any more.
    connection.handler = { onData: drop, onDrain() {}, onEnd: drop, onClose: drop };
  }

  private unreachable(cause: unknown): ControlError {
    return new ControlError(this.described(cause));
  }

  private notConnected(cause: unknown): NotConnectedError {
    return new NotConnectedError(this.described(cause));
  }

  private described(cause: unknown): string {
    const reason = explained(cause instanceof Error ? cause.message : String(cause), this.options.runtime.now());
    return `control plane ${this.hostHeader}: ${reason}`;
  }
}

/** Certificates are short-lived: a certificate not yet valid usually means a wrong clock. */
function explained(reason: string, now: number): string {
  if (!/certificate (is not yet valid|has expired)/.test(reason)) return reason;
  const clock = reason.includes("machine's clock") ? '' : `, this machine's clock is at ${new Date(now).toISOString()}`;
  return `${reason}${clock}; check the clocks of both machines`;
}

class StaleConnection extends Error {}

const silent = { onData() {}, onDrain() {}, onEnd() {}, onClose() {} };

function parseUrl(text: string): URL {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw new ControlError(`control plane URL: must be https://host:port, found "${text}"`);
  }
  if (url.protocol !== 'https:' || url.username || url.password || url.search || url.hash)
    throw new ControlError(`control plane URL: must be https://host:port, found "${url.protocol}//${url.host}"`);
  return url;
}

const isIp = (host: string): boolean => /^\d{1,3}(\.\d{1,3}){3}$/.test(host) || host.includes(':');

/** One spelling per address: IPv6 as URLs write it. */
function canonicalIp(address: string): string {
  if (!address.includes(':')) return address;
  try {
    return new URL(`http://[${address}]/`).hostname.slice(1, -1);
  } catch {
    return address.toLowerCase();
  }
}

/** RFC 6125: an IP matches only an iPAddress name, a host a dNSName, with `*` as the whole left-most label. */
export function namesHost(names: PeerNames, host: string): boolean {
  if (isIp(host)) {
    const wanted = canonicalIp(host);
    return names.ips.some((ip) => canonicalIp(ip) === wanted);
  }
  const wanted = host.toLowerCase();
  const dot = wanted.indexOf('.');
  const wildcard = dot > 0 ? `*${wanted.slice(dot)}` : undefined;
  return names.dns.some((name) => name.toLowerCase() === wanted || name.toLowerCase() === wildcard);
}

const MAX_NAMES = 8;

/** @throws Error with the certificate's names and the remedy where it is for another host */
function isFor(names: PeerNames, host: string): true {
  if (namesHost(names, host)) return true;
  const held = [...names.dns, ...names.ips];
  const more = held.length > MAX_NAMES ? ` and ${held.length - MAX_NAMES} more` : '';
  const which = held.length > 0 ? held.slice(0, MAX_NAMES).join(', ') + more : 'no host';
  throw new Error(
    `its certificate is for ${which}, not for ${host}: start "tulle control" with --server-name ${host} (or --advertise ${host}), or use a --control-plane URL with one of these names`,
  );
}

function parseBody(bytes: Uint8Array): unknown {
  if (bytes.length === 0) return undefined;
  const text = new TextDecoder().decode(bytes);
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text;
  }
}
