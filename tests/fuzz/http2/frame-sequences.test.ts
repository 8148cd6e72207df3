import { expect, it } from 'vitest';
import { seed } from '../random.ts';
import { runSequence } from './frame-sequences.ts';

/** Frames; TULLE_FUZZ sets it. */
const FRAMES = Number(process.env['TULLE_FUZZ'] ?? 1_000_000);
/** A tenth of what a machine with other work does. */
const PER_SECOND = 3000;

it(
  `${FRAMES} frames, in sequences, end as they should`,
  async () => {
    console.log(`frame sequences: seed ${seed}`);
    const seen = { sequences: 0, goaways: 0, resets: 0, served: 0 };
    for (let frames = 0, i = 0; frames < FRAMES; i++) {
      const { outcome, failure, ...run } = await runSequence(seed + i);
      frames += run.frames;
      if (failure !== '') expect({ sequence: seed + i, failure, ...outcome }).toBe('no failure');
      seen.sequences++;
      if (outcome.goaway) seen.goaways++;
      if (Object.keys(outcome.resets).length > 0) seen.resets++;
      if (outcome.ended.length > 0) seen.served++;
    }
    // The sequences reach every way to end.
    expect(Math.min(seen.goaways, seen.resets, seen.served)).toBeGreaterThan(seen.sequences / 20);
  },
  Math.max(120_000, (FRAMES / PER_SECOND) * 1000),
);
