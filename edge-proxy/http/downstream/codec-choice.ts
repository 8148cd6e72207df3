/** Which codec a downstream connection gets, by the manager's codec_type, ALPN and the first bytes. */

import type { HttpConnectionManager } from '../../../shared/xds/http-connection-manager.ts';
import type { Connection, ConnectionHandler } from '../../runtime/runtime.ts';
import { concat } from '../codec/bytes.ts';
import type { DownstreamCodec, DownstreamOwner } from '../codec/codecs.ts';
import { Http1DownstreamConnection } from '../codec/h1/downstream-connection.ts';
import { Http2DownstreamConnection } from '../codec/h2/downstream-connection.ts';
import { CLIENT_PREFACE } from '../codec/h2/frames.ts';
import type { HttpVersion, ResponseHead } from '../message/message.ts';
import type { OutStream } from '../message/stream.ts';
import type { SessionConfig } from './manager-config.ts';
import type { OpenCodec } from './session.ts';

const openHttp1: OpenCodec = (connection, config, owner) => new Http1DownstreamConnection(connection, config, owner);

const openHttp2: OpenCodec = (connection, { http2 }, owner) => new Http2DownstreamConnection(connection, http2, owner);

/**
 * As Envoy: what ALPN has chosen, else the client preface of HTTP/2 (RFC 9113 section 3.4) in the first bytes. `istio` and the
 * like name no wire format.
 */
const openByPeer: OpenCodec = (connection, config, owner) => {
  const protocol = connection.tls?.alpn.replace(/^istio-/, '');
  if (protocol === 'h2') return openHttp2(connection, config, owner);
  if (protocol?.startsWith('http/1.')) return openHttp1(connection, config, owner);
  return new UndecidedCodec(connection, config, owner);
};

/** @param codecType of the HttpConnectionManager; undefined: AUTO. HTTP3 is refused where the config is compiled */
export function codecFor(codecType: HttpConnectionManager['codecType']): OpenCodec {
  if (codecType === 'HTTP1') return openHttp1;
  return codecType === 'HTTP2' ? openHttp2 : openByPeer;
}

/** The codec of a connection until its first bytes have come. */
class UndecidedCodec implements DownstreamCodec, ConnectionHandler {
  private readonly connection: Connection;
  private readonly config: SessionConfig;
  private readonly owner: DownstreamOwner;
  private chosen: DownstreamCodec | undefined = undefined;
  /** Bytes that may yet become the preface. */
  private held: Uint8Array | undefined = undefined;
  private closed = false;

  constructor(connection: Connection, config: SessionConfig, owner: DownstreamOwner) {
    this.connection = connection;
    this.config = config;
    this.owner = owner;
    connection.handler = this;
  }

  get version(): HttpVersion {
    return this.chosen?.version ?? 'HTTP/1.1';
  }

  get idle(): boolean {
    return this.chosen ? this.chosen.idle : this.held === undefined;
  }

  onData(bytes: Uint8Array): void {
    const all = this.held === undefined ? bytes : concat(this.held, bytes);
    const length = Math.min(all.length, CLIENT_PREFACE.length);
    for (let i = 0; i < length; i++) {
      if (all[i] === CLIENT_PREFACE[i]) continue;
      this.choose(openHttp1, all);
      return;
    }
    if (length === CLIENT_PREFACE.length) this.choose(openHttp2, all);
    else {
      this.held = all;
      this.owner.onPartialHead();
    }
  }

  private choose(open: OpenCodec, bytes: Uint8Array): void {
    const wasPartial = this.held !== undefined;
    this.held = undefined;
    this.chosen = open(this.connection, this.config, this.owner);
    if (wasPartial && open === openHttp2) this.owner.onPartialHeadOver();
    this.connection.handler.onData(bytes);
  }

  onDrain(): void {}

  onEnd(): void {
    this.destroy();
  }

  onClose(): void {
    this.destroy();
  }

  drain(): void {
    if (this.chosen) this.chosen.drain();
    else if (this.held === undefined) this.destroy();
    else this.choose(openHttp1, this.held);
  }

  /** What is no whole preface is answered as HTTP/1.1. */
  rejectHead(): OutStream<ResponseHead> {
    if (!this.chosen) this.choose(openHttp1, this.held ?? new Uint8Array(0));
    return this.chosen!.rejectHead();
  }

  destroy(): void {
    if (this.chosen) {
      this.chosen.destroy();
      return;
    }
    if (this.closed) return;
    this.closed = true;
    this.connection.destroy();
    this.owner.onClosed();
  }
}
