/** How long the requests of a connection may take: to come (request_timeout), and altogether (max_stream_duration). */
import { LazyTimer } from '../timers.ts';

export interface LimitedStreams {
  /** The request takes longer to come than it may. */
  onRequestTooSlow(): void;
  /** Request and response take longer than they may. */
  onStreamTooLong(): void;
}

export class StreamLimits {
  private readonly clock: () => number;
  private readonly owner: LimitedStreams;
  private readonly request: LazyTimer;
  /** Most connections need none. */
  private longest: LazyTimer | undefined;

  /** @param clock monotonic milliseconds */
  constructor(clock: () => number, owner: LimitedStreams) {
    this.clock = clock;
    this.owner = owner;
    this.request = new LazyTimer(clock, () => owner.onRequestTooSlow());
  }

  /** A head has come. @param whole and with it the request */
  begin(
    { requestMs, maxStreamMs }: { readonly requestMs: number; readonly maxStreamMs: number },
    whole: boolean,
  ): void {
    if (requestMs > 0 && !whole) this.request.set(requestMs);
    if (maxStreamMs <= 0) return;
    this.longest ??= new LazyTimer(this.clock, () => this.owner.onStreamTooLong());
    this.longest.set(maxStreamMs);
  }

  requestWhole(): void {
    this.request.clear();
  }

  /** The response is whole, too. */
  end(): void {
    this.request.clear();
    this.longest?.clear();
  }

  stop(): void {
    this.request.stop();
    this.longest?.stop();
  }
}
