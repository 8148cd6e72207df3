/** How long TLS handshakes of a listener may take (a filter chain's transport_socket_connect_timeout). */
import type { ScaledTimers } from '../overload/scaled-timers.ts';

export class HandshakeTimers {
  private readonly running = new Set<HandshakeTimer>();
  private readonly clock: () => number;
  private readonly scales: () => ScaledTimers | undefined;

  /** @param clock monotonic milliseconds @param scales what shortens them under pressure */
  constructor(clock: () => number, scales: () => ScaledTimers | undefined) {
    this.clock = clock;
    this.scales = scales;
  }

  /** @param ms 0: no limit */
  begin(ms: number): HandshakeTimer {
    const timer = new HandshakeTimer(ms, this.clock(), this.running);
    this.arm(timer);
    return timer;
  }

  /** Under pressure those under way have less time, too. */
  applyTimerScale(): void {
    for (const timer of [...this.running]) this.arm(timer);
  }

  private arm(timer: HandshakeTimer): void {
    if (timer.ms <= 0) return;
    timer.arm((this.scales()?.handshake(timer.ms) ?? timer.ms) - (this.clock() - timer.startedAt));
  }
}

export class HandshakeTimer {
  readonly ms: number;
  readonly startedAt: number;
  private readonly running: Set<HandshakeTimer>;
  private readonly controller = new AbortController();
  private handle: ReturnType<typeof setTimeout> | undefined;

  constructor(ms: number, startedAt: number, running: Set<HandshakeTimer>) {
    this.ms = ms;
    this.startedAt = startedAt;
    this.running = running;
    running.add(this);
  }

  /** Aborted when the time is over. */
  get signal(): AbortSignal {
    return this.controller.signal;
  }

  arm(leftMs: number): void {
    clearTimeout(this.handle);
    this.handle = setTimeout(() => this.controller.abort(), Math.max(0, leftMs));
  }

  /** The handshake is over. */
  end(): void {
    clearTimeout(this.handle);
    this.running.delete(this);
  }
}
