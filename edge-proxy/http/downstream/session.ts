/** One downstream HTTP/1.1 connection: its requests one after the other, keep-alive, timeouts, tunnels. */
import type { ConnectionFacts } from '../../listener/filter-chain.ts';
import type { Connection, ConnectionHandler } from '../../runtime/runtime.ts';
import { concat } from '../codec/bytes.ts';
import { CodecError } from '../codec/error.ts';
import type { RequestHead } from '../codec/h1/head.ts';
import { MessageWriter } from '../codec/h1/message-writer.ts';
import type { MessageSink } from '../codec/h1/parser.ts';
import { RequestParser } from '../codec/h1/parser.ts';
import { framedHeadText, responseHeadText, tunnelHeadText } from '../codec/h1/response-head-text.ts';
import { Exchange } from '../exchange/exchange.ts';
import { configGone, overloaded, requestTimeout } from '../local-reply.ts';
import type { HeaderMap } from '../message/header-map.ts';
import type { DownstreamInfo } from '../stream.ts';
import { LazyTimer } from '../timers.ts';
import type { DownstreamStream, SessionOwner } from './downstream-stream.ts';
import type { ManagerParts } from './manager-config.ts';
import { connectionIdleMs, endsConnection, maxStash, streamIdleMs } from './persistence.ts';
import { bodyOf, composeRefusal } from './refusal.ts';
import { StreamLimits } from './stream-limits.ts';

export class Session implements ConnectionHandler, MessageSink<RequestHead>, DownstreamStream {
  /** Both change where the config does, see ConnectionManager.succeed. */
  manager: SessionOwner<Session>;
  parts: ManagerParts;
  private readonly connection: Connection;
  readonly downstream: DownstreamInfo;
  readonly facts: ConnectionFacts | undefined;
  private readonly parser: RequestParser;
  private readonly writer: MessageWriter;
  private readonly timer: LazyTimer;
  private readonly limits: StreamLimits;
  private readonly openedAt: number;
  private current: Exchange | undefined;
  /** Bytes behind the request that is being answered. */
  private stash: Uint8Array | undefined;
  private consuming = false;
  private served = 0;
  private continueWanted = false;
  /** The connection ends with the current response. */
  private lastRequest = false;
  /** Nothing more is read as HTTP; the connection is on its way out. */
  private closing = false;
  private closed = false;
  /** No config is left that could judge another request. */
  private retired = false;
  private peerEnded = false;
  private tunnel = false;
  private tunnelEnded = false;
  private headBegun = false;
  private lingering: ReturnType<typeof setTimeout> | undefined;

  constructor(
    manager: SessionOwner<Session>,
    parts: ManagerParts,
    connection: Connection,
    downstream: DownstreamInfo,
    facts: ConnectionFacts | undefined,
  ) {
    this.facts = facts;
    this.manager = manager;
    this.parts = parts;
    this.connection = connection;
    this.downstream = downstream;
    this.parser = new RequestParser(this, parts.limits);
    this.writer = new MessageWriter(connection);
    const clock = () => parts.runtime.monotonicMs();
    this.timer = new LazyTimer(clock, () => this.onTimer(), parts.timers.coarse);
    this.limits = new StreamLimits(clock, this);
    this.openedAt = clock();
    this.timer.set(connectionIdleMs(parts));
  }

  /** Ends now if no request is under way, else with the current response. */
  drain(): void {
    this.lastRequest = true;
    if (!this.current && (this.parser.idle || this.parser.complete)) this.close();
  }

  /** The config that admitted it is gone: as `drain`, and a request whose head is still coming is not served. */
  retire(): void {
    this.retired = true;
    this.drain();
  }

  get busy(): boolean {
    return this.current !== undefined;
  }

  onData(bytes: Uint8Array): void {
    if (this.closed || this.closing) return;
    if (this.served === 0 && this.parser.idle && this.parts.overload.firstBytes.sheds()) {
      this.destroy();
      return;
    }
    if (this.stash) {
      if (this.stash.length + bytes.length > maxStash) {
        this.gone();
        return;
      }
      this.stash = concat(this.stash, bytes);
      return;
    }
    this.consume(bytes);
  }

  /** What is kept of heads and bodies is copied. */
  onLent(bytes: Uint8Array): void {
    this.onData(bytes);
  }

