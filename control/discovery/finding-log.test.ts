import { beforeEach, expect, it } from 'vitest';
import type { Finding } from '../compile/output/finding.ts';
import { FindingLog } from './finding-log.ts';

const finding = (message: string): Finding => ({
  about: { apiVersion: 'networking.istio.io/v1', kind: 'VirtualService', metadata: { name: 'a', namespace: 'shop' } },
  reason: 'RuleWithoutEffect',
  message,
});
const line = (message: string) => `config: VirtualService shop/a: ${message}`;
const lines: string[] = [];
const [one, two] = [{}, {}];
let log: FindingLog;
beforeEach(() => {
  lines.length = 0;
  log = new FindingLog((text) => void lines.push(text));
});

it('has what several sessions find once', () => {
  log.report(one, [finding('x'), finding('x')]);
  log.report(two, [finding('x'), finding('y')]);
  log.report(one, [finding('x')]);
  expect(lines).toEqual([line('x'), line('y')]);
});

it('has what returns again, once no session had it any more', () => {
  for (const session of [one, two]) log.report(session, [finding('x')]);
  log.report(one, []);
  log.report(one, [finding('x')]);
  expect(lines).toEqual([line('x')]);
  for (const session of [one, two]) log.report(session, []);
  log.report(two, [finding('x')]);
  expect(lines).toEqual([line('x'), line('x')]);
});

it('does not repeat a finding for the next session of a proxy', () => {
  log.report(one, [finding('x')]);
  log.forget(one);
  log.report(two, [finding('x')]);
  expect(lines).toEqual([line('x')]);
  log.report(two, []);
  log.report(two, [finding('x')]);
  expect(lines).toHaveLength(2);
});

it('remembers so many, and makes room of those that no session has', () => {
  const many = Array.from({ length: 1200 }, (_, i) => finding(String(i)));
  log.report(one, many);
  expect(lines).toHaveLength(1000);
  log.report(two, [finding('more')]);
  expect(lines).toHaveLength(1000);
  log.forget(one);
  log.report({}, [finding('another')]);
  expect(lines.at(-1)).toBe(line('another'));
});
