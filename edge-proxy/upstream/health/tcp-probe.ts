/** Health checks by bytes over TCP. */
import { concat } from '../../http/codec/bytes.ts';
import type { Connection } from '../../runtime/runtime.ts';
import { type Dialler, type Dialling, dial } from '../dial.ts';
import type { Host } from '../host.ts';
import { dialTarget, NO_TIMEOUT } from './dial-target.ts';
import { type CheckResult, PASSED, type Probe, UNANSWERED } from './health-checker.ts';

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
    const where = dialTarget(this.target, 'raw');
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
