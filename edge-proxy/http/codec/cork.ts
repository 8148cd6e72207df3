/**
 * When connections write out what they have gathered: at the end of the batch of bytes during whose handling they gathered
 * it, whichever connection that batch came on; outside of a batch (a timer, a promise) in one microtask for all.
 */

export interface Corked {
  /** Writes out what was gathered. */
  uncork(): void;
}

let depth = 0;
/** Number of the batch. */
let batch = 0;
let scheduled = false;
/** The first `count` wait. An array that is emptied would be allocated again for the next batch. */
const waiting: (Corked | undefined)[] = [];
let count = 0;

/** Begins a batch. Batches nest; `endBatch` follows in any case. */
export function beginBatch(): void {
  if (depth++ === 0) batch++;
}

export function endBatch(): void {
  if (depth > 1) depth--;
  else writeOut();
}

/** A number that each batch has for itself, from its begin until what was gathered is written; 0: there is none. */
export function currentBatch(): number {
  return depth === 0 ? 0 : batch;
}

/** Has `one` uncorked soon; call it once until then. */
export function uncorkSoon(one: Corked): void {
  waiting[count++] = one;
  if (depth > 0 || scheduled) return;
  scheduled = true;
  queueMicrotask(writeOutLater);
}

function writeOutLater(): void {
  scheduled = false;
  if (depth > 0) return;
  batch++;
  writeOut();
}

function writeOut(): void {
  depth = 1;
  let at = 0;
  try {
    // Writing may make a connection gather again.
    while (at < count) {
      const one = waiting[at]!;
      waiting[at++] = undefined;
      one.uncork();
    }
  } finally {
    depth = 0;
    // What is left after an exception goes out with the next batch.
    if (at < count) waiting.copyWithin(0, at, count);
    count -= at;
  }
}
