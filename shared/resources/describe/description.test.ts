/** Descriptions against Istio's CRDs, field by field and rule by rule, in both directions; and that every field is documented. */
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, describe as group, it } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { kindByName, kinds } from '../index.ts';
import { MeshConfig } from '../mesh-config/mesh-config.ts';
import { MeshNetworks } from '../mesh-config/mesh-networks.ts';
import { Metadata } from '../meta.ts';
import { ruleCases } from '../schema/rules/rule-cases.ts';
import { AGE } from './columns.ts';
import { type Description, describe, splitDefault } from './description.ts';

const file = fileURLToPath(new URL('../../../../shared/reference/istio-crds/crd-all.gen.yaml', import.meta.url));
const present = existsSync(file);
if (!present) console.log("skipped: Istio's CRDs are not here");

interface CrdSchema {
  description?: string;
  type?: string;
  format?: string;
  nullable?: boolean;
  properties?: Record<string, CrdSchema>;
  items?: CrdSchema;
  additionalProperties?: CrdSchema;
  required?: string[];
  enum?: string[];
  minLength?: number;
  maxLength?: number;
  pattern?: string;
  minimum?: number;
  maximum?: number;
  minItems?: number;
  maxItems?: number;
  minProperties?: number;
  maxProperties?: number;
  oneOf?: Alternative[];
  allOf?: { oneOf: Alternative[] }[];
  'x-kubernetes-validations'?: { rule: string; message: string }[];
  'x-kubernetes-list-type'?: string;
  'x-kubernetes-list-map-keys'?: string[];
  'x-kubernetes-preserve-unknown-fields'?: boolean;
}
interface Alternative {
  required?: string[];
}
interface Crd {
  group: string;
  names: { kind: string; plural: string; singular: string; shortNames?: string[]; categories: string[] };
  versions: {
    name: string;
    schema: { openAPIV3Schema: CrdSchema };
    additionalPrinterColumns?: { name: string; type: string; jsonPath: string; priority?: number }[];
  }[];
}

const crds: Crd[] = present
  ? parseAllDocuments(readFileSync(file, 'utf8')).flatMap((each) => (each.toJS() as { spec?: Crd } | null)?.spec ?? [])
  : [];

/** The name of the rule each expression of the CRDs is here. */
const RULES = new Map([
  ...ruleCases.flatMap(({ rule, expressions }) => expressions.map((each) => [normal(each), rule.name] as const)),
  // Every duration of the descriptions has its least; the word itself implies it.
  ["duration(self) >= duration('1ms')", 'duration of at least 1 ms'] as const,
]);

/** Everything the comparison looks at, as lines `path: fact`, the same from both sides. */
type Facts = Set<string>;
const counted = { fields: 0, rules: 0 };

function factsOfCrd(crd: CrdSchema, path: string, facts: Facts): void {
  const say = (fact: string) => facts.add(`${path}: ${fact}`);
  for (const { rule } of crd['x-kubernetes-validations'] ?? []) {
    counted.rules++;
    say(`rule ${RULES.get(normal(rule)) ?? `for ${rule}`}`);
  }
  if (crd['x-kubernetes-preserve-unknown-fields']) return void say('type any');
  limitFact(say, 'characters', crd.minLength, crd.maxLength);
  limitFact(say, 'length', crd.minItems, crd.maxItems);
  limitFact(say, 'entries', crd.minProperties, crd.maxProperties);
  if (crd.type === 'integer' || crd.type === 'number') {
    const int32 = crd.format === 'int32';
    limitFact(
      say,
      'range',
      crd.minimum ?? (int32 ? -2147483648 : undefined),
      crd.maximum ?? (int32 ? 2147483647 : undefined),
    );
  }
  if (crd.nullable) say('nullable');
  if (crd.type === 'string' && crd.format) say(`format ${crd.format}`);
  if (crd.type === 'number' && crd.format !== 'double') say(`format ${crd.format}`);
  if (crd.pattern) say(`pattern ${crd.pattern}`);
  if (crd.enum) say(`names ${crd.enum.join()}`);
  for (const oneOf of [...(crd.oneOf ? [crd.oneOf] : []), ...(crd.allOf ?? []).map((each) => each.oneOf)]) {
    const fields = oneOf.flatMap((each) => each.required ?? []);
    // One of one alternative, or none of it: forbids nothing (AuthorizationPolicy's provider).
    if (fields.length > 1) say(`one of ${fields.sort().join()}`);
  }
  if (crd['x-kubernetes-list-type']) {
    say(`list type ${crd['x-kubernetes-list-type']} ${crd['x-kubernetes-list-map-keys']?.join()}`);
  }
  if (crd.items) {
    say('type list');
    factsOfCrd(crd.items, `${path}[]`, facts);
  } else if (crd.additionalProperties) {
    say('type map');
    factsOfCrd(crd.additionalProperties, `${path}{}`, facts);
  } else {
    say(`type ${crd.type}`);
  }
  for (const [name, field] of Object.entries(crd.properties ?? {})) {
    counted.fields++;
    facts.add(`${path}.${name}: ${crd.required?.includes(name) ? 'required' : 'optional'}`);
    factsOfCrd(field, `${path}.${name}`, facts);
  }
}