  private consume(bytes: Uint8Array): void {
    this.consuming = true;
    let at = 0;
    try {
      while (at < bytes.length && !this.closing && !this.closed) {
        if (this.parser.complete) {
          if (this.current) {
            this.stash = new Uint8Array(bytes.subarray(at));
            this.connection.pause();
            break;
          }
          this.parser.next();
        }
        at = this.parser.execute(bytes, at);
      }
    } catch (error) {
      this.consuming = false;
      if (error instanceof CodecError) {
        this.refuseMalformed(error);
        return;
      }
      this.parts.onFault(error);
      throw error;
    }
    this.consuming = false;
    this.current?.flushUpstream();
    this.writer.flush();
    this.setTimer();
  }

  private setTimer(): void {
    if (this.closed || this.closing) return;
    if (this.current) this.timer.set(streamIdleMs(this.parts, this.current.idleTimeoutMs));
    else if (this.parser.complete || this.parser.idle) this.timer.set(connectionIdleMs(this.parts));
    // While a head trickles in, its time runs from its first byte.
    else if (!this.headBegun) {
      this.headBegun = true;
      this.timer.set(this.parts.requestHeadersMs);
    }
  }

  /** Times have become shorter, the one that runs too. */
  rescale(): void {
    if (this.current) this.timer.shorten(streamIdleMs(this.parts, this.current.idleTimeoutMs));
    else if (this.parser.complete || this.parser.idle) this.timer.shorten(connectionIdleMs(this.parts));
  }

  private onTimer(): void {
    if (this.current) {
      this.current.onIdle();
      this.flush();
      return;
    }
    if (this.parser.idle || this.parser.complete) {
      if (this.parts.stats) this.parts.stats.idleTimeout.value++;
      this.close();
      return;
    }
    this.refuse(408, 'request header timeout', 'request_header_timeout', false);
  }

  onHead(head: RequestHead): void {
    this.headBegun = false;
    this.served++;
    this.continueWanted = head.expectContinue;
    if (endsConnection(head, this.parts, this.served, this.openedAt)) this.lastRequest = true;
    const { overload, stats } = this.parts;
    if (!this.lastRequest && overload.endsConnection()) {
      this.lastRequest = true;
      if (stats) stats.overloadNoKeepAlive.value++;
    }
    const exchange = new Exchange(this, head, this.downstream, this.parts);
    this.current = exchange;
    this.manager.activeRequests++;
    this.limits.begin(this.parts, exchange.requestEnded);
    if (this.retired) exchange.reply(configGone);
    else if (overload.refusesRequest()) exchange.reply(overloaded);
    else exchange.start();
  }

  onRequestTooSlow(): void {
    this.current?.reply(requestTimeout);
  }

  onStreamTooLong(): void {
    this.current?.onTooLong();
  }

  onBody(bytes: Uint8Array): void {
    this.current?.onRequestBody(bytes);
  }

  onMessageEnd(trailers: HeaderMap | undefined): void {
    this.limits.requestWhole();
    this.current?.onRequestEnd(trailers);
  }

  onDrain(): void {
    this.current?.onDownstreamDrain();
  }

  onEnd(): void {
    if (this.closed) return;
    this.peerEnded = true;
    if (this.tunnel) {
      this.current?.onTunnelEnd();
      return;
    }
    if (this.closing) {
      this.destroy();
      return;
    }
    const exchange = this.current;
    this.lastRequest = true;
    if (!exchange) this.parser.idle || this.parser.complete ? this.close() : this.destroy();
    // A half-closed client may still read its answer, but only when it has asked in full.
    else if (!exchange.requestEnded) this.gone();
  }

  onClose(): void {
    if (this.closed) return;
    this.gone();
    this.end();
  }

  private gone(): void {
    this.current?.onDownstreamGone('DC', 'downstream_remote_disconnect');
    this.destroy();
  }

  /** The client sent what cannot be understood: answer as Envoy does, log it, close. */
  private refuseMalformed(error: CodecError): void {
    if (this.current) {
      const exchange = this.current;
      if (!exchange.responseStarted) {
        this.lastRequest = true;
        exchange.reply({ status: error.status, body: 'Bad Request', details: error.details, flag: 'DPE' });
        this.flush();
        return;
      }
      exchange.onDownstreamGone('DPE', error.details);
      this.destroy();
      return;
    }
    this.refuse(error.status, bodyOf(error), error.details, true);
  }

