/** Time that is read once a batch of bytes: reading the runtime's clocks costs as much as a header operation. */
import type { Clock } from '../../runtime/runtime.ts';
import { currentBatch } from './cork.ts';

class BatchClock implements Clock {
  private readonly clock: Clock;
  private batch = 0;
  private time = 0;

  constructor(clock: Clock) {
    this.clock = clock;
  }

  now(): number {
    return this.clock.now();
  }

  monotonicMs(): number {
    const batch = currentBatch();
    if (batch === 0) return this.clock.monotonicMs();
    if (batch !== this.batch) {
      this.batch = batch;
      this.time = this.clock.monotonicMs();
    }
    return this.time;
  }
}

const clocks = new WeakMap<Clock, Clock>();

/** A clock whose `monotonicMs` stands still while a batch is handled (see cork.ts); the same for the same clock. */
export function batchClock(clock: Clock): Clock {
  let made = clocks.get(clock);
  if (!made) clocks.set(clock, (made = new BatchClock(clock)));
  return made;
}
