/** The tables of effects against Istio's CRDs, our schemas and the tests that they name; the page against the tables. */
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import { type Description, describe as described } from '../../shared/resources/describe/description.ts';
import { ANNOTATION_EFFECTS } from '../../shared/resources/effects/annotations.ts';
import {
  type FieldState,
  type FieldTable,
  fieldsWithoutEffect,
  type Proofs,
  rowOf,
} from '../../shared/resources/effects/field-table.ts';
import { FIELD_TABLES } from '../../shared/resources/effects/fields/index.ts';
import { LABEL_EFFECTS, labelsWithoutEffect } from '../../shared/resources/effects/labels.ts';
import { kinds } from '../../shared/resources/registry.ts';
import { compatibilityPage, MESH_CONFIG_PROOF, REPORTS_PROOF } from './compatibility.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));
const reference = fileURLToPath(new URL('../../../shared/reference/', import.meta.url));
const present = existsSync(reference);
if (!present) console.log('skipped in part: the reference data is not here');

interface Leaf {
  readonly path: string;
  /** A value of the whole resource in which the field is written. */
  readonly value: unknown;
}

function leavesOf({ shape }: Description): Leaf[] {
  if (shape.type === 'object') {
    if (shape.fields.length === 0) return [{ path: '', value: {} }];
    return shape.fields.flatMap(({ name, description }) =>
      leavesOf(description).map((leaf) => ({ path: joined(name, leaf.path), value: { [name]: leaf.value } })),
    );
  }
  if (shape.type === 'list')
    return leavesOf(shape.items).map(({ path, value }) => ({ path: joined('[]', path), value: [value] }));
  if (shape.type === 'map')
    return leavesOf(shape.values).map(({ path, value }) => ({ path: joined('{}', path), value: { a: value } }));
  return [{ path: '', value: 'x' }];
}

