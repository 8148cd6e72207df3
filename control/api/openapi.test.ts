import { describe, expect, it } from 'vitest';
import { kinds, validate } from '../../shared/resources/index.ts';
import { memoryStore } from '../store/memory.ts';
import { createApi } from './app.ts';
import { openApi } from './openapi.ts';

type Json = Record<string, unknown>;
interface Patch {
  'x-kubernetes-group-version-kind': { kind: string };
  parameters: { name: string }[];
}
const { index, documents } = openApi(kinds);
const parsed = [...documents].map(([path, text]) => [path, JSON.parse(text) as Json] as const);

function references(value: unknown): string[] {
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, item]) =>
    key === '$ref' && typeof item === 'string' ? [item] : references(item),
  );
}

describe('OpenAPI v3', () => {
  it('has a document for every group version served', () => {
    const served = new Set(
      kinds.flatMap(({ group, versions }) => versions.map((v) => (group ? `apis/${group}/${v}` : `api/${v}`))),
    );
    expect(new Set(documents.keys())).toEqual(served);
    expect(new Set(Object.keys(index.paths))).toEqual(served);
  });

  it.each(parsed)('%s refers to nothing that is not in it', (_path, document) => {
    const components = (document['components'] as { schemas: Json }).schemas;
    const dangling = references(document).filter((ref) => !(ref.replace('#/components/schemas/', '') in components));
    expect(dangling).toEqual([]);
  });

  it('describes the fields of every kind and says that PATCH validates them', () => {
    for (const { group, kind, versions } of kinds) {
      const path = `${group ? `apis/${group}` : 'api'}/${versions[0]}`;
      const operations = Object.values(new Map(parsed).get(path)?.['paths'] as Record<string, { patch?: Patch }>);
      const own = operations.find(({ patch }) => patch?.['x-kubernetes-group-version-kind'].kind === kind);
      expect(own?.patch?.parameters.map(({ name }) => name) ?? [], kind).toContain('fieldValidation');
    }
  });

  it('is for the admin alone', async () => {
    const api = createApi({
      store: memoryStore(),
      kinds: { kinds, validate },
      isAdmin: (token) => token === 'admin',
      version: '0',
    });
    const headers = { authorization: 'Bearer admin' };
    expect((await api.request('/openapi/v3')).status).toBe(401);
    expect((await api.request('/openapi/v3/api/v1')).status).toBe(401);
    expect(await (await api.request('/openapi/v3', { headers })).json()).toEqual(index);
    const { serverRelativeURL } = index.paths['api/v1']!;
    expect(await (await api.request(serverRelativeURL, { headers })).text()).toBe(documents.get('api/v1'));
    expect((await api.request('/openapi/v3/apis/nosuch/v1', { headers })).status).toBe(404);
  });
});
