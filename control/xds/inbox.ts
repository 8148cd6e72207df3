/** Requests of a stream that wait for the next poll. */
import type { DeltaDiscoveryRequest } from '../../shared/xds/discovery.ts';

/** A client that sends more without reading what it is sent is not read any more. */
const MOST = 64;

export class Inbox {
  private requests: DeltaDiscoveryRequest[] = [];
  private room: (() => void) | undefined;
  private arrived: (() => void) | undefined;
  private ended = false;
  private failure: unknown;
  private readonly onArrival: () => void;

  /** @param onArrival called for each request, and at the end */
  constructor(onArrival: () => void) {
    this.onArrival = onArrival;
  }

  /** Whether `take` gives something, or the end. */
  get isDue(): boolean {
    return this.requests.length > 0 || this.ended;
  }

  /** Resolves when another one may come. */
  async add(request: DeltaDiscoveryRequest): Promise<void> {
    this.addAtOnce(request);
    if (this.requests.length < MOST) return;
    await new Promise<void>((resolve) => {
      this.room = resolve;
    });
  }

  addAtOnce(request: DeltaDiscoveryRequest): void {
    this.requests.push(request);
    this.wake();
  }

  /** @param failure why there are no more; undefined: the client has said all */
  end(failure?: unknown): void {
    this.ended = true;
    this.failure ??= failure;
    this.wake();
  }

  /** All that has come. @returns undefined at the end @throws what ended it */
  take(): DeltaDiscoveryRequest[] | undefined {
    if (this.failure !== undefined) throw this.failure;
    if (this.ended && this.requests.length === 0) return undefined;
    const taken = this.requests;
    this.requests = [];
    this.room?.();
    this.room = undefined;
    return taken;
  }

  /** Resolves when something has come. */
  async due(): Promise<void> {
    if (this.isDue) return;
    await new Promise<void>((resolve) => {
      this.arrived = resolve;
    });
  }

  private wake(): void {
    this.arrived?.();
    this.arrived = undefined;
    this.onArrival();
  }
}
