import { inflateRawSync } from 'node:zlib';
import { expect, it } from 'vitest';
import { shared } from '../compile/output/shared-resource.ts';
import { CompressedBlocks, runsOf } from './compressed-blocks.ts';

const cluster = (n: number) => shared('clusters', { name: `cluster-${n}` });
const content = (n: number) => Buffer.from(`content ${n} `.repeat(100));

it('keeps as many blocks as fit, those used last', () => {
  const [one, two, three] = [[cluster(1)], [cluster(2)], [cluster(3)]];
  const made: number[] = [];
  const counted = (n: number) => {
    made.push(n);
    return content(n);
  };
  const { length } = [...new CompressedBlocks().of(one, content(1).length, () => content(1))][0]!.bytes;
  const blocks = new CompressedBlocks(2 * length + length / 2);
  const use = (run: typeof one, n: number) =>
    [...blocks.of(run, content(n).length, () => counted(n))].map(({ bytes }) =>
      inflateRawSync(Buffer.concat([bytes, Uint8Array.of(3, 0)])).toString(),
    );
  expect(use(one, 1)).toEqual([content(1).toString()]);
  use(two, 2);
  use(one, 1);
  use(three, 3);
  expect(made).toEqual([1, 2, 3]);
  expect(blocks.size).toBeLessThanOrEqual(2 * length + length / 2);
  use(one, 1);
  use(two, 2);
  expect(made).toEqual([1, 2, 3, 2]);
});

it('cuts a large resource into several blocks, each kept by itself', () => {
  const large = Buffer.from(Array.from({ length: 200_000 }, (_, i) => i % 251));
  const blocks = new CompressedBlocks();
  let made = 0;
  const run = [cluster(1)];
  const counted = () => {
    made += 1;
    return large;
  };
  const all = () => [...blocks.of(run, large.length, counted)];
  expect(all().map(({ size }) => size)).toEqual([65_536, 65_536, 65_536, 200_000 - 3 * 65_536]);
  expect(all()).toHaveLength(4);
  expect(made).toBe(1);
});

it('ends runs at the same resources whatever is in front of them', () => {
  const list = Array.from({ length: 300 }, (_, n) => cluster(n));
  const ends = (runs: Iterable<readonly { name: string }[]>) => new Set([...runs].map((run) => run.at(-1)!.name));
  const whole = ends(runsOf(list));
  expect(whole.size).toBeGreaterThan(5);
  for (const end of ends(runsOf(list.slice(40)))) expect(whole).toContain(end);
  expect([...runsOf(list)].flat()).toEqual(list);
});
