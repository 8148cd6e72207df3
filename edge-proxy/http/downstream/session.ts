/** One downstream connection, whatever protocol it speaks: its exchanges, idle times, and when it ends. */
import type { ConnectionFacts } from '../../listener/filter-chain.ts';
import type { Connection } from '../../runtime/runtime.ts';
import type { DownstreamCodec, DownstreamOwner } from '../codec/codecs.ts';
import { Exchange, type ExchangeOwner } from '../exchange/exchange.ts';
import type { CodecError } from '../message/codec-error.ts';
import type { RequestHead, ResponseHead } from '../message/message.ts';
import type { DownstreamStream, OutStream, RequestSink } from '../message/stream.ts';
import { configGone, overloaded } from '../request/local-reply.ts';
import type { ProxyRequest } from '../request/proxy-request.ts';
import type { DownstreamInfo, LocalReply } from '../request/request-context.ts';
import { LazyTimer } from '../request/timers.ts';
import type { SessionConfig } from './manager-config.ts';
import { bodyOf, composeRefusal, unansweredRequest } from './refusal.ts';

/** What the sessions of a connection manager have in common. */
export interface SessionGroup {
  readonly sessions: Set<Session>;
  /** Requests under way. */
  activeRequests: number;
}

/** Takes over a connection; the codec is chosen by what was negotiated on it. */
export type OpenCodec = (connection: Connection, config: SessionConfig, owner: DownstreamOwner) => DownstreamCodec;

const headTimeout: LocalReply = {
  status: 408,
  body: 'request header timeout',
  details: 'request_header_timeout',
};

/** How long an idle connection of HTTP/1 may still bring a request once its listener drains, in milliseconds. */
const DRAINED_IDLE_MS = 1000;

export class Session implements DownstreamOwner, ExchangeOwner {
  /** Both change where the config does, see ConnectionManager.handOverTo. */
  group: SessionGroup;
  config: SessionConfig;
  readonly downstream: DownstreamInfo;
  readonly facts: ConnectionFacts | undefined;
  private readonly codec: DownstreamCodec;
  /** Those under way; places are used again, as an array that is emptied would be allocated again for the next request. */
  private readonly exchanges: (Exchange | undefined)[] = [undefined];
  /** How many there are. */
  active = 0;
  private readonly timer: LazyTimer;
  private readonly openedAt: number;
  private served = 0;
  /** The time of the head that is partly read runs. */
  private headBegun = false;
  /** No config is left that could judge another request. */
  private configRemoved = false;

  constructor(
    group: SessionGroup,
    config: SessionConfig,
    connection: Connection,
    downstream: DownstreamInfo,
    facts: ConnectionFacts | undefined,
    openCodec: OpenCodec,
  ) {
    this.group = group;
    this.config = config;
    this.downstream = downstream;
    this.facts = facts;
    const { clock, timers } = config.exchange.router;
    this.timer = new LazyTimer(
      () => clock.monotonicMs(),
      () => this.onTimer(),
      timers.coarse,
    );
    this.openedAt = clock.monotonicMs();
    this.codec = openCodec(connection, config, this);
    this.onIdle();
  }

  /**
   * The listener drains: ends with the current responses. HTTP/1 has no other way to tell a client than a response, so an
   * idle connection stays for a moment: a request may be under way, and is answered with `connection: close`.
   */
  drain(): void {
    if (this.codec.version === 'HTTP/2') this.codec.drain();
    else if (this.codec.idle) this.onIdle();
  }

  /** The config that admitted it was removed. Ends now if no request is under way; one whose head is still coming is not served. */
  stopAfterCurrent(): void {
    this.configRemoved = true;
    this.codec.drain();
  }

  /** Closes at once. */
  destroy(): void {
    this.codec.destroy();
  }

  /** Applies the present timer scale to running timers. */
  applyTimerScale(): void {
    for (const exchange of this.exchanges) exchange?.applyTimerScale();
    if (this.codec.idle) this.timer.shorten(this.idleMs);
  }

  /** The exchanges under way. */
  get underWay(): readonly Exchange[] {
    return this.exchanges.filter((one) => one !== undefined);
  }

  private get idleMs(): number {
    const { overload, idleMs } = this.config;
    return overload.timers?.connectionIdle(idleMs) ?? idleMs;
  }

  admitsFirstBytes(): boolean {
    return !this.config.overload.firstBytes.sheds();
  }

