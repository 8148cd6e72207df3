/** Memory for the bodies of requests that are being read, of all connections together. */
import { ApiError } from '../resources/status.ts';

const MIB = 1024 * 1024;

/** Bytes. A caller's share is more than any one body may have. */
const BUDGET = { total: 64 * MIB, perCaller: 16 * MIB };

interface Waiting {
  readonly caller: string;
  readonly bytes: number;
  readonly grant: () => void;
}

/**
 * A request reserves the size of its body before the first byte is read, so that what has begun can always be finished; one
 * for which there is no room waits, its body unread.
 */
export class BodyBudget {
  private readonly limits: { readonly total: number; readonly perCaller: number };
  private readonly used = new Map<string, number>();
  private total = 0;
  private waiting: Waiting[] = [];

  constructor(limits = BUDGET) {
    this.limits = limits;
  }

  /**
   * @param caller whose share it comes from; anonymous callers of one network have one share together
   * @param bytes of the body, or the most that it may have
   * @returns gives the memory back; call it once
   * @throws ApiError 503 when there is no room within `waitMs`
   */
  async reserve(caller: string, bytes: number, waitMs: number): Promise<() => void> {
    if (!this.fits(caller, bytes)) await this.room(caller, bytes, waitMs);
    else this.take(caller, bytes);
    return () => this.release(caller, bytes);
  }

  /** Bytes that are reserved now. */
  get reserved(): number {
    return this.total;
  }

  private room(caller: string, bytes: number, waitMs: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const waiting: Waiting = {
        caller,
        bytes,
        grant: () => {
          clearTimeout(timer);
          this.take(caller, bytes);
          resolve();
        },
      };
      const timer = setTimeout(() => {
        this.waiting = this.waiting.filter((other) => other !== waiting);
        const { total, perCaller } = this.limits;
        const limit = `${perCaller} bytes of one caller, ${total} of all`;
        reject(new ApiError(503, 'ServiceUnavailable', `the limit of request bodies in flight is reached (${limit})`));
      }, waitMs);
      this.waiting.push(waiting);
    });
  }

  private fits(caller: string, bytes: number): boolean {
    return this.total + bytes <= this.limits.total && (this.used.get(caller) ?? 0) + bytes <= this.limits.perCaller;
  }

  private take(caller: string, bytes: number): void {
    this.total += bytes;
    this.used.set(caller, (this.used.get(caller) ?? 0) + bytes);
  }

  private release(caller: string, bytes: number): void {
    this.total -= bytes;
    const left = (this.used.get(caller) ?? 0) - bytes;
    if (left > 0) this.used.set(caller, left);
    else this.used.delete(caller);
    // First come, first served, of those that fit.
    this.waiting = this.waiting.filter((waiting) => {
      if (!this.fits(waiting.caller, waiting.bytes)) return true;
      waiting.grant();
      return false;
    });
  }
}
