/** What Envoy's TLS and HTTP inspectors find in a connection's first bytes, before a filter chain is chosen. */
import type { Connection, ConnectionHandler } from '../runtime/runtime.ts';
import { looksLikeTls, MAX_CLIENT_HELLO, readClientHello } from './client-hello.ts';

export interface SniffPlan {
  /** Off: TLS is bytes like others. */
  readonly tls: boolean;
  readonly http: boolean;
  /** 0: no limit. */
  readonly timeoutMs: number;
  /** After the timeout: true continues as raw bytes, false closes. */
  readonly continueOnTimeout: boolean;
  /** For counting. */
  readonly onTimeout?: (() => void) | undefined;
}

export interface Sniffed {
  readonly transportProtocol: 'tls' | 'raw_buffer';
  readonly serverName: string;
  readonly applicationProtocols: readonly string[];
  /** All bytes read so far; the connection's next owner must take them first. */
  readonly firstBytes: Uint8Array;
  /** The peer has already finished sending. */
  readonly ended: boolean;
}

const PREFACE = 'PRI * HTTP/2.0\r\n';
const MAX_REQUEST_LINE = 16 * 1024;
const NOTHING = new Uint8Array(0);
/** Laxer than the codec, as Envoy's inspector is: what an HTTP chain will refuse must not slip into a TCP chain. */
const REQUEST_LINE =
  /^(?:CONNECT[ \t]+|[A-Za-z!#$%&'*+.^_`|~0-9-]+[ \t]+(?=[/*]|https?:\/\/))[^ \0-\x1f]+(?:[ \t]+HTTP\/(\d\.\d))?\r?$/;

/**
 * Judges first bytes.
 * @returns undefined: more are needed; null: a TLS record that holds no acceptable ClientHello
 */
export function classify(
  bytes: Uint8Array,
  http: boolean,
  tls = true,
): Omit<Sniffed, 'firstBytes' | 'ended'> | undefined | null {
  if (bytes.length === 0) return undefined;
  if (tls && looksLikeTls(bytes)) {
    const hello = readClientHello(bytes);
    if (hello === 'invalid') return null;
    if (hello === 'incomplete') return bytes.length > MAX_CLIENT_HELLO + 64 ? null : undefined;
    return { transportProtocol: 'tls', serverName: hello.serverName, applicationProtocols: hello.alpn };
  }
  const protocols = http ? httpProtocols(bytes) : [];
  return protocols && { transportProtocol: 'raw_buffer', serverName: '', applicationProtocols: protocols };
}

function httpProtocols(bytes: Uint8Array): string[] | undefined {
  const end = bytes.indexOf(10);
  if (end < 0 && bytes.length < MAX_REQUEST_LINE && bytes[0]! > 0x20 && bytes[0]! < 0x7f) return undefined;
  if (end < 0 || end > MAX_REQUEST_LINE) return [];
  let line = '';
  for (let i = 0; i < end; i++) line += String.fromCharCode(bytes[i]!);
  if (`${line}\n` === PREFACE) return ['h2c'];
  const found = REQUEST_LINE.exec(line);
  // As Envoy's inspector: what is HTTP and not 1.1 goes where HTTP/1.0 goes.
  return found ? [found[1] === '1.1' ? 'http/1.1' : 'http/1.0'] : [];
}

/**
 * Reads until the connection can be classified. Calls `done` once, or never when the connection closed or was closed.
 */
export function sniff(connection: Connection, plan: SniffPlan, done: (found: Sniffed) => void, gone: () => void): void {
  connection.handler = new Sniffer(connection, plan, done, gone);
}

class Sniffer implements ConnectionHandler {
  private readonly connection: Connection;
  private readonly plan: SniffPlan;
  private readonly done: (found: Sniffed) => void;
  private readonly gone: () => void;
  private readonly timer: ReturnType<typeof setTimeout> | undefined;
  private bytes: Uint8Array = NOTHING;
  private settled = false;

  constructor(connection: Connection, plan: SniffPlan, done: (found: Sniffed) => void, gone: () => void) {
    this.connection = connection;
    this.plan = plan;
    this.done = done;
    this.gone = gone;
    this.timer = plan.timeoutMs > 0 ? setTimeout(() => this.onTimeout(), plan.timeoutMs) : undefined;
  }

  onData(bytes: Uint8Array): void {
    const joined = new Uint8Array(this.bytes.length + bytes.length);
    joined.set(this.bytes);
    joined.set(bytes, this.bytes.length);
    this.bytes = joined;
    const found = classify(joined, this.plan.http, this.plan.tls);
    if (found === null) this.connection.destroy();
    else if (found) this.settle(found, false);
  }

  onDrain(): void {}

  /** The peer sent less than the inspectors wanted, and is done: decide on these bytes. */
  onEnd(): void {
    if (this.bytes.length === 0 || this.isTls()) this.connection.destroy();
    else this.settle(RAW, true);
  }

  onClose(): void {
    clearTimeout(this.timer);
    if (!this.settled) this.gone();
  }

  private onTimeout(): void {
    if (this.settled) return;
    this.plan.onTimeout?.();
    if (this.plan.continueOnTimeout && !this.isTls()) this.settle(RAW, false);
    else this.connection.destroy();
  }

  private isTls(): boolean {
    return this.plan.tls && looksLikeTls(this.bytes);
  }

  private settle(found: Omit<Sniffed, 'firstBytes' | 'ended'>, ended: boolean): void {
    this.settled = true;
    clearTimeout(this.timer);
    this.done({ ...found, firstBytes: this.bytes, ended });
  }
}

const RAW = { transportProtocol: 'raw_buffer', serverName: '', applicationProtocols: [] } as const;
