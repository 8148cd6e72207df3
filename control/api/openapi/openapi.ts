/**
 * OpenAPI v3 of the kinds served, one document a group version, from the same descriptions that validate
 * (https://kubernetes.io/docs/concepts/overview/kubernetes-api/#openapi-v3). From it `kubectl apply` learns that the server
 * refuses unknown fields itself, and `kubectl explain` what the fields are.
 */
import { createHash } from 'node:crypto';
import { describeResource } from '../../../shared/resources/describe/resource-description.ts';
import type { Kind } from '../../../shared/resources/kind.ts';
import { apiVersionOf, isBuiltIn } from '../resources/kinds.ts';
import { listSchema, metaSchemas, pathsOf } from './openapi-paths.ts';
import { type Json, namedSchemas, openApiSchema } from './openapi-schema.ts';

/** What /openapi/v3 answers, and each document by its path below it, as `apis/networking.istio.io/v1`. */
export interface OpenApi {
  index: { paths: Record<string, { serverRelativeURL: string }> };
  documents: ReadonlyMap<string, string>;
}

export function openApi(kinds: readonly Kind[]): OpenApi {
  const documents = new Map<string, string>();
  const index: OpenApi['index'] = { paths: {} };
  for (const { group, version: served } of groupVersions(kinds)) {
    const path = `${group === '' ? 'api' : 'apis'}/${apiVersionOf(group, served)}`;
    const text = JSON.stringify(document(kinds, group, served));
    documents.set(path, text);
    // The hash lets clients cache the document; it changes whenever the document does.
    const hash = createHash('sha256').update(text).digest('hex').slice(0, 32).toUpperCase();
    index.paths[path] = { serverRelativeURL: `/openapi/v3/${path}?hash=${hash}` };
  }
  return { index, documents };
}

function groupVersions(kinds: readonly Kind[]): { group: string; version: string }[] {
  const found = new Map<string, { group: string; version: string }>();
  for (const { group, versions } of kinds)
    for (const version of versions) found.set(apiVersionOf(group, version), { group, version });
  return [...found.values()];
}

function document(kinds: readonly Kind[], group: string, version: string): Json {
  const served = kinds.filter((kind) => kind.group === group && kind.versions.includes(version));
  const paths: Json = {};
  const schemas: Json = { ...(withPatchMarks(namedSchemas()) as Json), ...metaSchemas };
  for (const kind of served) {
    const name = schemaName(kind, version);
    schemas[name] = schemaOf(kind, version);
    schemas[`${name}List`] = listSchema(kind, version, name);
    Object.assign(paths, pathsOf(kind, version, name));
  }
  return { openapi: '3.0.0', info: { title: 'Tulle', version }, paths, components: { schemas } };
}

const schemaName = (kind: Kind, version: string) =>
  kind.group === ''
    ? `io.k8s.api.core.${version}.${kind.kind}`
    : `${kind.group.split('.').reverse().join('.')}.${version}.${kind.kind}`;

const groupVersionKind = ({ group, kind }: Kind, version: string) => ({ group, version, kind });

function schemaOf(kind: Kind, version: string): Json {
  const schema = openApiSchema(describeResource(kind, version));
  return {
    // Other kinds have no strategic merge patch.
    ...(isBuiltIn(kind) ? (withPatchMarks(schema) as Json) : schema),
    'x-kubernetes-group-version-kind': [groupVersionKind(kind, version)],
  };
}

/** Lists that a strategic merge patch merges are those that an apply merges: by the first of their keys, or as sets. */
function withPatchMarks(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(withPatchMarks);
  if (typeof schema !== 'object' || schema === null) return schema;
  const out: Json = Object.fromEntries(Object.entries(schema).map(([name, value]) => [name, withPatchMarks(value)]));
  const type = out['x-kubernetes-list-type'];
  if (type !== 'map' && type !== 'set') return out;
  const [key] = (out['x-kubernetes-list-map-keys'] ?? []) as string[];
  return { ...out, 'x-kubernetes-patch-strategy': 'merge', ...(key && { 'x-kubernetes-patch-merge-key': key }) };
}