function factsOfOurs({ shape, rules, nullable }: Description, path: string, facts: Facts): void {
  const say = (fact: string) => facts.add(`${path}: ${fact}`);
  if (nullable) say('nullable');
  for (const { name } of rules) {
    const fact = `rule ${name}`;
    if (facts.has(`${path}: ${fact}`)) say(`${fact} is set twice`);
    say(fact);
  }
  say(`type ${shape.type}`);
  if (shape.type === 'list') {
    limitFact(say, 'length', shape.length.min, shape.length.max);
    if (shape.keys.length > 0) say(`list type map ${shape.keys.join()}`);
    factsOfOurs(shape.items, `${path}[]`, facts);
  } else if (shape.type === 'map') {
    limitFact(say, 'entries', shape.entries.min, shape.entries.max);
    factsOfOurs(shape.values, `${path}{}`, facts);
  } else if (shape.type === 'string') {
    limitFact(say, 'characters', shape.length.min, shape.length.max);
    if (shape.pattern) say(`pattern ${shape.pattern.source}`);
    if (shape.names.length > 0) say(`names ${shape.names.join()}`);
    if (shape.base64) say('format byte');
    if (shape.duration) say(`rule duration of at least ${shape.duration.min} ms`);
  } else if (shape.type === 'integer' || shape.type === 'number') {
    limitFact(say, 'range', shape.range.min, shape.range.max);
  } else if (shape.type === 'object') {
    for (const fields of shape.oneOfs) say(`one of ${[...fields].sort().join()}`);
    for (const field of shape.fields) {
      facts.add(`${path}.${field.name}: ${field.required ? 'required' : 'optional'}`);
      factsOfOurs(field.description, `${path}.${field.name}`, facts);
    }
  }
}

function columns(list: readonly { name: string; type: string; jsonPath: string; priority?: number }[]) {
  return list.map(({ name, type, jsonPath, priority = 0 }) => ({ name, type, jsonPath, priority }));
}

function limitFact(say: (fact: string) => void, what: string, min?: number, max?: number): void {
  // Integers of JSON are exact up to 2^53; no CRD field without a format means more.
  const bounded = (limit: number | undefined) => limit !== undefined && Math.abs(limit) < Number.MAX_SAFE_INTEGER;
  if (bounded(min)) say(`${what} >= ${min}`);
  if (bounded(max)) say(`${what} <= ${max}`);
}

