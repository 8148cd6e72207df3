import { describe, expect, it } from 'vitest';
import { internalErrorLog } from './internal-error-log.ts';

function thrower(): never {
  throw new TypeError('authorization: Bearer abc\n    is not what it should be');
}

function caught(): unknown {
  try {
    return thrower();
  } catch (error) {
    return error;
  }
}

describe('internal error log', () => {
  it("tells an error's name and place, never its text", () => {
    const lines: string[] = [];
    internalErrorLog(
      'listener a',
      (line) => lines.push(line),
      () => 0,
    )(caught());
    expect(lines).toEqual([
      expect.stringMatching(
        /^listener a: a request failed within the proxy: TypeError at thrower \(.*internal-error-log\.test\.ts:\d+:\d+\), caught/,
      ),
    ]);
    expect(lines[0]).not.toContain('Bearer');
  });

  it('writes one line in ten seconds, and then how many there were', () => {
    let now = 0;
    const lines: string[] = [];
    const report = internalErrorLog(
      'listener a',
      (line) => lines.push(line),
      () => now,
    );
    for (let i = 0; i < 5; i++) report('text');
    expect(lines).toHaveLength(1);
    now = 10_000;
    report(new Error('x'));
    expect(lines[1]).toMatch(/\(and 4 more before\)$/);
  });
});
