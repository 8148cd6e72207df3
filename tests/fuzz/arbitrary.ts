/** From the description of a kind to resources of it, by chance: what the schema allows, and nothing else. */
import fc from 'fast-check';
import {
  type Description,
  describe,
  type Field,
  type Shape,
  type ShapeOf,
} from '../../shared/resources/describe/description.ts';
import type { Kind } from '../../shared/resources/kind.ts';

/** Text that many fields take, so that semantic checks come far; and text that is hard to write down. */
const PLAUSIBLE = [
  'https://a.example.com/keys',
  'oci://example.com/plugin',
  'reviews',
  'a.example.com',
  '*.example.com',
  'v1',
  '80',
  '/api',
  'default',
  'GET',
  '1s',
  '10.0.0.1',
  '*',
];
const CHARACTERS = [...'aZ09 -_./:*#"\'{}[],&!|>%@`?~$\\\t\n\r\u0001\u007f\u00a0é☺𝒳\u2029\ufffd'];
/** By the name of the field: what its semantic checks take. */
const FITTING: Readonly<Record<string, readonly string[]>> = {
  host: ['reviews', 'a.example.com'],
  hosts: ['a.example.com', 'b.example.com'],
  sniHosts: ['a.example.com'],
  gateways: ['mesh', 'shop/gateway'],
  exportTo: ['*'],
  subset: ['v1'],
  protocol: ['HTTP', 'TCP', 'GRPC'],
  method: ['GET'],
  name: ['http', 'v1', 'a'],
  regex: ['a.*', '(a|b)+'],
  kind: ['ClusterRole', 'Group', 'Service'],
  apiGroup: ['rbac.authorization.k8s.io'],
};
const NUMBERS: Readonly<Record<string, readonly number[]>> = {
  number: [80, 443, 8080],
  port: [80, 443],
  weight: [1, 50, 100],
  status: [200, 503],
  httpStatus: [400, 503],
};
/** What semantic checks ask for although the schema does not. */
const EXPECTED: ReadonlySet<string> = new Set(['hosts', 'servers', 'http', 'route', 'sniHosts', 'number', 'protocol']);
const AWKWARD = [
  'yes',
  'on',
  'y',
  '0777',
  '0o17',
  '089',
  '0X1F',
  '1_000',
  '1e3',
  '.5',
  '.inf',
  '1:30',
  '2001-12-14',
  '~',
  'null',
  '<<',
  '=',
  '- a',
  'a: b',
  'a #b',
  '#',
  '"',
  "'",
  '\n',
  'a\n',
  ' a ',
  '\t',
  '{',
  '[',
  '*a',
  '&a',
  '!x',
  '%',
  '@',
  '`',
  '|',
  '>',
  '---',
  '...',
  '\u0000',
  '\u007f',
  '\u0085',
  '\u2028',
  '\ufeff',
  'é☺𝒳',
  '__proto__',
  'constructor',
  '',
];

const text = () =>
  fc.oneof(
    { weight: 6, arbitrary: fc.constantFrom(...PLAUSIBLE) },
    { weight: 2, arbitrary: fc.constantFrom(...AWKWARD) },
    fc.string({ unit: fc.constantFrom(...CHARACTERS), maxLength: 8 }),
  );
const key = () =>
  fc.oneof(
    { weight: 4, arbitrary: fc.constantFrom('app', 'version', 'x-user', 'example.com/a', '80') },
    fc.constantFrom(...AWKWARD),
    fc.string({ maxLength: 8 }),
  );

/** Resources of the kind that its schema accepts. Their names are valid; the rest may break rules beyond the schema. */
export function resourceOf(kind: Kind): fc.Arbitrary<Record<string, unknown>> {
  const body = valuesOf(describe(kind.body), 0) as fc.Arbitrary<Record<string, unknown>>;
  const versions = kind.versions.map((version) => (kind.group === '' ? version : `${kind.group}/${version}`));
  const metadata = fc.record(
    {
      name: fc.constantFrom('reviews', 'a-1'),
      namespace: kind.namespaced ? fc.constantFrom('default', 'shop') : fc.constant(undefined),
      labels: fc.dictionary(fc.constantFrom('app', 'example.com/team'), fc.constantFrom('a', 'v1', ''), { maxKeys: 2 }),
      annotations: fc.dictionary(fc.constantFrom('note', 'example.com/note'), text(), { maxKeys: 2 }),
    },
    { requiredKeys: ['name'] },
  );
  return fc
    .tuple(fc.constantFrom(...versions), metadata, body)
    .map(([apiVersion, meta, rest]) => withoutUndefined({ apiVersion, kind: kind.kind, metadata: meta, ...rest }));
}

function withoutUndefined(value: unknown): Record<string, unknown> {
  return JSON.parse(JSON.stringify(value)) as Record<string, unknown>;
}

/** Values of the description's type, within its limits, that keep its rules. */
export function valuesOf(description: Description, depth: number, name = ''): fc.Arbitrary<unknown> {
  const { shape, rules } = description;
  const made = ofShape(shape, depth, name);
  if (rules.length === 0) return made;
  let misses = 0;
  return made.filter((value) => {
    const kept = rules.every((rule) => holds(rule, value));
    misses = kept ? 0 : misses + 1;
    // Else fast-check would continue without limit.
    if (misses > 5000) throw new Error(`nothing is made that keeps ${rules.map((rule) => rule.name).join(', ')}`);
    return kept;
  });
}

