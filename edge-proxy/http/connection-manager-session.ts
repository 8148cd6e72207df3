/** One downstream HTTP/1.1 connection: its requests one after the other, keep-alive, timeouts, tunnels. */
import type { ConnectionFacts } from '../listener/filter-chain.ts';
import type { Connection, ConnectionHandler } from '../runtime/runtime.ts';
import { concat } from './codec/bytes.ts';
import { headText, MessageWriter } from './codec/encoder.ts';
import { CodecError } from './codec/error.ts';
import type { RequestHead } from './codec/message.ts';
import type { MessageSink } from './codec/parser.ts';
import { RequestParser } from './codec/parser.ts';
import type { ConnectionManager, ManagerParts } from './connection-manager.ts';
import { reasonOf } from './connection-manager-reasons.ts';
import { bodyOf, unknownHead } from './connection-manager-refusal.ts';
import type { DownstreamStream } from './downstream-stream.ts';
import { Exchange } from './exchange.ts';
import { Request } from './exchange-request.ts';
import { LazyTimer } from './exchange-timer.ts';
import { Headers } from './headers.ts';
import { configGone, overloaded, requestTimeout } from './local-reply.ts';
import type { DownstreamInfo } from './stream.ts';

/** Pipelined bytes that may wait while a request is answered; the runtime may deliver some after a pause. */
const maxStash = 1024 * 1024;

export class Session implements ConnectionHandler, MessageSink<RequestHead>, DownstreamStream {
  /** Both change where the config does, see ConnectionManager.succeed. */
  manager: ConnectionManager;
  parts: ManagerParts;
  private readonly connection: Connection;
  readonly downstream: DownstreamInfo;
  /** What its filter chain was chosen by. */
  readonly facts: ConnectionFacts | undefined;
  private readonly parser: RequestParser;
  private readonly writer: MessageWriter;
  private readonly timer: LazyTimer;
  private readonly overall: LazyTimer;
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

  constructor(
    manager: ConnectionManager,
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
    this.overall = new LazyTimer(clock, () => this.current?.reply(requestTimeout));
    this.openedAt = clock();
    this.timer.set(parts.idleMs);
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

  /** A request is under way. */
  get busy(): boolean {
    return this.current !== undefined;
  }

  onData(bytes: Uint8Array): void {
    if (this.closed || this.closing) return;
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
      if (!(error instanceof CodecError)) throw error;
      this.onFault(error);
      return;
    }
    this.consuming = false;
    this.current?.flushUpstream();
    this.writer.flush();
    this.setTimer();
  }

  private setTimer(): void {
    if (this.closed || this.closing) return;
    if (this.current) this.timer.set(this.current.idleTimeoutMs);
    else if (this.parser.complete || this.parser.idle) this.timer.set(this.parts.idleMs);
    // While a head trickles in, its time runs from its first byte.
    else if (!this.headBegun) {
      this.headBegun = true;
      this.timer.set(this.parts.requestHeadersMs);
    }
  }

