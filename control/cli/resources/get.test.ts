import { expect, it, vi } from 'vitest';
import type { ControlApi } from '../connection.ts';
import { get } from './get.ts';

it('pauses before it begins a watch again that the server ended at once', async () => {
  const write = vi.spyOn(process.stdout, 'write').mockReturnValue(true);
  const began: number[] = [];
  const api = {
    request: async () => ({ status: 200, warnings: [], body: { metadata: { resourceVersion: '1' }, items: [] } }),
    async *lines() {
      began.push(performance.now());
      if (began.length === 3) throw new Error('enough');
      yield { type: 'BOOKMARK', object: { metadata: { resourceVersion: '1' } } };
    },
  } as unknown as ControlApi;
  const options = { namespace: 'shop', allNamespaces: false, output: 'table', watch: true, noHeaders: false };
  await expect(get(api, ['virtualservices'], { ...options, ignoreNotFound: false })).rejects.toThrow('enough');
  write.mockRestore();
  expect(began[2]! - began[0]!).toBeGreaterThan(1900);
});
