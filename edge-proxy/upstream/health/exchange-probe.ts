/** Health checks by a request over HTTP/1.1 or HTTP/2, on a connection of their own, which is kept where that is allowed. */
import type { UpstreamConnection, UpstreamConnectionOwner, UpstreamProtocol } from '../../http/codec/codecs.ts';
import type { HeaderMap } from '../../http/message/header-map.ts';
import type { RequestHead, ResponseHead } from '../../http/message/message.ts';
import type { ResponseSink, UpstreamStream } from '../../http/message/stream.ts';
import { type Dialler, type Dialling, dial } from '../dial.ts';
import type { Host } from '../host.ts';
import { dialTarget, NO_TIMEOUT } from './dial-target.ts';
import { type CheckResult, type Probe, REFUSED, UNANSWERED } from './health-checker.ts';

/** Judges one response; each answers as soon as there is a verdict. */
export interface ResponseJudge {
  onHead(head: ResponseHead, end: boolean): CheckResult | undefined;
  /** @param bytes valid during the call alone */
  onData(bytes: Uint8Array, end: boolean): CheckResult | undefined;
  onTrailers(trailers: HeaderMap): CheckResult | undefined;
}

export interface ExchangeCheck {
  readonly protocol: UpstreamProtocol;
  head(host: Host, secure: boolean): RequestHead;
  /** undefined: none. */
  readonly body: Uint8Array | undefined;
  judge(): ResponseJudge;
  readonly reuseConnection: boolean;
}

export class ExchangeProbe implements Probe, UpstreamConnectionOwner, ResponseSink {
  private readonly target: Host;
  private readonly spec: ExchangeCheck;
  private readonly dialler: Dialler;
  private connection: UpstreamConnection | undefined;
  private secure = false;
  private stream: UpstreamStream | undefined;
  private dialling: Dialling | undefined;
  private done: ((result: CheckResult) => void) | undefined;
  private judge: ResponseJudge | undefined;
  /** The connection takes no request yet. */
  private waiting = false;

  constructor(target: Host, spec: ExchangeCheck, dialler: Dialler) {
    this.target = target;
    this.spec = spec;
    this.dialler = dialler;
  }

  check(done: (result: CheckResult) => void): () => void {
    this.done = done;
    if (this.isFree) this.ask();
    else this.dial();
    return () => {
      this.done = undefined;
      // What does not answer in time is not asked again on the same connection: it may be dead.
      this.close();
    };
  }

  private get isFree(): boolean {
    const { connection } = this;
    return connection !== undefined && connection.streams < connection.maxStreams;
  }

  close(): void {
    const { connection, dialling } = this;
    this.connection = undefined;
    this.dialling = undefined;
    this.stream = undefined;
    this.waiting = false;
    connection?.destroy();
    dialling?.cancel();
  }

  private dial(): void {
    this.close();
    const { protocol } = this.spec;
    const where = dialTarget(this.target, protocol.name);
    this.secure = where.tls !== undefined;
    this.dialling = dial(this.dialler, where.to, where.tls, NO_TIMEOUT, {
      onOpen: (opened) => {
        this.dialling = undefined;
        this.waiting = true;
        this.connection = protocol.connect(opened, this);
        this.onCapacity();
      },
      onFailed: () => this.finish(UNANSWERED),
    });
  }

  onCapacity(): void {
    if (!this.waiting || !this.isFree) return;
    this.waiting = false;
    this.ask();
  }

  private ask(): void {
    const { spec } = this;
    this.judge = spec.judge();
    const stream = this.connection!.open(this);
    this.stream = stream;
    stream.head(spec.head(this.target, this.secure), spec.body === undefined);
    if (spec.body !== undefined) stream.data(spec.body, true);
  }

  private finish(result: CheckResult): void {
    const { done, stream } = this;
    this.done = undefined;
    this.stream = undefined;
    this.judge = undefined;
    // A verdict before the end of the response: the rest is not waited for.
    stream?.reset('local_reset');
    if (!this.spec.reuseConnection || this.connection?.maxStreams === 0) this.close();
    done?.(result);
  }

  private conclude(verdict: CheckResult | undefined, end: boolean): void {
    if (verdict) this.finish(verdict);
    else if (end) this.finish(REFUSED);
  }

  onHead(head: ResponseHead, end: boolean): void {
    if (this.judge) this.conclude(this.judge.onHead(head, end), end);
  }

  onInterim(): void {}

  onData(bytes: Uint8Array, end: boolean): void {
    if (this.judge) this.conclude(this.judge.onData(bytes, end), end);
  }

  onTrailers(trailers: HeaderMap): void {
    if (this.judge) this.conclude(this.judge.onTrailers(trailers), true);
  }

  onWritable(): void {}

  onReset(): void {
    if (!this.judge) return;
    this.stream = undefined;
    this.finish(UNANSWERED);
  }

  onInternalError(): void {}

  /** Streams are reset after this call. */
  onClosed(): void {
    this.connection = undefined;
    if (!this.waiting) return;
    this.waiting = false;
    this.finish(UNANSWERED);
  }
}
