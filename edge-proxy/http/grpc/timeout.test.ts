import { describe, expect, it } from 'vitest';
import { formatGrpcTimeout, parseGrpcTimeout } from './timeout.ts';

describe('grpc-timeout', () => {
  it.each([
    ['5S', 5000],
    ['1500m', 1500],
    ['1u', 1],
    ['1n', 1],
    ['2M', 120_000],
    ['1H', 3_600_000],
    ['0m', 0],
    ['99999999H', 359_999_996_400_000],
    ['123456789m', undefined],
    ['-1m', undefined],
    ['1.5S', undefined],
    ['1s', undefined],
    ['5', undefined],
    ['', undefined],
  ])('%s', (text, expected) => expect(parseGrpcTimeout(text)).toBe(expected));

  it.each([
    [1500.9, '1500m'],
    [99_999_999, '99999999m'],
    [1e8, '100000S'],
    [2e8, '200000S'],
    [2e11, '3333333M'],
    [1e13, '2777777H'],
    [1e18, '99999999H'],
  ])('%d ms are written in at most eight digits', (ms, expected) => expect(formatGrpcTimeout(ms)).toBe(expected));
});
