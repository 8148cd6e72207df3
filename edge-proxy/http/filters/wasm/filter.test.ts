import { expect, it } from 'vitest';
import { Wasm } from '../../../../shared/xds/filters/wasm.ts';
import { contextOf, requestDouble } from '../../testing/request-double.ts';
import type { FilterUse } from '../definition.ts';
import { wasm } from './index.ts';

const REFUSAL = { status: 503, body: '', details: 'wasm_fail_stream' };

it.each([
  [{}, true],
  [{ failurePolicy: 'FAIL_CLOSED' }, true],
  [{ failurePolicy: 'FAIL_RELOAD' }, true],
  [{ failurePolicy: 'FAIL_CLOSED', failOpen: true }, true],
  [{ failurePolicy: 'FAIL_OPEN' }, false],
  [{ failOpen: true }, false],
])('a module that is not run, with %j: refused %s', (config, closed) => {
  const lines: string[] = [];
  const env = { warn: (line: string) => void lines.push(line) };
  const hooks = wasm.create(Wasm.parse({ config: { name: 'shop.p', ...config } }), {
    env,
    routeConfig: () => undefined,
  } as unknown as FilterUse<unknown>);
  const context = contextOf(requestDouble({ path: '/' }));
  expect(hooks?.onRequestHead?.(context, true)).toEqual(closed ? REFUSAL : undefined);
  expect(hooks?.stillAllows?.(context) ?? true).toBe(!closed);
  expect(lines).toEqual([
    expect.stringContaining(closed ? 'shop.p is not run: its requests are answered 503' : 'pass without it'),
  ]);
});
