import { describe, expect, it } from 'vitest';
import { kinds, validate } from '../../../shared/resources/index.ts';
import { memoryStore } from '../../store/memory.ts';
import { createApi } from '../app.ts';
import { AGGREGATED_TYPE, wantsAggregated } from './aggregated-discovery.ts';
import { customResourceDefinition } from './custom-resources.ts';
import { reviewKinds } from './review-kinds.ts';

/** What client-go sends. */
const ACCEPT =
  'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json';

interface Discovery {
  items: {
    metadata: { name: string };
    versions: { version: string; resources: { resource: string; responseKind: { kind: string }; scope: string }[] }[];
  }[];
}

describe('aggregated discovery', () => {
  const api = createApi({
    store: memoryStore(),
    kinds: { kinds, validate },
    isAdmin: (token) => token === 'admin',
    version: '0',
  });
  const get = (path: string, accept: string) =>
    api.request(path, { headers: { authorization: 'Bearer admin', accept } });

  it('names every resource of every version in two answers', async () => {
    const answers = await Promise.all(['/api', '/apis'].map((path) => get(path, ACCEPT)));
    for (const answer of answers) expect(answer.headers.get('content-type')).toBe(AGGREGATED_TYPE);
    const lists = (await Promise.all(answers.map((answer) => answer.json()))) as Discovery[];
    const found = lists.flatMap(({ items }) =>
      items.flatMap(({ metadata, versions }) =>
        versions.flatMap(({ version, resources }) =>
          resources.map(({ resource, scope }) => [metadata.name, version, resource, scope].join(' ')),
        ),
      ),
    );
    const served = [...kinds, ...reviewKinds, customResourceDefinition].flatMap(
      ({ group, versions, plural, namespaced }) =>
        versions.map((version) => [group, version, plural, namespaced ? 'Namespaced' : 'Cluster'].join(' ')),
    );
    expect(found.sort()).toEqual(served.sort());
    expect(lists[1]?.items.map(({ metadata }) => metadata.name)).toEqual([
      ...new Set([...kinds, ...reviewKinds, customResourceDefinition].map((kind) => kind.group).filter(Boolean)),
    ]);
  });

  it.each(['application/json', '*/*', 'application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList'])(
    'answers %s in the plain form',
    async (accept) => {
      expect(wantsAggregated(accept)).toBe(false);
      const answer = await get('/apis', accept);
      expect(answer.headers.get('content-type')).toMatch(/^application\/json(;charset=UTF-8)?$/i);
      expect(await answer.json()).toMatchObject({ kind: 'APIGroupList' });
    },
  );

  it('is for the admin alone', async () => {
    expect((await api.request('/apis', { headers: { accept: ACCEPT } })).status).toBe(401);
  });
});
