/** Real configuration and Istio's CRDs put to our schemas; its validation cases are in reference-cases.test.ts. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { z } from 'zod';
import { kindByName, validate } from './index.ts';
import { parseDocuments } from './parse.ts';

const reference = fileURLToPath(new URL('../../../shared/reference/', import.meta.url));
const present = existsSync(reference);
if (!present) console.log('skipped: the reference data is not here');

type Json = Record<string, unknown>;

function yamlFiles(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && /\.ya?ml$/.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name));
}

/** Documents that istiod refused when the golden files were made, by case. */
function rejected(folder: string): Set<number> {
  const xds = join(folder, 'xds');
  const indices = new Set<number>();
  for (const name of existsSync(xds) ? readdirSync(xds) : []) {
    const { rejected: list = [] } = JSON.parse(readFileSync(join(xds, name), 'utf8')) as {
      rejected?: { document: string }[];
    };
    for (const each of list) indices.add(Number(each.document));
  }
  return indices;
}

describe.skipIf(!present)('real configuration is accepted whole', () => {
  /** `name: off`: a boolean in the YAML 1.1 of kubectl, which refuses it too. */
  const YAML_11 = ['ef-network-filter', 'telemetry-access-log-disable', 'telemetry-metrics-disable'];
  const faultsIn = (file: string, skip: ReadonlySet<number> = new Set()) => {
    const { documents, errors } = parseDocuments(readFileSync(file, 'utf8'), file);
    expect(errors).toEqual([]);
    return documents.flatMap((document, i) => {
      const result = validate(document.value);
      if (skip.has(i) || result.faults[0]?.rule === 'unknown-kind') return [];
      return result.faults.map((fault) => `${file}:${document.line} ${fault.path}: ${fault.message}`);
    });
  };

  it('the samples', () => {
    const files = yamlFiles(join(reference, 'samples'));
    expect(files.length).toBeGreaterThan(20);
    expect(files.flatMap((file) => faultsIn(file))).toEqual([]);
  });

  it("istiod's golden cases, but for what istiod itself refused", () => {
    const cases = readdirSync(join(reference, 'istiod-golden/cases'));
    expect(cases.length).toBeGreaterThan(80);
    const faults = cases.flatMap((name) => {
      const folder = join(reference, 'istiod-golden/cases', name);
      const found = faultsIn(join(folder, 'config.yaml'), rejected(folder));
      if (!YAML_11.includes(name)) return found;
      return found.filter((fault) => !fault.endsWith('metadata.name: must be a string, not a boolean'));
    });
    expect(faults).toEqual([]);
  });
});

interface CrdSchema {
  type?: string;
  properties?: Record<string, CrdSchema>;
  items?: CrdSchema;
  additionalProperties?: CrdSchema | boolean;
  required?: string[];
  enum?: string[];
}

function unwrap(schema: z.ZodType): z.ZodType {
  if (schema instanceof z.ZodOptional || schema instanceof z.ZodNonOptional)
    return unwrap(schema.unwrap() as z.ZodType);
  return schema;
}

/** Every difference between a CRD's schema and ours, by path. */
function differences(crd: CrdSchema, ours: z.ZodType, path: string): string[] {
  const schema = unwrap(ours);
  if (crd.properties) {
    if (!(schema instanceof z.ZodObject)) return [`${path}: not an object`];
    const shape = schema.shape as Record<string, z.ZodType>;
    const wanted = Object.keys(crd.properties);
    const extra = Object.keys(shape).filter((name) => !wanted.includes(name));
    return [
      ...extra.map((name) => `${path}.${name}: not in the CRD`),
      ...wanted.flatMap((name) => {
        const field = shape[name];
        if (!field) return [`${path}.${name}: missing`];
        const required = crd.required?.includes(name) ?? false;
        const found = differences(crd.properties![name]!, field, `${path}.${name}`);
        return field.safeParse(undefined).success === required
          ? [...found, `${path}.${name}: required differs`]
          : found;
      }),
    ];
  }
  if (crd.items) {
    return schema instanceof z.ZodArray
      ? differences(crd.items, schema.element as z.ZodType, `${path}[]`)
      : [`${path}: not a list`];
  }
  if (typeof crd.additionalProperties === 'object') {
    return schema instanceof z.ZodRecord
      ? differences(crd.additionalProperties, schema.valueType as z.ZodType, `${path}{}`)
      : [`${path}: not a map`];
  }
  if (crd.enum) {
    const options = schema instanceof z.ZodEnum ? schema.options.map(String) : [];
    return options.join() === crd.enum.join() ? [] : [`${path}: enum differs`];
  }
  const type = { string: z.ZodString, boolean: z.ZodBoolean, integer: z.ZodNumber, number: z.ZodNumber }[
    crd.type ?? ''
  ];
  return type && !(schema instanceof type) ? [`${path}: not a ${crd.type}`] : [];
}

describe.skipIf(!present)('schemas have the fields of the CRDs, and no others', () => {
  const crds = present
    ? parseAllDocuments(readFileSync(join(reference, 'istio-crds/crd-all.gen.yaml'), 'utf8')).map(
        (each) => each.toJS() as Json,
      )
    : [];
  const list = crds.map((crd) => crd?.['spec'] as { group: string; names: Json; versions: Json[] }).filter(Boolean);
  it('all fifteen are there', () => expect(list).toHaveLength(15));
  it.each(list.map((spec) => [String(spec.names['kind']), spec] as const))('%s', (name, spec) => {
    const kind = kindByName(spec.group, name);
    const stored = spec.versions.find((version) => version['storage']) as { schema: { openAPIV3Schema: CrdSchema } };
    const crd = stored.schema.openAPIV3Schema.properties?.['spec'];
    const ours = (kind!.body as z.ZodObject).shape['spec'] as z.ZodType;
    expect(differences(crd!, ours, 'spec')).toEqual([]);
    expect([...kind!.versions].sort()).toEqual(spec.versions.map((version) => version['name']).sort());
    expect([kind!.plural, kind!.singular, kind!.shortNames]).toEqual([
      spec.names['plural'],
      spec.names['singular'],
      spec.names['shortNames'] ?? [],
    ]);
  });
});
