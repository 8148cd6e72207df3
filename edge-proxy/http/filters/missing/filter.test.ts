import { expect, it } from 'vitest';
import { contextOf, requestDouble } from '../../testing/request-double.ts';
import type { FilterUse } from '../definition.ts';
import { missing } from './index.ts';

it('refuses every request, and logs which filter is missing', () => {
  const lines: string[] = [];
  const env = { warn: (line: string) => void lines.push(line) };
  const use = { env, routeConfig: () => undefined } as unknown as FilterUse<unknown>;
  const hooks = missing.create({ filter: 'acme.waf', reason: 'unsupported type "acme.Waf"' }, use);
  const context = contextOf(requestDouble({ path: '/' }));
  expect(hooks?.onRequestHead?.(context, true)).toEqual({ status: 503, body: '', details: 'filter_missing' });
  expect(hooks?.stillAllows?.(context)).toBe(false);
  expect(lines).toEqual([
    'HTTP filter acme.waf is not run (unsupported type "acme.Waf"): its requests are answered 503',
  ]);
});
