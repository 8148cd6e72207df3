/** The questions of active health checks: an HTTP request, or bytes over TCP. */

import { concat } from '../../http/codec/bytes.ts';
import type { UpstreamConnection, UpstreamConnectionOwner } from '../../http/codec/codecs.ts';
import { http1 } from '../../http/codec/h1/upstream-connection.ts';
import type { Field } from '../../http/codec/h2/fields.ts';
import type { RequestHead, ResponseHead } from '../../http/message/message.ts';
import type { ResponseSink } from '../../http/message/stream.ts';
import type { Connection, DialTarget, TlsContext } from '../../runtime/runtime.ts';
import type { TlsPurpose } from '../cluster.ts';
import { type Dialler, type Dialling, dial } from '../dial.ts';
import type { Host } from '../host.ts';
import { type CheckResult, PASSED, type Probe, REFUSED, UNANSWERED } from './health-checker.ts';

/** A dial ends with its check, whose time the health checker limits. */
export const NO_TIMEOUT = 0;

/** Counts against the threshold, as if there were no answer. */
const AGAIN: CheckResult = { ...REFUSED, immediate: false };

/** Where a host is asked, and how: its secrets may be missing, and then nothing may be asked in plaintext. */
export function dialTarget(
  { address, port, healthCheck, tls }: Host,
  purpose: TlsPurpose,
): { to: DialTarget; tls: TlsContext | undefined } {
  return { to: { address, port: healthCheck.port || port }, tls: (healthCheck.tls ?? tls)(purpose) };
}

export interface HttpCheck {
  readonly method: string;
  readonly path: string;
  /** Beside Host; names in lower case for HTTP/2. */
  readonly fields: readonly Field[];
  /** The request for a host name. */
  head(host: string): RequestHead;
  /** '' : the endpoint's, else the cluster's name. */
  readonly host: string;
  readonly clusterName: string;
  readonly expected: (status: number) => boolean;
  /** Statuses that count against the threshold like a failure to connect. */
  readonly retriable: (status: number) => boolean;
  readonly reuseConnection: boolean;
}

/** The host name that a check asks for. */
export function hostOf({ host, clusterName }: HttpCheck, target: Host): string {
  return target.healthCheck.hostname || host || clusterName;
}

export function judgeStatus(spec: HttpCheck, status: number, degraded: boolean): CheckResult {
  if (spec.expected(status)) return degraded ? { ...PASSED, degraded } : PASSED;
  return spec.retriable(status) ? AGAIN : REFUSED;
}

/** One request at a time on a connection of its own, which is kept for the next where the peer allows. */
export class HttpProbe implements Probe, UpstreamConnectionOwner, ResponseSink {
  private readonly target: Host;
  private readonly spec: HttpCheck;
  private readonly dialler: Dialler;
  private connection: UpstreamConnection | undefined;
  private dialling: Dialling | undefined;
  private done: ((result: CheckResult) => void) | undefined;
  private verdict: CheckResult | undefined;

  constructor(target: Host, spec: HttpCheck, dialler: Dialler) {
    this.target = target;
    this.spec = spec;
    this.dialler = dialler;
  }

  check(done: (result: CheckResult) => void): () => void {
    this.done = done;
    this.verdict = undefined;
    const { connection } = this;
    if (connection && connection.streams < connection.maxStreams) this.ask(connection);
    else this.dial();
    return () => {
      this.done = undefined;
      this.close();
    };
  }

  close(): void {
    this.connection?.destroy();
    this.dialling?.cancel();
    this.dialling = undefined;
  }

  private dial(): void {
    this.close();
    let where: ReturnType<typeof dialTarget>;
    try {
      where = dialTarget(this.target, 'http1');
    } catch {
      this.finish(UNANSWERED);
      return;
    }
    this.dialling = dial(this.dialler, where.to, where.tls, NO_TIMEOUT, {
      onOpen: (opened) => {
        const connection = http1.connect(opened, this);
        this.connection = connection;
        this.ask(connection);
      },
      onFailed: () => this.finish(UNANSWERED),
    });
  }