  onRequest(stream: DownstreamStream, head: RequestHead, end: boolean): RequestSink {
    const { config } = this;
    this.headBegun = false;
    this.served++;
    this.timer.clear();
    if (this.reachedLimits() || this.endsForOverload()) this.codec.drain();
    const exchange = new Exchange(stream, head, end, this.downstream, config.exchange, this);
    this.add(exchange);
    if (this.configRemoved) exchange.reply(configGone);
    else if (config.overload.refusesRequest()) exchange.reply(overloaded);
    else exchange.start();
    return exchange;
  }

  private reachedLimits(): boolean {
    const { config } = this;
    const { maxRequestsPerConnection } = config;
    const maxMs = config.overload.timers?.connectionMax(config.maxConnectionMs) ?? config.maxConnectionMs;
    return (
      config.draining() ||
      (maxRequestsPerConnection > 0 && this.served >= maxRequestsPerConnection) ||
      (maxMs > 0 && config.exchange.router.clock.monotonicMs() - this.openedAt >= maxMs)
    );
  }

  private endsForOverload(): boolean {
    const { overload, stats } = this.config;
    if (!overload.endsConnection()) return false;
    if (stats) stats.overloadNoKeepAlive.value++;
    return true;
  }

  private add(exchange: Exchange): void {
    const free = this.exchanges.indexOf(undefined);
    if (free < 0) this.exchanges.push(exchange);
    else this.exchanges[free] = exchange;
    this.active++;
    this.group.activeRequests++;
  }

  exchangeEnded(exchange: Exchange): void {
    this.exchanges[this.exchanges.indexOf(exchange)] = undefined;
    this.active--;
    this.group.activeRequests--;
  }

  endsConnection(): boolean {
    return this.config.draining();
  }

  onIdle(): void {
    this.timer.set(this.config.draining() ? Math.min(this.idleMs || DRAINED_IDLE_MS, DRAINED_IDLE_MS) : this.idleMs);
  }

  onPartialHead(): void {
    if (this.headBegun) return;
    // The time of a head runs from its first byte.
    this.headBegun = true;
    const { requestHeadersMs } = this.config;
    // Without a time of its own it may take as long as the connection may be idle.
    if (requestHeadersMs > 0) this.timer.set(requestHeadersMs);
  }

  onPartialHeadOver(): void {
    if (!this.headBegun) return;
    this.headBegun = false;
    this.timer.clear();
    if (this.codec.idle) this.onIdle();
  }

  private onTimer(): void {
    if (this.headBegun) {
      this.headBegun = false;
      this.refuse(headTimeout, this.codec.rejectHead());
      return;
    }
    const { stats, draining } = this.config;
    if (stats && !draining()) stats.idleTimeout.value++;
    this.codec.drain();
  }

  /** As Envoy answers what is no request. */
  onMalformed(error: CodecError, stream: OutStream<ResponseHead>): void {
    this.headBegun = false;
    this.timer.clear();
    this.refuse({ status: error.status, body: bodyOf(error), details: error.details, flag: 'DPE' }, stream);
  }

  private refuse(made: LocalReply, stream: OutStream<ResponseHead>): void {
    const { exchange } = this.config;
    const nowMs = exchange.router.clock.monotonicMs();
    const { request, head, body } = composeRefusal(exchange, this.downstream, nowMs, made, this.codec.version);
    this.report(request, true);
    stream.head(head, body.length === 0);
    if (body.length > 0) stream.data(body, true);
  }

  onUnanswered(details: string, breaksProtocol: boolean): void {
    this.headBegun = false;
    this.timer.clear();
    const nowMs = this.config.exchange.router.clock.monotonicMs();
    this.report(unansweredRequest(this.downstream, nowMs, details, breaksProtocol ? 'DPE' : 'DR'), false);
  }

  private report(request: ProxyRequest, isAnswered: boolean): void {
    const { clock, events } = this.config.exchange.router;
    events.started?.(request);
    if (isAnswered) events.responseStarted?.(request);
    request.endMs = clock.monotonicMs();
    events.finished?.(request);
  }

  onInternalError(error: unknown): void {
    this.config.exchange.onInternalError(error);
  }

  onClosing(): void {
    this.timer.stop();
  }

  onClosed(): void {
    this.timer.stop();
    this.group.sessions.delete(this);
  }
}
