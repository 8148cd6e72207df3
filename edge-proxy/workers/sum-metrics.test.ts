import { expect, it } from 'vitest';
import { sumExpositions, sumStats } from './sum-metrics.ts';

it('adds up samples of one name and label set, whatever is in their labels', () => {
  const one =
    '# HELP a Help.\n# TYPE a counter\na{x="p q",y="}"} 3\na{x="r"} 1\n# TYPE tulle_build_info gauge\ntulle_build_info{v="1"} 1\n';
  const two =
    '# HELP a Help.\n# TYPE a counter\na{x="p q",y="}"} 4.5\n# TYPE b gauge\nb 2\n# TYPE tulle_build_info gauge\ntulle_build_info{v="1"} 1\n';
  expect(sumExpositions([one, two])).toBe(
    '# HELP a Help.\n# TYPE a counter\na{x="p q",y="}"} 7.5\na{x="r"} 1\n# TYPE tulle_build_info gauge\ntulle_build_info{v="1"} 1\n# TYPE b gauge\nb 2\n',
  );
  expect(
    sumStats([
      [['b', 1]],
      [
        ['a', 2],
        ['b', 3],
      ],
    ]),
  ).toEqual([
    ['a', 2],
    ['b', 4],
  ]);
});
