/** The questions of active health checks: an HTTP request, or bytes over TCP. */

import type { ResponseHead } from '../http/codec/h1/head.ts';
import type { Field } from '../http/codec/h2/static-table.ts';
import type { Connection, DialTarget, Runtime, TlsContext } from '../runtime/runtime.ts';
import { type CheckResult, PASSED, type Probe, REFUSED, UNANSWERED } from './health-checker.ts';
import type { Host } from './host.ts';
import type { PoolSide, StreamOwner, UpstreamStream } from './pool-connection.ts';
import { UpstreamConnection } from './pool-connection.ts';

export type Dialler = Pick<Runtime, 'connect'>;

/** Counts against the threshold, as if there were no answer. */
const AGAIN: CheckResult = { ...REFUSED, immediate: false };

/** Where a host is asked, and how: its secrets may be missing, and then nothing may be asked in plaintext. */
export function dialTarget({ address, port, healthCheck, tls }: Host): {
  to: DialTarget;
  tls: TlsContext | undefined;
} {
  return { to: { address, port: healthCheck.port || port }, tls: (healthCheck.tls ?? tls)() };
}

export interface HttpCheck {
  readonly method: string;
  readonly path: string;
  /** Beside Host; names in lower case for HTTP/2. */
  readonly fields: readonly Field[];
  /** A whole head with its empty line, for a host name. */
  head(host: string): string;
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
export class HttpProbe implements Probe, PoolSide, StreamOwner {
  private readonly target: Host;
  private readonly spec: HttpCheck;
  private readonly dialler: Dialler;
  private connection: UpstreamConnection | undefined;
  private raw: Connection | undefined;
  private idle = false;
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
    if (this.connection && this.idle) {
      this.idle = false;
      this.connection.lend(this);
    } else this.dial();
    return () => {
      this.done = undefined;
      this.close();
    };
  }

  close(): void {
    this.connection?.destroy();
    this.connection = undefined;
    this.raw?.destroy();
    this.raw = undefined;
    this.idle = false;
  }

  private dial(): void {
    this.close();
    const connection = new UpstreamConnection(this);
    this.connection = connection;
    let where: ReturnType<typeof dialTarget>;
    try {
      where = dialTarget(this.target);
    } catch {
      this.finish(UNANSWERED);
      return;
    }
    const { to, tls } = where;
    const handler = { onData() {}, onDrain() {}, onEnd() {}, onClose: () => this.finish(UNANSWERED) };
    this.raw = this.dialler.connect(to, tls, handler, (opened) => {
      if (this.connection !== connection) {
        opened.destroy();
        return;
      }
      this.raw = undefined;
      opened.handler = connection;
      connection.opened(opened);
      connection.lend(this);
    });
  }

  private finish(result: CheckResult): void {
    const { done } = this;
    this.done = undefined;
    if (!result.passed || !this.spec.reuseConnection) this.close();
    done?.(result);
  }

  onIdle(): void {
    this.idle = true;
  }

  onGone(connection: UpstreamConnection): void {
    if (this.connection !== connection) return;
    this.connection = undefined;
    this.idle = false;
  }

  onReady(stream: UpstreamStream): void {
    const { spec } = this;
    stream.sendHead(spec.method, spec.head(hostOf(spec, this.target)), false);
    stream.sendEnd(undefined);
    stream.flush();
  }

  onResponseHead(head: ResponseHead): void {
    this.verdict = judgeStatus(this.spec, head.status, head.headers.has('x-envoy-degraded'));
  }

  onInterim(): void {}

  onResponseBody(): void {}

  onResponseEnd(): void {
    this.finish(this.verdict ?? UNANSWERED);
  }

  onResponseFlush(): void {}

  onRequestDrain(): void {}

  onReset(): void {
    this.finish(UNANSWERED);
  }
}

export interface TcpCheck {
  /** Empty: a connection is enough. */
  readonly send: Uint8Array;
  /** Found in what comes back in this order, whatever stands between them. */
  readonly receive: readonly Uint8Array[];
}

/** An answer that is longer is not one. */
const longestAnswer = 64 * 1024;

export class TcpProbe implements Probe {
  private readonly target: Host;
  private readonly spec: TcpCheck;
  private readonly dialler: Dialler;
  private open: Connection | undefined;

  constructor(target: Host, spec: TcpCheck, dialler: Dialler) {
    this.target = target;
    this.spec = spec;
    this.dialler = dialler;
  }

  check(done: (result: CheckResult) => void): () => void {
    const { target, spec } = this;
    let over = false;
    const finish = (result: CheckResult) => {
      if (over) return;
      over = true;
      this.close();
      done(result);
    };
    let where: ReturnType<typeof dialTarget>;
    try {
      where = dialTarget(target);
    } catch {
      finish(UNANSWERED);
      return () => undefined;
    }
    const { to, tls } = where;
    let answer = new Uint8Array(0);
    const handler = {
      onData: (bytes: Uint8Array) => {
        const longer = new Uint8Array(answer.length + bytes.length);
        longer.set(answer);
        longer.set(bytes, answer.length);
        answer = longer;
        if (holdsInOrder(answer, spec.receive)) finish(PASSED);
        else if (answer.length > longestAnswer) finish(UNANSWERED);
      },
      onDrain() {},
      onEnd: () => finish(UNANSWERED),
      onClose: () => finish(UNANSWERED),
    };
    this.open = this.dialler.connect(to, tls, handler, (opened) => {
      if (over) {
        opened.destroy();
        return;
      }
      this.open = opened;
      if (spec.send.length > 0) opened.write(spec.send);
      if (spec.receive.length === 0) finish(PASSED);
    });
    return () => {
      over = true;
      this.close();
    };
  }

  close(): void {
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
