import { expect, it } from 'vitest';
import { limitedLogBySource } from './limited-log.ts';

it('limits the lines of each source, and counts what is left out', () => {
  let now = 0;
  const lines: string[] = [];
  const log = limitedLogBySource(
    (message) => void lines.push(message),
    () => now,
    'issued documents',
    2,
  );
  for (let n = 0; n < 5; n++) log('spiffe://td/ns/a/sa/many', `many ${n}`);
  log('spiffe://td/ns/a/sa/one', 'one');
  expect(lines).toEqual(['many 0', 'many 1', 'one']);
  now = 10_000;
  log('spiffe://td/ns/a/sa/many', 'many 5');
  expect(lines.slice(3)).toEqual([
    '3 more issued documents of spiffe://td/ns/a/sa/many in the 10 s from 1970-01-01T00:00:00.000Z',
    'many 5',
  ]);
});

it('keeps a bounded number of sources apart', () => {
  const lines: string[] = [];
  const log = limitedLogBySource(
    (message) => void lines.push(message),
    () => 0,
    'issued documents',
    1,
  );
  for (let n = 0; n < 20_000; n++) log(`identity ${n}`, `${n}`);
  expect(lines).toHaveLength(10_001);
});
