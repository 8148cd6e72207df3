/**
 * When connections write out what they have gathered: at the end of the batch of bytes during whose handling they gathered
 * it, whichever connection that batch came on; outside of a batch (a timer, a promise) in one microtask for all.
 */

export interface Corked {
  /** Writes out what was gathered. */
  uncork(): void;
}

let depth = 0;
let scheduled = false;
let waiting: Corked[] = [];
let spare: Corked[] = [];

/** Begins a batch. Batches nest; `endBatch` follows in any case. */
export function beginBatch(): void {
  depth++;
}

export function endBatch(): void {
  if (depth > 1) depth--;
  else writeOut();
}

/** Has `one` uncorked soon; call it once until then. */
export function uncorkSoon(one: Corked): void {
  waiting.push(one);
  if (depth > 0 || scheduled) return;
  scheduled = true;
  queueMicrotask(writeOutLater);
}

function writeOutLater(): void {
  scheduled = false;
  if (depth === 0) writeOut();
}

function writeOut(): void {
  depth = 1;
  try {
    // Writing may make a connection gather again.
    while (waiting.length > 0) {
      const now = waiting;
      waiting = spare;
      spare = now;
      for (let i = 0; i < now.length; i++) now[i]!.uncork();
      now.length = 0;
    }
  } finally {
    depth = 0;
  }
}
