import { describe, expect, it } from 'vitest';
import { nackedResources, nackMessage } from './nack.ts';

describe('reasons of a NACK', () => {
  it('are read as they were written, also where a name begins another', () => {
    const names = ['a', 'a: b', 'outbound|80||a.b.svc', 'outbound|80||a.b.svc: c', 'fine'];
    const reasons = new Map(names.slice(0, 4).map((name) => [name, `not: ${name}: good`]));
    expect(nackedResources(nackMessage(reasons), names)).toEqual(reasons);
  });

  it('are those of all names when the message names none', () => {
    expect(nackedResources('no: way', ['a', 'b'])).toEqual(
      new Map([
        ['a', 'no: way'],
        ['b', 'no: way'],
      ]),
    );
    expect(nackedResources('', [])).toEqual(new Map());
  });

  it('of a long message about many names take no longer than its length', () => {
    const names = Array.from({ length: 20_000 }, (_, at) => `${': '.repeat(at % 60)}name-${at}`);
    const message = `${': '.repeat(150)}x\n`.repeat(3000);
    const started = process.cpuUsage();
    expect(nackedResources(message, names).size).toBe(20_000);
    // Comparing each line with each name takes more than this for each hundred lines.
    expect(process.cpuUsage(started).user / 1000).toBeLessThan(2000);
  });
});
