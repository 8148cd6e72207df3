/** What Istio's kinds have in common: groups, versions, `{spec, status}`. */
import * as z from 'zod';
import { checkIstioMetadata } from '../checks/istio-metadata.ts';
import type { Findings, Kind, PrinterColumn } from '../kind.ts';
import { defineKind } from '../kind.ts';
import type { Resource } from '../resource.ts';
import { struct } from '../schema/vocabulary.ts';
import { Report } from '../violations.ts';

type Body<Spec extends z.ZodType> = z.ZodObject<
  { spec: z.ZodOptional<Spec>; status: z.ZodOptional<ReturnType<typeof struct>> },
  z.core.$strict
>;

interface IstioKind<Spec extends z.ZodType> {
  kind: string;
  group: string;
  versions: readonly string[];
  plural: string;
  shortNames?: readonly string[];
  spec: Spec;
  columns: readonly PrinterColumn[];
  description: string;
  /** Called with the spec, `{}` when the resource has none. */
  check: (spec: z.infer<Spec>, resource: Resource) => Findings;
  /** The CRD requires a spec. */
  specRequired?: boolean;
}

const PREFIXES: Readonly<Record<string, string>> = {
  'networking.istio.io': 'networking-istio-io',
  'security.istio.io': 'security-istio-io',
  'telemetry.istio.io': 'telemetry-istio-io',
  'extensions.istio.io': 'extensions-istio-io',
};

/** Versions of most kinds of networking.istio.io. */
export const NETWORKING_VERSIONS = ['v1', 'v1beta1', 'v1alpha3'] as const;
/** Versions of security.istio.io. */
export const SECURITY_VERSIONS = ['v1', 'v1beta1'] as const;

export function defineIstioKind<Spec extends z.ZodType>(options: IstioKind<Spec>): Kind<Body<Spec>> {
  const spec = options.spec.describe(`What is wanted. ${options.description}`);
  const body = z.strictObject({
    spec: options.specRequired ? spec : spec.optional(),
    status: struct()
      .describe('What is the case: conditions and validation messages. Written by controllers.')
      .optional(),
  });
  return defineKind<Body<Spec>>({
    kind: options.kind,
    group: options.group,
    versions: options.versions,
    plural: options.plural,
    singular: options.kind.toLowerCase(),
    shortNames: options.shortNames ?? [],
    categories: ['istio-io', PREFIXES[options.group] ?? 'istio-io'],
    namespaced: true,
    // A required spec is also an optional one to readers: they always handle its absence.
    body: body as unknown as Body<Spec>,
    check: (resource) => {
      const report = new Report();
      checkIstioMetadata(report, resource);
      const { violations, warnings } = options.check((resource.spec ?? {}) as z.infer<Spec>, resource);
      return { violations: [...report.violations, ...violations], warnings };
    },
    columns: options.columns,
    description: options.description,
  });
}
