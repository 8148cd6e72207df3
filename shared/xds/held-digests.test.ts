import { describe, expect, it } from 'vitest';
import { bucketOf, bucketTexts, HELD_BUCKETS } from './held-digests.ts';

describe('buckets of held names', () => {
  it('are the FNV-1a hash modulo 64', () => {
    // Offset basis, and the published test vectors of 32-bit FNV-1a for "a" and "foobar".
    expect([bucketOf(''), bucketOf('a'), bucketOf('foobar')]).toEqual([
      0x811c9dc5 % 64,
      0xe40c292c % 64,
      0xbf9cf968 % 64,
    ]);
  });

  it('take about as many names each', () => {
    const counts = new Array<number>(HELD_BUCKETS).fill(0);
    for (let i = 0; i < 6400; i++) counts[bucketOf(`outbound|9080||service-${i}.default.svc.cluster.local`)]!++;
    expect(Math.min(...counts)).toBeGreaterThan(50);
    expect(Math.max(...counts)).toBeLessThan(160);
  });

  it('do not depend on the order, and tell names from versions', () => {
    const [a, b] = [
      { name: 'a', version: '1' },
      { name: 'b', version: '2' },
    ];
    expect(bucketTexts([a, b])).toEqual(bucketTexts([b, a]));
    expect(bucketTexts([{ name: 'a', version: '1\n["x","2"]' }])).not.toEqual(
      bucketTexts([a, { name: 'x', version: '2' }]),
    );
    expect(bucketTexts([]).every((text) => text === '')).toBe(true);
  });
});
