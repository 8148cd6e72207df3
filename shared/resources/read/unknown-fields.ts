/**
 * Fields that a kind does not have: Kubernetes calls taking them out pruning
 * (kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#field-pruning).
 */
import type { z } from 'zod';
import type { Kind } from '../kind.ts';
import { Metadata } from '../meta.ts';
import { formatPath } from '../violations.ts';

/** What to do with unknown fields and duplicate fields, as Kubernetes names it (`fieldValidation`). */
export type FieldValidation = 'Strict' | 'Warn' | 'Ignore';

export interface Pruned {
  /** The same object when there was nothing to take out. */
  value: Record<string, unknown>;
  /** Their paths, as `spec.http[0].routes`. */
  unknown: string[];
}

/** A copy of the resource without unknown fields. What the kind leaves free-form stays whole. */
export function withoutUnknownFields(kind: Kind, resource: Record<string, unknown>): Pruned {
  const { apiVersion, kind: name, metadata, ...body } = resource;
  const paths = [
    ...unknownPaths(Metadata, metadata).map((path) => ['metadata', ...path]),
    ...unknownPaths(kind.body, body),
  ];
  if (paths.length === 0) return { value: resource, unknown: [] };
  const value = structuredClone(resource);
  for (const path of paths) removeAt(value, path);
  return { value, unknown: paths.map(formatPath) };
}

function unknownPaths(schema: z.ZodType, value: unknown): PropertyKey[][] {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return [];
  const issues = schema.safeParse(value).error?.issues ?? [];
  return issues.flatMap((issue) =>
    issue.code === 'unrecognized_keys' ? issue.keys.map((key) => [...issue.path, key]) : [],
  );
}

function removeAt(root: unknown, path: readonly PropertyKey[]): void {
  let holder = root as Record<PropertyKey, unknown> | undefined;
  for (const key of path.slice(0, -1)) holder = holder?.[key] as Record<PropertyKey, unknown> | undefined;
  const last = path.at(-1);
  if (holder && last !== undefined) delete holder[last];
}
