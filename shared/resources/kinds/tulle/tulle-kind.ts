/** What the kinds of Tulle's own API group have in common: group, version, `{spec, status}`. */
import * as z from 'zod';
import type { Findings, Kind, PrinterColumn } from '../../kind.ts';
import { defineKind } from '../../kind.ts';
import type { Resource } from '../../resource.ts';
import { struct } from '../../schema/vocabulary.ts';

/** The API group of the kinds that Istio does not have. */
export const TULLE_GROUP = 'tulle.dev';
const VERSIONS = ['v1alpha1'] as const;

type Body<Spec extends z.ZodType> = z.ZodObject<
  { spec: Spec; status: z.ZodOptional<ReturnType<typeof struct>> },
  z.core.$strict
>;

interface TulleKind<Spec extends z.ZodType> {
  kind: string;
  plural: string;
  shortNames: readonly string[];
  spec: Spec;
  columns: readonly PrinterColumn[];
  description: string;
  check: (spec: z.infer<Spec>, resource: Resource) => Findings;
}

/** A namespaced kind of Tulle's group; its spec is required. */
export function defineTulleKind<Spec extends z.ZodType>(options: TulleKind<Spec>): Kind<Body<Spec>> {
  const body = z.strictObject({
    spec: options.spec.describe(`What is wanted. ${options.description}`),
    status: struct().describe('What is the case: conditions. Written by the control plane.').optional(),
  });
  return defineKind<Body<Spec>>({
    kind: options.kind,
    group: TULLE_GROUP,
    versions: VERSIONS,
    plural: options.plural,
    singular: options.kind.toLowerCase(),
    shortNames: options.shortNames,
    categories: ['tulle'],
    namespaced: true,
    body,
    check: (resource) => options.check(resource.spec as z.infer<Spec>, resource),
    columns: options.columns,
    description: options.description,
  });
}
