import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { kinds, validate } from '../../../shared/resources/index.ts';
import { memoryStore } from '../../store/memory.ts';
import { createApi } from '../app.ts';
import { openApi } from './openapi.ts';

type Json = Record<string, unknown>;
interface Patch {
  'x-kubernetes-group-version-kind': { kind: string };
  parameters: { name: string }[];
}
const { index, documents } = openApi(kinds);
const parsed = [...documents].map(([path, text]) => [path, JSON.parse(text) as Json] as const);

interface Crd {
  group: string;
  names: { kind: string };
  versions: { name: string; schema: { openAPIV3Schema: { properties: { spec: Json } } } }[];
}
const crdFile = fileURLToPath(new URL('../../../../shared/reference/istio-crds/crd-all.gen.yaml', import.meta.url));
if (!existsSync(crdFile)) console.log("skipped: Istio's CRDs are not here");
const crds = existsSync(crdFile)
  ? parseAllDocuments(readFileSync(crdFile, 'utf8')).flatMap(
      (each) => (each.toJS() as { spec?: Crd } | null)?.spec ?? [],
    )
  : [];

/** Documentation, CEL and nullable (null is an absent field here, for every field) are not compared; nor is `format: byte`. */
const APART = new Set(['description', 'x-kubernetes-validations', 'nullable']);

function structure(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(structure);
  if (typeof schema !== 'object' || schema === null) return schema;
  const kept = Object.entries(schema).filter(([key, value]) => {
    if (APART.has(key) && typeof value !== 'object') return false;
    if (key === 'x-kubernetes-validations') return false;
    // One of one: forbids nothing.
    if (key === 'oneOf' && Array.isArray(value) && value.length === 2) return false;
    return !(key === 'format' && value === 'byte');
  });
  return Object.fromEntries(
    kept.map(([key, value]) => [key, key === 'required' ? [...(value as string[])].sort() : structure(value)]),
  );
}

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

  it.each(parsed)('%s has no dangling references', (_path, document) => {
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

  it('has every operation the API answers, each with a name of its own', () => {
    for (const [, document] of parsed) {
      const paths = Object.entries(document['paths'] as Record<string, Record<string, { operationId?: string }>>);
      const ids = paths.flatMap(([, path]) => Object.values(path).flatMap((one) => one.operationId ?? []));
      expect(new Set(ids).size).toBe(ids.length);
    }
    const paths = new Map(parsed).get('apis/networking.istio.io/v1')!['paths'] as Record<string, Record<string, Json>>;
    const item = '/apis/networking.istio.io/v1/namespaces/{namespace}/virtualservices/{name}';
    expect(Object.keys(paths[item]!)).toEqual(['parameters', 'get', 'put', 'patch', 'delete']);
    expect(Object.keys(paths[`${item}/status`]!)).toEqual(['parameters', 'get', 'put', 'patch']);
    const collection = paths['/apis/networking.istio.io/v1/namespaces/{namespace}/virtualservices'];
    expect(collection?.['delete']?.['operationId']).toBe('deleteNetworkingIstioIoV1CollectionNamespacedVirtualService');
    const core = new Map(parsed).get('api/v1')!['paths'] as Record<string, Record<string, Json>>;
    expect(Object.keys(core['/api/v1/namespaces']!)).toEqual(['parameters', 'get', 'post']);
    expect(Object.keys(core['/api/v1/namespaces/{namespace}/secrets/{name}']!)).toContain('patch');
    expect(core['/api/v1/namespaces/{namespace}/secrets/{name}/status']).toBeUndefined();
    expect(paths['/apis/networking.istio.io/v1/virtualservices']?.['get']?.['operationId']).toBe(
      'listNetworkingIstioIoV1VirtualServiceForAllNamespaces',
    );
    expect(paths[item]?.['put']?.['operationId']).toBe('replaceNetworkingIstioIoV1NamespacedVirtualService');
  });

  it('names the schemas that Kubernetes names, and leaves out what CEL cannot express', () => {
    const core = new Map(parsed).get('api/v1')!;
    const { schemas } = core['components'] as { schemas: Record<string, { properties?: Json }> };
    expect(schemas['io.k8s.api.core.v1.Service']?.properties?.['metadata']).toEqual({
      description: 'Name, namespace, labels, annotations.',
      allOf: [{ $ref: '#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta' }],
    });
    expect(schemas['io.k8s.apimachinery.pkg.util.intstr.IntOrString']).toMatchObject({ format: 'int-or-string' });
  });

  it('marks the lists that a strategic merge patch merges, with which kubectl makes one', () => {
    const { schemas } = new Map(parsed).get('api/v1')!['components'] as { schemas: Record<string, Json> };
    const at = (schema: string, ...path: string[]) =>
      path.reduce((found, name) => (found['properties'] as Record<string, Json>)[name]!, schemas[schema]!);
    const merged = { 'x-kubernetes-patch-strategy': 'merge' };
    const by = (key: string) => ({ ...merged, 'x-kubernetes-patch-merge-key': key });
    const meta = 'io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta';
    expect(at('io.k8s.api.core.v1.Service', 'spec', 'ports')).toMatchObject(by('port'));
    expect(at('io.k8s.api.core.v1.ServiceAccount', 'secrets')).toMatchObject(by('name'));
    expect(at(meta, 'ownerReferences')).toMatchObject(by('uid'));
    expect(at(meta, 'finalizers')).toMatchObject(merged);
    expect(at('io.k8s.api.core.v1.ServiceAccount', 'imagePullSecrets')).not.toMatchObject(merged);
  });

  it.skipIf(crds.length === 0)("has the structure of Istio's CRDs, every version", () => {
    let compared = 0;
    for (const crd of crds) {
      for (const { name, schema } of crd.versions) {
        const document = new Map(parsed).get(`apis/${crd.group}/${name}`)!;
        const { schemas } = document['components'] as { schemas: Record<string, { properties: Json }> };
        const id = `${crd.group.split('.').reverse().join('.')}.${name}.${crd.names.kind}`;
        const { spec } = schema.openAPIV3Schema.properties;
        expect(structure(schemas[id]?.properties['spec']), id).toEqual(structure(spec));
        compared++;
      }
    }
    expect(compared).toBe(33);
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