group.skipIf(!present)('the descriptions say what the CRDs say', () => {
  it('all fifteen are there', () => expect(crds).toHaveLength(15));

  it.each(crds.map((crd) => [crd.names.kind, crd] as const))('%s', (name, crd) => {
    const kind = kindByName(crd.group, name)!;
    const ours: Facts = new Set();
    factsOfOurs(describe(kind.body), '', ours);
    expect([...kind.versions].sort()).toEqual(crd.versions.map((version) => version.name).sort());
    for (const version of crd.versions) {
      const theirs: Facts = new Set();
      // The status is open: its other fields are kept.
      const { spec, ...others } = version.schema.openAPIV3Schema.properties ?? {};
      expect(Object.keys(others)).toEqual(['status']);
      factsOfCrd(
        { ...version.schema.openAPIV3Schema, properties: { spec: spec!, status: others['status']! } },
        '',
        theirs,
      );
      expect({
        version: version.name,
        missing: [...theirs].filter((fact) => !ours.has(fact)),
        invented: [...ours].filter((fact) => !theirs.has(fact)),
      }).toEqual({ version: version.name, missing: [], invented: [] });
    }
    for (const version of crd.versions) {
      // Kubernetes shows the age where a CRD names no columns.
      const theirs = version.additionalPrinterColumns ?? [AGE];
      expect(columns(kind.columns)).toEqual(columns(theirs));
    }
    const { plural, singular, shortNames, categories } = kind;
    expect({ plural, singular, shortNames, categories }).toEqual({
      plural: crd.names.plural,
      singular: crd.names.singular,
      shortNames: crd.names.shortNames ?? [],
      categories: crd.names.categories,
    });
  });

  it('counts what was compared', () => {
    console.log(`descriptions and CRDs: ${counted.fields} fields, ${counted.rules} rules compared`);
    expect(counted.fields).toBeGreaterThan(2500);
    expect(counted.rules).toBeGreaterThan(340);
  });
});

/** Paths of fields without documentation. */
function undocumented(description: Description, path: string): string[] {
  const { shape } = description;
  if (shape.type === 'list') return undocumented(shape.items, `${path}[]`);
  if (shape.type === 'map') return undocumented(shape.values, `${path}{}`);
  if (shape.type !== 'object') return [];
  return shape.fields.flatMap((field) => {
    const here = `${path}.${field.name}`;
    const below = undocumented(field.description, here);
    return field.description.text === '' ? [here, ...below] : below;
  });
}

const plain = (text: string) =>
  text
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, ' ')
    .trim();

function textsOfCrd(crd: CrdSchema): string[] {
  const below = [...Object.values(crd.properties ?? {}), ...[crd.items ?? [], crd.additionalProperties ?? []].flat()];
  return [...(crd.description ? [plain(crd.description)] : []), ...below.flatMap(textsOfCrd)];
}

function textsOf(description: Description): string[] {
  const { shape, text } = description;
  const below =
    shape.type === 'object'
      ? shape.fields.map((field) => field.description)
      : shape.type === 'list'
        ? [shape.items]
        : shape.type === 'map'
          ? [shape.values]
          : [];
  return [...(text === '' ? [] : [text]), ...below.flatMap(textsOf)];
}

group('every field is documented', () => {
  it.each([
    ...kinds.map((kind) => [kind.kind, kind.body] as const),
    ['metadata', Metadata] as const,
    ['MeshConfig', MeshConfig] as const,
    ['MeshNetworks', MeshNetworks] as const,
  ])('%s', (name, body) => {
    expect(undocumented(describe(body), name)).toEqual([]);
  });

  it.skipIf(!present)("in our own words, not in Istio's", () => {
    const theirs = new Set(
      crds.flatMap((crd) => crd.versions.flatMap((each) => textsOfCrd(each.schema.openAPIV3Schema))),
    );
    const ours = [...kinds.map((kind) => kind.body), MeshConfig].flatMap((body) => textsOf(describe(body)));
    expect(theirs.size).toBeGreaterThan(300);
    expect(ours.filter((text) => text.length > 20 && theirs.has(plain(text)))).toEqual([]);
    // A sentence each, so that they can be joined.
    expect(ours.filter((text) => !/[.)]$/.test(text) || /\s\s|\n/.test(text))).toEqual([]);
  });

  it('a text may end with the default of the field', () => {
    expect(splitDefault('How often. Default: 2.')).toEqual({ text: 'How often.', defaultsTo: '2' });
    expect(splitDefault('How often.')).toEqual({ text: 'How often.' });
    expect(splitDefault('Default: TLS_AUTO, which is 1.2.')).toEqual({
      text: '',
      defaultsTo: 'TLS_AUTO, which is 1.2',
    });
  });
});

/** Expressions are the same but for white space. */
function normal(expression: string): string {
  return expression.replace(/\s+/g, ' ').trim();
}