  private ask(connection: UpstreamConnection): void {
    connection.open(this).head(this.spec.head(hostOf(this.spec, this.target)), true);
  }

  private finish(result: CheckResult): void {
    const { done } = this;
    this.done = undefined;
    if (!result.passed || !this.spec.reuseConnection) this.close();
    done?.(result);
  }

  onCapacity(): void {}

  onClosed(): void {
    this.connection = undefined;
  }

  onHead(head: ResponseHead, end: boolean): void {
    this.verdict = judgeStatus(this.spec, head.status, head.headers.has('x-envoy-degraded'));
    if (end) this.conclude();
  }

  onInterim(): void {}

  onData(_bytes: Uint8Array, end: boolean): void {
    if (end) this.conclude();
  }

  onTrailers(): void {
    this.conclude();
  }

  private conclude(): void {
    this.finish(this.verdict ?? UNANSWERED);
  }

  onWritable(): void {}

  onReset(): void {
    this.finish(UNANSWERED);
  }

  onInternalError(): void {}
}

export interface TcpCheck {
  /** Empty: a connection is enough. */
  readonly send: Uint8Array;
  /** Texts that the answer must contain in this order, with any bytes between them. */
  readonly receive: readonly Uint8Array[];
}

/** An answer that is longer is not one. */
const longestAnswer = 64 * 1024;

export class TcpProbe implements Probe {
  private readonly target: Host;
  private readonly spec: TcpCheck;
  private readonly dialler: Dialler;
  private open: Connection | undefined;
  private dialling: Dialling | undefined;

  constructor(target: Host, spec: TcpCheck, dialler: Dialler) {
    this.target = target;
    this.spec = spec;
    this.dialler = dialler;
  }

  check(done: (result: CheckResult) => void): () => void {
    let over = false;
    const finish = (result: CheckResult) => {
      if (over) return;
      over = true;
      this.close();
      done(result);
    };
    let where: ReturnType<typeof dialTarget>;
    try {
      where = dialTarget(this.target, 'raw');
    } catch {
      finish(UNANSWERED);
      return () => undefined;
    }
    this.dialling = dial(this.dialler, where.to, where.tls, NO_TIMEOUT, {
      onOpen: (opened) => this.exchange(opened, finish),
      onFailed: () => finish(UNANSWERED),
    });
    return () => {
      over = true;
      this.close();
    };
  }

  private exchange(opened: Connection, finish: (result: CheckResult) => void): void {
    const { spec } = this;
    let answer: Uint8Array = new Uint8Array(0);
    this.open = opened;
    opened.handler = {
      onData: (bytes: Uint8Array) => {
        answer = concat(answer, bytes);
        if (holdsInOrder(answer, spec.receive)) finish(PASSED);
        else if (answer.length > longestAnswer) finish(UNANSWERED);
      },
      onDrain() {},
      onEnd: () => finish(UNANSWERED),
      onClose: () => finish(UNANSWERED),
    };
    if (spec.send.length > 0) opened.write(spec.send);
    if (spec.receive.length === 0) finish(PASSED);
  }

  close(): void {
    this.dialling?.cancel();
    this.dialling = undefined;
    this.open?.destroy();
    this.open = undefined;
  }
}

function holdsInOrder(bytes: Uint8Array, parts: readonly Uint8Array[]): boolean {
  let from = 0;
  for (const part of parts) {
    const at = indexOf(bytes, part, from);
    if (at < 0) return false;
    from = at + part.length;
  }
  return true;
}

function indexOf(bytes: Uint8Array, part: Uint8Array, from: number): number {
  for (let at = from; at + part.length <= bytes.length; at++) {
    let same = 0;
    while (same < part.length && bytes[at + same] === part[same]) same++;
    if (same === part.length) return at;
  }
  return -1;
}