  private headBegun = false;

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
    const { maxRequestsPerConnection, maxConnectionMs } = this.parts;
    if (
      !head.keepAlive ||
      this.parts.draining() ||
      (maxRequestsPerConnection > 0 && this.served >= maxRequestsPerConnection) ||
      (maxConnectionMs > 0 && this.parts.runtime.monotonicMs() - this.openedAt >= maxConnectionMs)
    ) {
      this.lastRequest = true;
    }
    const { overload, stats } = this.parts;
    if (overload.disableKeepAlive && !this.lastRequest) {
      this.lastRequest = true;
      if (stats) stats.overloadNoKeepAlive.value++;
    }
    const exchange = new Exchange(this, head, this.downstream, this.parts);
    this.current = exchange;
    this.manager.activeRequests++;
    if (this.parts.requestMs > 0 && !exchange.requestEnded) this.overall.set(this.parts.requestMs);
    if (this.parts.maxStreamMs > 0) this.limitStream(this.parts.maxStreamMs);
    if (this.retired) exchange.reply(configGone);
    else if (overload.stopAcceptingRequests) exchange.reply(overloaded);
    else exchange.start();
  }

  private longest: LazyTimer | undefined;

  private limitStream(ms: number): void {
    this.longest ??= new LazyTimer(
      () => this.parts.runtime.monotonicMs(),
      () => this.current?.onTooLong(),
    );
    this.longest.set(ms);
  }

  onBody(bytes: Uint8Array): void {
    this.current?.onRequestBody(bytes);
  }

  onMessageEnd(trailers: Headers | undefined): void {
    this.overall.clear();
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
    if (!exchange) {
      this.parser.idle || this.parser.complete ? this.close() : this.destroy();
      return;
    }
    this.lastRequest = true;
    // A half-closed client may still read its answer, but only when it has asked in full.
    if (!exchange.requestEnded) this.gone();
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
  private onFault(error: CodecError): void {
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
    const request = new Request(unknownHead(), this.downstream, this.parts.runtime.monotonicMs());
    request.details = details;
    if (protocolError) request.flag('DPE');
    const mapped = this.parts.mapReply?.(request, { status, body, details });
    request.responseCode = mapped?.status ?? status;
    const bytes = new TextEncoder().encode(mapped?.body ?? body);
    request.bytesSent = bytes.length;
    this.lastRequest = true;
    const headers = new Headers();
    headers.append('content-length', String(bytes.length), 'content-length');
    if (bytes.length > 0) headers.append('content-type', mapped?.contentType ?? 'text/plain', 'content-type');
    mapped?.editHeaders(headers);
    this.parts.headers.response(headers);
    const head = headText(`HTTP/1.1 ${request.responseCode} ${reasonOf(request.responseCode)}\r\n`, headers);
    this.writer.head(`${head}connection: close\r\n\r\n`, false);
    this.writer.body(bytes);
    this.parts.onFinished(request);
    this.close();
  }

  sendContinue(): void {
    if (!this.continueWanted) return;
    this.continueWanted = false;
    this.writer.head('HTTP/1.1 100 Continue\r\n\r\n', false);
    this.writer.flush();
  }

  sendInterim(status: number, reason: string, headers: Headers): void {
    headers.remove('content-length');
    this.writer.head(
      `${headText(`HTTP/1.1 ${status} ${reason === '' ? reasonOf(status) : reason}\r\n`, headers)}\r\n`,
      false,
    );
    this.writer.flush();
  }

  endWithThis(): void {
    this.lastRequest = true;
  }

  sendHead(status: number, reason: string, headers: Headers, length: number | undefined, last: boolean): void {
    const { head } = this.current!;
    // An answer to an unfinished request ends the connection: what is left of the request cannot be told apart.
    // One that wanted an upgrade may be followed by what was meant for the tunnel.
    if (!this.current!.requestEnded && (last || this.current!.local || head.upgrade !== '')) this.lastRequest = true;
    if (this.parts.draining()) this.lastRequest = true;
    const chunked = length === undefined && head.minor === 1;
    if (length === undefined && !chunked) this.lastRequest = true;
    let text = headText(`HTTP/1.1 ${status} ${reason === '' ? reasonOf(status) : reason}\r\n`, headers);
    if (chunked) text += 'transfer-encoding: chunked\r\n';
    if (this.lastRequest) text += 'connection: close\r\n';
    else if (head.minor === 0) text += 'connection: keep-alive\r\n';
    this.writer.head(`${text}\r\n`, chunked);
  }

  sendBody(bytes: Uint8Array): boolean {
    const room = this.writer.body(bytes);
    if (this.current) this.timer.set(this.current.idleTimeoutMs);
    return room;
  }

  sendEnd(trailers: Headers | undefined): void {
    this.writer.end(trailers);
  }

  flush(): void {
    if (!this.closed) this.writer.flush();
  }

  openTunnel(status: number, reason: string, headers: Headers, upgrade: string): void {
    this.tunnel = true;
    this.lastRequest = true;
    headers.remove('content-length');
    let text = headText(`HTTP/1.1 ${status} ${reason === '' ? reasonOf(status) : reason}\r\n`, headers);
    if (status === 101) text += `connection: upgrade\r\nupgrade: ${upgrade}\r\n`;
    this.writer.head(`${text}\r\n`, false);
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
    this.overall.clear();
    this.longest?.clear();
    this.manager.activeRequests--;
    if (this.closed) return;
    this.writer.flush();
    if (this.tunnel || this.lastRequest || !exchange.requestEnded) {
      this.close();
      return;
    }
    this.timer.set(this.parts.idleMs);
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

  private lingering: ReturnType<typeof setTimeout> | undefined;

  private destroy(): void {
    if (this.closed) return;
    this.connection.destroy();
    this.end();
  }

  private end(): void {
    if (this.closed) return;
    this.closed = true;
    this.timer.stop();
    this.overall.stop();
    this.longest?.stop();
    clearTimeout(this.lingering);
    this.manager.sessions.delete(this);
  }
}