const joined = (first: string, rest: string) => (/^($|[[{])/.test(rest) ? first + rest : `${first}.${rest}`);

const ISTIO = kinds.filter(({ group }) => group.endsWith('istio.io'));
const LEAVES = new Map(ISTIO.map(({ kind, body }) => [kind, leavesOf(described(body))]));
const CASES = Object.entries(FIELD_TABLES).map(([kind, table]) => ({ kind, table, leaves: LEAVES.get(kind) ?? [] }));

const proofsOf = (field: FieldState): Proofs => ('proofs' in field ? field.proofs : []);

/** The text of a test; of a golden case what was applied. Undefined: there is no such test. */
function textOf(proof: string): string | undefined {
  const golden = /^golden:(.+)$/.exec(proof)?.[1];
  const file = golden === undefined ? root + proof : `${reference}istiod-golden/cases/${golden}/config.yaml`;
  return existsSync(file) ? readFileSync(file, 'utf8') : undefined;
}

const missing = (proofs: Proofs) =>
  proofs.filter((proof) => (present || !proof.startsWith('golden:')) && textOf(proof) === undefined);

describe('the tables of effects', () => {
  it('are there for every kind of Istio, and no others', () => {
    expect(Object.keys(FIELD_TABLES).sort()).toEqual(ISTIO.map(({ kind }) => kind).sort());
    expect(ISTIO).toHaveLength(15);
  });

  it.each(CASES)('$kind: a row covers every field, and every row covers one', ({ table, leaves }) => {
    const covering = leaves.map(({ path }) => [path, rowOf(table, path)?.row] as const);
    expect(covering.filter(([, row]) => row === undefined).map(([path]) => path)).toEqual([]);
    const used = new Set(covering.map(([, row]) => row));
    const rows = Object.entries(table).filter(([, { state }]) => state !== 'as');
    expect(rows.map(([row]) => row).filter((row) => !used.has(row))).toEqual([]);
    for (const [row, field] of Object.entries(table))
      if (field.state === 'as')
        expect(leaves.some(({ path }) => path.startsWith(row.replace(/\.\*\*$/, '.')))).toBe(true);
  });

  it.each(CASES)('$kind: tests that rows name exist, and name the field', ({ table, leaves }) => {
    for (const [row, field] of Object.entries(table)) expect(missing(proofsOf(field)), row).toEqual([]);
    const unnamed = leaves.filter(({ path }) => {
      const proofs = proofsOf(rowOf(table, path)!.field);
      if (proofs.length === 0 || (!present && proofs.some((proof) => proof.startsWith('golden:')))) return false;
      return !proofs.some((proof) => new RegExp(`\\b${nameOf(path)}\\b`).test(textOf(proof)!));
    });
    expect(unnamed.map(({ path }) => path)).toEqual([]);
  });

  it.each(CASES)('$kind: each field that has no effect is reported, and no other', ({ kind, table, leaves }) => {
    for (const { path, value } of leaves) {
      const { field } = rowOf(table, path)!;
      if (field.state === 'partly') continue;
      const found = fieldsWithoutEffect(table, { kind, ...(value as object) });
      expect(found.length > 0, path).toBe(field.state === 'reported' || table['**']?.state === 'reported');
      if (field.state === 'reported') expect(found[0]!.message).toBe(field.reason);
    }
  });

  it.each(CASES)('$kind: each field in force has a test of its own', ({ table, leaves }) => {
    const unproven = leaves.filter(({ path }) => {
      const { field } = rowOf(table, path)!;
      return field.state === 'in force' && field.proofs.length === 0;
    });
    expect(unproven.map(({ path }) => path)).toEqual([]);
  });

  it('reasons are ends of sentences about the field', () => {
    const reasons = CASES.flatMap(({ table }) =>
      Object.values(table).flatMap((field) => (field.state === 'reported' ? [field.reason] : [])),
    );
    expect(reasons.filter((reason) => !/has no effect/.test(reason))).toEqual([]);
  });
});

/** The last name of a path: `attempts`. */
const nameOf = (path: string) =>
  path
    .replace(/(\[\]|\{\})+$/, '')
    .split(/[.[\]{}]+/)
    .filter(Boolean)
    .at(-1)!;

interface CrdSchema {
  readonly properties?: Readonly<Record<string, CrdSchema>>;
  readonly items?: CrdSchema;
  readonly additionalProperties?: CrdSchema;
}

function crdPaths({ properties, items, additionalProperties }: CrdSchema): string[] {
  if (properties)
    return Object.entries(properties).flatMap(([name, field]) => crdPaths(field).map((path) => joined(name, path)));
  if (items) return crdPaths(items).map((path) => joined('[]', path));
  if (additionalProperties) return crdPaths(additionalProperties).map((path) => joined('{}', path));
  return [''];
}

describe.skipIf(!present)("Istio's own lists", () => {
  it('every field of every version of every CRD is in a row', () => {
    const text = readFileSync(`${reference}istio-crds/crd-all.gen.yaml`, 'utf8');
    interface Crd {
      names: { kind: string };
      versions: { schema: { openAPIV3Schema: CrdSchema } }[];
    }
    const crds = parseAllDocuments(text).flatMap((each) => (each.toJS() as { spec?: Crd } | null)?.spec ?? []);
    expect(crds).toHaveLength(15);
    const paths = crds.flatMap(({ names, versions }) =>
      versions.flatMap(({ schema }) => {
        const { spec } = schema.openAPIV3Schema.properties ?? {};
        return crdPaths({ properties: { spec: spec! } }).map((path) => ({ kind: names.kind, path }));
      }),
    );
    expect(paths.length).toBeGreaterThan(1500);
    expect(paths.filter(({ kind, path }) => !rowOf(FIELD_TABLES[kind] as FieldTable, path))).toEqual([]);
  });

  it('every label that Istio documents, the one that istiod reads besides, and no other', () => {
    const { labels } = parse(readFileSync(`${reference}istio-crds/labels.yaml`, 'utf8')) as {
      labels: { name: string }[];
    };
    const read = [...labels.map(({ name }) => name), 'experimental.istio.io/disable-gateway-port-translation'];
    expect(Object.keys(LABEL_EFFECTS).sort()).toEqual(read.sort());
  });
});

describe('annotations and labels', () => {
  const named = [...Object.entries(ANNOTATION_EFFECTS), ...Object.entries(LABEL_EFFECTS)];

  it('tests that show them exist and name them', () => {
    for (const [name, { proofs = [] }] of named) {
      expect(missing(proofs), name).toEqual([]);
      if (proofs.length > 0)
        expect(
          proofs.filter((proof) => textOf(proof)!.includes(name)),
          name,
        ).not.toEqual([]);
    }
  });

  it('labels without effect are reported by name', () => {
    expect(labelsWithoutEffect('Namespace', { 'istio.io/rev': 'x', app: 'a' })).toEqual([
      { name: 'istio.io/rev', message: 'has no effect: a control plane has no revisions' },
    ]);
    expect(labelsWithoutEffect('WorkloadEntry', { 'security.istio.io/tlsMode': 'istio' })).toEqual([]);
    expect(labelsWithoutEffect('Service', { 'security.istio.io/tlsmode': 'istio' })[0]!.message).toMatch(
      /no such label.*security\.istio\.io\/tlsMode/,
    );
  });
});

it('docs/istio-compatibility.md is current (else: npm run docs)', () => {
  expect(readFileSync(`${root}docs/istio-compatibility.md`, 'utf8')).toBe(compatibilityPage());
  expect(missing([MESH_CONFIG_PROOF, REPORTS_PROOF])).toEqual([]);
});