/** As validation asks: a rule that stumbles over an odd value says nothing. */
function holds(rule: Description['rules'][number], value: unknown): boolean {
  try {
    return rule.holds(value as never);
  } catch {
    return true;
  }
}

function ofShape(shape: Shape, depth: number, name: string): fc.Arbitrary<unknown> {
  switch (shape.type) {
    case 'object':
      return objectOf(shape, depth);
    case 'list': {
      const minLength = Math.max(shape.length.min ?? 0, EXPECTED.has(name) ? 1 : 0);
      const maxLength = Math.min(shape.length.max ?? 3, Math.max(minLength, depth > 5 ? 1 : 3));
      const items = valuesOf(shape.items, depth + 1, name);
      const selector = (item: unknown) =>
        JSON.stringify(shape.keys.map((name) => (item as Record<string, unknown>)[name]));
      return shape.keys.length > 0
        ? fc.uniqueArray(items, { minLength, maxLength, selector })
        : fc.array(items, { minLength, maxLength });
    }
    case 'map': {
      const minKeys = shape.entries.min ?? 0;
      return fc.dictionary(key(), valuesOf(shape.values, depth + 1), {
        minKeys,
        maxKeys: Math.max(minKeys, Math.min(shape.entries.max ?? 3, 3)),
        noNullPrototype: true,
      });
    }
    case 'any':
      return fc.dictionary(key(), json(), { maxKeys: 3, noNullPrototype: true });
    case 'string':
      return stringOf(shape, name);
    case 'integer': {
      const fitting = (Object.hasOwn(NUMBERS, name) ? NUMBERS[name] : undefined) ?? [0, 1, 80, 100];
      const any = fc.integer(rangeOf(shape.range));
      return fc.oneof({ weight: 8, arbitrary: fc.constantFrom(...fitting.filter(within(shape.range))) }, any);
    }
    case 'number':
      return fc.oneof(fc.constantFrom(...[0.5, 1, 50].filter(within(shape.range))), fc.integer(rangeOf(shape.range)));
    case 'boolean':
      return fc.boolean();
    case 'integer or string':
      return fc.oneof(fc.integer({ min: 1, max: 65_535 }), fc.constantFrom('http', '8080'));
  }
}

/** No negative zero: JSON has none that is kept. */
const json = () =>
  fc.jsonValue({ maxDepth: 2, noUnicodeString: false }).map((value) => JSON.parse(JSON.stringify(value)) as unknown);

function objectOf({ fields, oneOfs }: ShapeOf<'object'>, depth: number): fc.Arbitrary<unknown> {
  const optional = fields.filter((field) => !field.required && field.name !== 'status');
  const most = depth > 4 ? 1 : depth > 2 ? 2 : 4;
  // Only the fields that are chosen are made: large messages would make much that is thrown away.
  const expected = optional.filter((field) => EXPECTED.has(field.name));
  const some = fc.subarray(optional, { maxLength: Math.min(most, optional.length) });
  const usual = some.map((chosen) => [...new Set([...expected, ...chosen])]);
  return fc.oneof(some, { weight: 4, arbitrary: usual }).chain((chosen) => {
    const kept = chosen.filter((field) => mayStand(field, chosen, oneOfs));
    const shown = [...fields.filter((field) => field.required), ...kept];
    return fc.record(
      Object.fromEntries(shown.map(({ name, description }) => [name, valuesOf(description, depth + 1, name)])),
      {
        noNullPrototype: true,
      },
    );
  });
}

/** The first of a oneof's fields keeps the others away. */
function mayStand(field: Field, chosen: readonly Field[], oneOfs: readonly (readonly string[])[]): boolean {
  return oneOfs.every((set) => !set.includes(field.name) || chosen.find(({ name }) => set.includes(name)) === field);
}

function stringOf(shape: ShapeOf<'string'>, name: string): fc.Arbitrary<string> {
  if (shape.names.length > 0) return fc.constantFrom(...shape.names);
  if (shape.base64) return fc.base64String({ minLength: 4, maxLength: 16 });
  if (shape.duration) return fc.constantFrom('1s', '1h2m', '1500ms', '86400s');
  if (shape.pattern) return fc.stringMatching(shape.pattern);
  const { min = 0, max = 1000 } = shape.length;
  const fitting = Object.hasOwn(FITTING, name) ? FITTING[name] : undefined;
  const made = fitting ? fc.oneof({ weight: 8, arbitrary: fc.constantFrom(...fitting) }, text()) : text();
  return made.filter((value) => value.length >= min && value.length <= max);
}

interface Range {
  min?: number;
  max?: number;
}

const within =
  ({ min = Number.NEGATIVE_INFINITY, max = Number.POSITIVE_INFINITY }: Range) =>
  (value: number) =>
    value >= min && value <= max;
const rangeOf = ({ min, max }: Range) => ({
  min: Math.ceil(Math.max(min ?? 0, -(2 ** 31))),
  max: Math.floor(max ?? 2 ** 31 - 1),
});
