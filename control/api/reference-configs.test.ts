/** Istio's samples and the configurations of its tests, applied whole through the API and compiled for every workload. */
import { describe, expect, it } from 'vitest';
import { kindOf, kinds, splitApiVersion, validate } from '../../shared/resources/index.ts';
import type { Resource } from '../../shared/resources/resource.ts';
import { RESOURCE_TYPES, SCHEMAS } from '../../shared/xds/discovery.ts';
import { compileWithNotes } from '../compile/node/node.ts';
import { notCompiled } from '../compile/node/not-compiled.ts';
import { type Collection, collections } from '../compile/testing/inputs/collections.ts';
import { viewOf } from '../compile/testing/inputs/input.ts';
import { hasReference } from '../compile/testing/reference.ts';
import { memoryStore } from '../store/memory.ts';
import { createApi, createInitialNamespaces } from './app.ts';
import { warningHeader } from './resources/warning-header.ts';

const available = ['samples', 'corpus'].every(hasReference);

/** Kinds of Kubernetes that a mesh needs no store for, and those of the Gateway API and Ingress, which have no reader yet. */
const NOT_SERVED = new Set(['Deployment', 'HTTPRoute', 'Ingress']);
/** The Gateway API has a kind of that name, too. */
const isForeignGateway = ({ others }: Collection) => others.includes('Gateway');

async function apiOf({ resources }: Collection) {
  const store = memoryStore();
  await createInitialNamespaces(store);
  const api = createApi({ store, kinds: { kinds, validate }, isAdmin: (token) => token === 'admin', version: '0.1.0' });
  const post = async (path: string, body: unknown) => {
    const headers = { authorization: 'Bearer admin', 'content-type': 'application/json' };
    const response = await api.request(path, { method: 'POST', headers, body: JSON.stringify(body) });
    return { status: response.status, warnings: response.headers.get('warning') ?? '', text: await response.text() };
  };
  for (const name of new Set(resources.map(({ metadata }) => metadata.namespace)))
    await post('/api/v1/namespaces', { apiVersion: 'v1', kind: 'Namespace', metadata: { name } });
  return { store, post };
}

function pathOf({ apiVersion, kind, metadata }: Resource): string {
  const { group, version } = splitApiVersion(apiVersion);
  const root = group === '' ? `/api/${version}` : `/apis/${group}/${version}`;
  return `${root}/namespaces/${metadata.namespace}/${kindOf(apiVersion, kind)!.plural}`;
}

/** Applies all. @returns the resources as stored */
async function applied(collection: Collection): Promise<Resource[]> {
  const { store, post } = await apiOf(collection);
  for (const resource of collection.resources) {
    const { status, warnings, text } = await post(pathOf(resource), resource);
    expect(status, `${resource.kind} ${resource.metadata.name}: ${text}`).toBe(201);
    const stored = JSON.parse(text) as Resource;
    // Nothing is without effect but what is reported.
    for (const each of notCompiled(stored)) expect(warnings).toContain(warningHeader(each));
  }
  const { items } = await store.list({});
  return items;
}

describe.skipIf(!available)('real configurations', () => {
  const files = available ? collections() : [];

  it('are all there', () => {
    expect(files).toHaveLength(96);
    const others = new Set(files.filter((one) => !isForeignGateway(one)).flatMap(({ others }) => others));
    expect([...others].filter((kind) => !NOT_SERVED.has(kind))).toEqual([]);
  });

  it.each(files.map((one) => [one.label, one] as const))('%s', async (_label, collection) => {
    const view = viewOf(await applied(collection));
    for (const node of collection.nodes) {
      const { snapshot } = compileWithNotes(view, node);
      expect(snapshot.clusters?.length).toBeGreaterThan(0);
      for (const type of RESOURCE_TYPES)
        for (const resource of snapshot[type] ?? [])
          expect(SCHEMAS[type].safeParse(resource).error, `${node.id} ${type}`).toBeUndefined();
    }
  });
});
