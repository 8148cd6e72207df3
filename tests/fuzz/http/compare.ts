/** One sample through both parsers: what the proxy's says beyond llhttp, and where cutting the bytes changes it. */
import { fromLatin1 } from '../../../edge-proxy/http/codec/bytes.ts';
import type { Sample, Side } from './generate.ts';
import { sample } from './generate.ts';
import { Llhttp } from './llhttp.ts';
import { read } from './ours.ts';
import { type Random, seeded } from './random.ts';
import { excess, type Transcript } from './transcript.ts';

const theirs: Readonly<Record<Side, Llhttp>> = { request: new Llhttp('request'), response: new Llhttp('response') };

export interface Verdict {
  /** undefined: the parsers agree. */
  readonly difference: string | undefined;
  /** Messages that both took. */
  readonly accepted: number;
}

export function compare(given: Sample, random: Random): Verdict {
  const bytes = fromLatin1(given.text);
  const mine = read(given.side, bytes, given.method, []);
  const cut = read(given.side, bytes, given.method, cuts(bytes.length, random));
  const split = unlike(mine, cut);
  if (split !== undefined) return { difference: split, accepted: 0 };
  // What is refused at once needs no second opinion.
  if (mine.messages.length === 0 && mine.error !== undefined) return { difference: undefined, accepted: 0 };
  return {
    difference: excess(mine, theirs[given.side].read(bytes, given.method)),
    accepted: mine.messages.filter(({ end }) => end !== undefined).length,
  };
}

function cuts(length: number, random: Random): number[] {
  // Now and then every byte by itself.
  if (random.next(64) === 0) return Array.from({ length: Math.max(0, length - 1) }, (_, i) => i + 1);
  return Array.from({ length: 1 + random.next(4) }, () => random.next(length + 1)).sort((a, b) => a - b);
}

function unlike(whole: Transcript, cut: Transcript): string | undefined {
  if (whole.error !== cut.error) return `cut: error ${cut.error} instead of ${whole.error}`;
  return JSON.stringify(whole.messages) === JSON.stringify(cut.messages) ? undefined : 'cut: other messages';
}

export interface Difference {
  readonly seed: number;
  readonly why: string;
  readonly sample: Sample;
}

export interface Result {
  readonly samples: number;
  readonly accepted: number;
  readonly differences: readonly Difference[];
}

/** Compares `count` samples, of the seeds `from` on. Stops at the eighth difference. */
export function run(from: number, count: number, onProgress?: (done: number) => void): Result {
  const differences: Difference[] = [];
  let accepted = 0;
  let done = 0;
  for (; done < count && differences.length < 8; done++) {
    if (onProgress && done % 100_000 === 0) onProgress(done);
    const random = seeded(from + done);
    const given = sample(random);
    const verdict = compare(given, random);
    accepted += verdict.accepted;
    if (verdict.difference !== undefined)
      differences.push({ seed: from + done, why: verdict.difference, sample: given });
  }
  return { samples: done, accepted, differences };
}
