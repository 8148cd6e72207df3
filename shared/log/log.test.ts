import { describe, expect, it } from 'vitest';
import { escapeJson, escapeLines, escapeText } from './escape.ts';
import { type LogSettings, lineLog, logSettings } from './log.ts';

function written(settings: Partial<LogSettings>, use: (log: ReturnType<typeof lineLog>) => void): string[] {
  const lines: string[] = [];
  const now = () => Date.UTC(2026, 0, 31, 12);
  use(lineLog({ scope: 'tulle', format: 'text', level: 'info', ...settings, now, write: (line) => lines.push(line) }));
  return lines;
}

const HOSTILE = 'a\n2026-01-31T12:00:00.000Z error tulle: forged\u001b[2J\u009b2J\u202e"x"';

describe('log lines', () => {
  it('have time, level, program, message and fields', () => {
    const lines = written({}, (log) => {
      log('not renewed');
      log('proxy connected', 'info', { node: 'a~b', attempt: 2, text: 'two words', absent: undefined });
    });
    expect(lines).toEqual([
      '2026-01-31T12:00:00.000Z warn tulle: not renewed',
      '2026-01-31T12:00:00.000Z info tulle: proxy connected node=a~b attempt=2 text="two words"',
    ]);
  });

  it('are JSON with the names that Istio uses, which fields do not replace', () => {
    const [line] = written({ format: 'json' }, (log) => log('refused', 'error', { node: 'a', level: 'debug' }));
    expect(JSON.parse(line!)).toEqual({
      level: 'error',
      time: '2026-01-31T12:00:00.000Z',
      scope: 'tulle',
      msg: 'refused',
      node: 'a',
    });
  });

  it('are left out below the level', () => {
    const all = (log: ReturnType<typeof lineLog>) => {
      for (const level of ['error', 'warn', 'info', 'debug'] as const) log(level, level);
    };
    expect(written({ level: 'error' }, all)).toHaveLength(1);
    expect(written({ level: 'info' }, all)).toHaveLength(3);
    expect(written({ level: 'debug' }, all)).toHaveLength(4);
  });

  it.each(['text', 'json'] as const)('stay one line of plain characters, whatever they hold: %s', (format) => {
    const [line, ...more] = written({ format }, (log) => log(HOSTILE, 'warn', { node: HOSTILE, other: 'a\u009bb' }));
    expect(more).toEqual([]);
    expect(line).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u202e]/);
    if (format === 'json') expect(JSON.parse(line!)).toMatchObject({ msg: HOSTILE, node: HOSTILE });
  });

  it('take formats and levels by name only', () => {
    expect(logSettings('json', 'debug')).toEqual({ format: 'json', level: 'debug' });
    expect(() => logSettings('xml', 'info')).toThrow('--log-format xml: must be one of text, json');
    expect(() => logSettings('text', 'all')).toThrow('--log-level all: must be one of error, warn, info, debug');
  });
});

describe('text of others', () => {
  it('is shown with its unsafe characters escaped', () => {
    expect(escapeText('plain ü → 漢字')).toBe('plain ü → 漢字');
    expect(escapeText('a\tb\r\n\u001b[31m\u007f\u009b\u2028\u202e')).toBe(
      'a\\tb\\r\\n\\u001b[31m\\u007f\\u009b\\u2028\\u202e',
    );
    expect(escapeLines('a\n\u001bb')).toBe('a\n\\u001bb');
    expect(JSON.parse(escapeJson(JSON.stringify(HOSTILE)))).toBe(HOSTILE);
  });
});
