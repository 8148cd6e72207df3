import { expect, it } from 'vitest';
import { ChangeLog } from './change-log.ts';

const change = (kind: string, ...keys: string[]) => ({ resources: new Map([[kind, new Set(keys)]]) });

it('names what was written since a step, each resource once', () => {
  const log = new ChangeLog();
  log.add(change('VirtualService', 'shop/a'));
  const { step } = log;
  expect(log.since(step)).toBe('');
  log.add(change('VirtualService', 'shop/b'));
  expect(log.since(step)).toBe('VirtualService shop/b');
  log.add(change('Sidecar', 'shop/b', 'pay/c'));
  log.add(change('VirtualService', 'shop/b'));
  expect(log.since(step)).toBe('VirtualService shop/b, Sidecar shop/b, Sidecar pay/c');
  expect(log.since(step + 2)).toBe('VirtualService shop/b');
  log.add(change('WorkloadEntry', 'shop/d', 'shop/e'));
  expect(log.since(step)).toBe('VirtualService shop/b, Sidecar shop/b, Sidecar pay/c and 2 more');
});

it('keeps neither all changes nor all names', () => {
  const log = new ChangeLog();
  log.add(change('Sidecar', ...Array.from({ length: 5000 }, (_, i) => `shop/${i}`)));
  expect(log.since(0)).toBe('Sidecar shop/0, Sidecar shop/1, Sidecar shop/2 and over 97 more');
  for (let i = 0; i < 65; i++) log.add(change('Sidecar', `shop/${i}`));
  expect(log.since(1)).toBe('more than 64 changes of the mesh');
  expect(log.since(2)).toBe('Sidecar shop/1, Sidecar shop/2, Sidecar shop/3 and 61 more');
});
