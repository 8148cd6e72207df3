import { beforeEach, expect, it } from 'vitest';
import { kinds, validate } from '../../../shared/resources/index.ts';
import { memoryStore } from '../../store/memory.ts';
import type { ResourceStore } from '../../store/store.ts';
import { resourceApi } from './resources.ts';
import { respondToError } from './status.ts';

const PATH = '/api/v1/namespaces/shop/configmaps';
const COUNT = 120;
let store: ResourceStore;

function apiOf(collectionMs?: number) {
  const app = resourceApi({
    store,
    kinds: { kinds, validate },
    protectedNamespaces: [],
    report: (error) => {
      throw error;
    },
    collectionMs,
  });
  app.onError(respondToError(() => {}));
  return app;
}
const remove = async (query = '', collectionMs?: number, signal: AbortSignal | null = null) => {
  const answer = await apiOf(collectionMs).request(`${PATH}${query}`, { method: 'DELETE', signal });
  return { status: answer.status, headers: answer.headers, body: (await answer.json()) as Record<string, unknown> };
};
const left = async () => (await store.list({ kind: { group: '', plural: 'configmaps' } })).items.length;

beforeEach(async () => {
  store = memoryStore();
  const namespace = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop' } };
  await store.create({ group: '', plural: 'namespaces', namespace: '', name: 'shop' }, namespace);
  for (let i = 0; i < COUNT; i++) {
    const metadata = { name: `c${i}`, namespace: 'shop' };
    const key = { group: '', plural: 'configmaps', namespace: 'shop', name: `c${i}` };
    await store.create(key, { apiVersion: 'v1', kind: 'ConfigMap', metadata });
  }
});

it('deletes a collection whole', async () => {
  const { status, body } = await remove();
  expect([status, (body['items'] as unknown[]).length, await left()]).toEqual([200, COUNT, 0]);
});

it('deletes a part, and says how many are left', async () => {
  const { body } = await remove('?limit=100');
  expect((body['items'] as unknown[]).length).toBe(100);
  expect(body['metadata']).toMatchObject({ remainingItemCount: 20 });
  const rest = await remove('?limit=100');
  expect(rest.body['metadata']).not.toHaveProperty('remainingItemCount');
  expect(await left()).toBe(0);
  expect(await remove('?limit=1&continue=abc')).toMatchObject({
    status: 400,
    body: { message: expect.stringMatching(/^continue: is not supported for a deletion/) },
  });
});

it('ends after its time, and says how many were deleted', async () => {
  const { status, headers, body } = await remove('', 0);
  expect(status).toBe(504);
  expect(body).toMatchObject({ reason: 'Timeout', message: expect.stringContaining(`49 of ${COUNT} were deleted`) });
  expect(headers.get('retry-after')).toBe('1');
  expect(await left()).toBe(COUNT - 49);
});

it('ends when the client has disconnected', async () => {
  await remove('', undefined, AbortSignal.abort()).catch(() => {});
  expect(await left()).toBeGreaterThan(0);
});

it('lets other requests have their turn', async () => {
  let turns = 0;
  const timer = setInterval(() => turns++, 0);
  await remove();
  clearInterval(timer);
  expect(turns).toBeGreaterThan(0);
});
