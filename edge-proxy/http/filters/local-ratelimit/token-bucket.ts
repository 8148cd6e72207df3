/** A token bucket that fills continuously, as Envoy's (AtomicTokenBucketImpl). */
export class TokenBucket {
  readonly max: number;
  /** Tokens a millisecond. */
  private readonly rate: number;
  private tokens: number;
  private filledMs: number;

  /**
   * It begins full.
   * @param fillMs milliseconds in which `perFill` tokens are added
   * @param nowMs milliseconds of any clock
   */
  constructor(max: number, perFill: number, fillMs: number, nowMs: number) {
    this.max = max;
    this.rate = perFill / fillMs;
    this.tokens = max;
    this.filledMs = nowMs;
  }

  /** Takes a token. @returns whether there was one */
  take(nowMs: number): boolean {
    this.fill(nowMs);
    if (this.tokens < 1) return false;
    this.tokens -= 1;
    return true;
  }

  /** Whole tokens that are left. */
  remaining(nowMs: number): number {
    this.fill(nowMs);
    return Math.floor(this.tokens);
  }

  /** Whole seconds until the next token, 0 where there is one. */
  secondsToToken(nowMs: number): number {
    this.fill(nowMs);
    return this.tokens >= 1 ? 0 : Math.ceil((1 - this.tokens) / this.rate / 1000);
  }

  /** A clock that is set back adds none, and takes none. */
  private fill(nowMs: number): void {
    const passed = nowMs - this.filledMs;
    this.filledMs = nowMs;
    if (passed > 0) this.tokens = Math.min(this.max, this.tokens + passed * this.rate);
  }
}
