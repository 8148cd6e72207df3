import { expect, it } from 'vitest';
import { coverageFindings, coverageText } from './coverage.ts';

const record = { capture: true, dns: true, group: 'web', ports: { http: 8080, again: 8080, admin: 90 }, ipv6: false };

it('says at the join what is captured', () => {
  expect(coverageText(record)).toBe('all TCP that applications send, names, and what arrives at 90, 8080');
  expect(coverageText({ ...record, dns: false, ports: {} })).toMatch(
    /^all TCP that applications send; nothing that arrives: WorkloadGroup "web" had no ports .*template\.ports/,
  );
  expect(coverageText({ ...record, group: undefined, ports: {} })).toMatch(/; nothing that arrives$/);
  expect(coverageText({ ...record, capture: false })).toMatch(/^nothing: /);
});

it('finds that IPv6 was enabled after the join', () => {
  const of = (ipv6: boolean, now: boolean) => coverageFindings({ ...record, ipv6 }, now)[0];
  expect(of(false, true)).toMatchObject({ result: 'error', hint: expect.stringContaining('tulle leave') });
  for (const [then, now] of [
    [false, false],
    [true, true],
    [true, false],
  ] as const)
    expect(of(then, now)).toMatchObject({ result: 'success' });
});

it('warns of a group without ports', () => {
  const of = (more: object) => coverageFindings({ ...record, ...more }, false)[1];
  expect(of({ ports: {} })).toMatchObject({ result: 'warning', error: expect.stringContaining('had no ports') });
  expect(of({})).toMatchObject({ result: 'success' });
  expect(of({ group: undefined, ports: {} })).toBeUndefined();
});
