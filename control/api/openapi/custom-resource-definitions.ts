/**
 * The kinds of Istio's and Tulle's groups as CustomResourceDefinitions, from the same descriptions that validate
 * (https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/): schemas are structural,
 * without references. Rules that a schema cannot express are left out.
 */
import { describeResource } from '../../../shared/resources/describe/resource-description.ts';
import { type Kind, kindKey, type PrinterColumn } from '../../../shared/resources/kind.ts';
import { hasStatus, isBuiltIn } from '../resources/kinds.ts';
import { type Json, openApiSchema } from './openapi-schema.ts';

/** Kinds that Kubernetes does not have itself. */
export const isCustom = (kind: Pick<Kind, 'group'>): boolean => !isBuiltIn(kind);

/** The version that Kubernetes stores; default: the first one. As in Istio's CRDs, since it cannot simply be changed in a cluster. */
const STORED: Readonly<Record<string, string>> = { 'telemetries.telemetry.istio.io': 'v1alpha1' };

const PRESERVED = { type: 'object', 'x-kubernetes-preserve-unknown-fields': true };
const INT_OR_STRING = { 'x-kubernetes-int-or-string': true, anyOf: [{ type: 'integer' }, { type: 'string' }] };

/** In its part that is the same in every cluster. */
export interface Definition {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string };
  readonly spec: {
    readonly group: string;
    readonly names: Json;
    readonly scope: string;
    readonly versions: readonly (Json & { readonly name: string; readonly storage: boolean })[];
  };
}

export function definitionOfKind(kind: Kind): Definition {
  const { group, plural, singular, shortNames, categories, namespaced, versions } = kind;
  const name = kindKey(group, plural);
  const stored = STORED[name] ?? versions[0];
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name },
    spec: {
      group,
      names: {
        kind: kind.kind,
        listKind: `${kind.kind}List`,
        plural,
        singular,
        ...(shortNames.length > 0 ? { shortNames: [...shortNames] } : {}),
        ...(categories.length > 0 ? { categories: [...categories] } : {}),
      },
      scope: namespaced ? 'Namespaced' : 'Cluster',
      versions: versions.map((version) => ({
        name: version,
        served: true,
        storage: version === stored,
        ...(hasStatus(kind) ? { subresources: { status: {} } } : {}),
        additionalPrinterColumns: kind.columns.flatMap(printerColumn),
        schema: { openAPIV3Schema: structuralSchema(kind, version) },
      })),
    },
  };
}

/** A path alone: Kubernetes does not count entries, nor select from a list of conditions. */
function printerColumn({ name, type, jsonPath, counts, description, priority }: PrinterColumn): Json[] {
  if (counts || !/^(\.\w+)+$/.test(jsonPath)) return [];
  return [{ name, type, jsonPath, description, ...(priority ? { priority } : {}) }];
}

function structuralSchema(kind: Kind, version: string): Json {
  const { description, required, properties } = openApiSchema(describeResource(kind, version)) as {
    description?: string;
    required?: string[];
    properties: Record<string, Json>;
  };
  const { apiVersion: _a, kind: _k, metadata: _m, status: _s, ...own } = properties;
  return {
    type: 'object',
    ...(description ? { description } : {}),
    properties: { ...(structural(own) as Record<string, Json>), status: PRESERVED },
    ...(required ? { required } : {}),
  };
}

/** In the place of the named schemas, which only `metadata` and ports have. */
function structural(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(structural);
  if (typeof schema !== 'object' || schema === null) return schema;
  const { allOf, ...rest } = schema as { allOf?: { $ref?: string }[] } & Json;
  const reference = allOf?.[0]?.$ref;
  if (reference) return { ...rest, ...(reference.endsWith('IntOrString') ? INT_OR_STRING : { type: 'object' }) };
  if (rest['format'] === 'int-or-string') {
    const { format: _f, oneOf: _o, ...other } = rest;
    return { ...other, ...INT_OR_STRING };
  }
  const out: Json = {};
  for (const [key, value] of Object.entries(rest)) out[key] = structural(value);
  return allOf ? { ...out, allOf: structural(allOf) } : out;
}