  /** Answers a request of which no head is known. */
  private refuse(status: number, body: string, details: string, protocolError: boolean): void {
    const refusal = composeRefusal(this.parts, this.downstream, status, body, details, protocolError);
    this.lastRequest = true;
    this.writer.head(refusal.head, false);
    this.writer.body(refusal.body);
    this.parts.onFinished(refusal.request);
    this.close();
  }

  sendContinue(): void {
    if (!this.continueWanted) return;
    this.continueWanted = false;
    this.writer.head('HTTP/1.1 100 Continue\r\n\r\n', false);
    this.writer.flush();
  }

  sendInterim(status: number, reason: string, headers: HeaderMap): void {
    headers.remove('content-length');
    this.writer.head(`${responseHeadText(status, reason, headers)}\r\n`, false);
    this.writer.flush();
  }

  endWithThis(): void {
    this.lastRequest = true;
  }

  sendHead(status: number, reason: string, headers: HeaderMap, length: number | undefined, last: boolean): void {
    const { head } = this.current!;
    // An answer to an unfinished request ends the connection: what is left of the request cannot be told apart.
    // One that wanted an upgrade may be followed by what was meant for the tunnel.
    if (!this.current!.requestEnded && (last || this.current!.local || head.upgrade !== '')) this.lastRequest = true;
    const chunked = length === undefined && head.minor === 1;
    if ((length === undefined && !chunked) || this.parts.draining()) this.lastRequest = true;
    const persistence = this.lastRequest ? 'close' : head.minor === 0 ? 'keep-alive' : '';
    this.writer.head(framedHeadText(status, reason, headers, chunked, persistence), chunked);
  }

  sendBody(bytes: Uint8Array): boolean {
    const room = this.writer.body(bytes);
    if (this.current) this.timer.set(streamIdleMs(this.parts, this.current.idleTimeoutMs));
    return room;
  }

  sendEnd(trailers: HeaderMap | undefined): void {
    this.writer.end(trailers);
  }

  flush(): void {
    if (!this.closed) this.writer.flush();
  }

  openTunnel(status: number, reason: string, headers: HeaderMap, upgrade: string): void {
    this.tunnel = true;
    this.lastRequest = true;
    headers.remove('content-length');
    this.writer.head(tunnelHeadText(status, reason, headers, upgrade), false);
    this.writer.flush();
    this.parser.becomeTunnel();
    this.releaseStash();
    if (this.peerEnded) this.current?.onTunnelEnd();
  }

  endTunnel(): void {
    if (this.tunnelEnded || this.closed) return;
    this.tunnelEnded = true;
    this.writer.flush();
    this.connection.end();
  }

  pauseRequest(): void {
    this.connection.pause();
  }

  resumeRequest(): void {
    if (!this.stash) this.connection.resume();
  }

  abort(): void {
    if (this.closed) return;
    this.writer.flush();
    this.destroy();
  }

  /** The exchange has finished: go on with the next request, or close. */
  done(): void {
    const exchange = this.current;
    if (!exchange) return;
    this.current = undefined;
    this.limits.end();
    this.manager.activeRequests--;
    if (this.closed) return;
    this.writer.flush();
    if (this.tunnel || this.lastRequest || !exchange.requestEnded) {
      this.close();
      return;
    }
    this.timer.set(connectionIdleMs(this.parts));
    if (this.consuming) return;
    this.connection.resume();
    this.releaseStash();
  }

  private releaseStash(): void {
    const stash = this.stash;
    if (!stash || this.consuming) return;
    this.stash = undefined;
    this.connection.resume();
    this.consume(stash);
  }

  /** Sends what is left, then FIN; a peer that does not close in turn is cut off. */
  private close(): void {
    if (this.closed || this.closing) return;
    this.closing = true;
    this.stash = undefined;
    this.writer.flush();
    this.connection.resume();
    this.connection.end();
    if (this.peerEnded && this.connection.buffered === 0) return;
    this.timer.stop();
    this.lingering = setTimeout(() => this.destroy(), this.parts.delayedCloseMs);
  }

  private destroy(): void {
    if (this.closed) return;
    this.connection.destroy();
    this.end();
  }

  private end(): void {
    if (this.closed) return;
    this.closed = true;
    this.timer.stop();
    this.limits.stop();
    clearTimeout(this.lingering);
    this.manager.sessions.delete(this);
  }
}
