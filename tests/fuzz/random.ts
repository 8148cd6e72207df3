/** A seeded source of chance: the same seed gives the same run on every machine. */

/** Printed with every fuzz run; `TULLE_FUZZ_SEED` repeats one. */
export const seed = Number(process.env['TULLE_FUZZ_SEED'] ?? 20_261);

/** How many times the usual number of runs: `TULLE_FUZZ_RUNS=10` takes ten times as long. */
export const runsFactor = Math.max(1, Number(process.env['TULLE_FUZZ_RUNS'] ?? 1));

export class Random {
  #state: number;
  constructor(start: number) {
    this.#state = start >>> 0;
  }

  /** 0 inclusive to 1 exclusive (mulberry32). */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  }

  below(n: number): number {
    return Math.floor(this.next() * n);
  }

  chance(probability: number): boolean {
    return this.next() < probability;
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)] as T;
  }
}
