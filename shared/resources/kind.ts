/** The description of one kind. Everything else about it (REST paths, validation, tables, OpenAPI, docs) follows from here. */
import type { z } from 'zod';
import type { Resource, Violation } from './resource.ts';

export interface PrinterColumn {
  name: string;
  type: 'string' | 'integer' | 'date' | 'boolean';
  /** Path into the object, as `.spec.hosts`. */
  jsonPath: string;
  /** The column is the number of entries at `jsonPath` and at these paths. */
  counts?: readonly string[];
  /** The text of the column, where it is not the value at `jsonPath`. */
  print?: (resource: Resource) => string;
  /** The text is a time, RFC 3339 or empty: its age is shown. */
  isTime?: boolean;
  description: string;
  /** 0: always shown; 1: only with `-o wide`. */
  priority?: number;
}

export interface Findings {
  violations: Violation[];
  warnings: Violation[];
}

/** How the resources of a kind are stored in the form of another one. */
export interface StoredForm {
  readonly group: string;
  readonly toStored: (resource: Resource) => Resource;
  readonly fromStored: (resource: Resource) => Resource;
}

export interface Kind<Body extends z.ZodType = z.ZodType> {
  readonly kind: string;
  /** '' for the core group. */
  readonly group: string;
  /** Served versions, the preferred first; all are one resource. */
  readonly versions: readonly string[];
  readonly plural: string;
  readonly singular: string;
  readonly shortNames: readonly string[];
  readonly categories: readonly string[];
  readonly namespaced: boolean;
  /** What names may be: default a DNS subdomain; `path-segment`: anything that can be a step of a URL's path. */
  readonly names?: 'path-segment';
  /** The mesh does not see its resources: they are about the control API itself. */
  readonly isForApiOnly?: boolean;
  /** The resources are stored as those of a kind of the same plural in another group: one store behind both. */
  readonly stored?: StoredForm;
  /** `columns` are the whole table: there is no name before them and no age behind. */
  readonly hasOwnTable?: boolean;
  /** The fields beside apiVersion, kind and metadata: `{spec, status}` for Istio kinds, `{data, type …}` for a Secret. */
  readonly body: Body;
  /** Rules beyond the schema. Called only with a body the schema accepted. Never throws. */
  readonly check: (resource: Resource & z.infer<Body>) => Findings;
  readonly columns: readonly PrinterColumn[];
  readonly description: string;
}

export type ResourceOf<K> = K extends Kind<infer Body> ? Resource & z.infer<Body> : never;

export function defineKind<Body extends z.ZodType>(kind: Kind<Body>): Kind<Body> {
  return kind;
}

/** Name of a kind in a store and in REST paths: `virtualservices.networking.istio.io`, `services`. */
export function kindKey(group: string, plural: string): string {
  return group === '' ? plural : `${plural}.${group}`;
}
