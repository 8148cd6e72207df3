/**
 * CEL expressions compiled to closures over the attributes of a request or connection. Nothing is looked up by name while
 * requests are served: an attribute is its reader, a pattern is compiled. A comparison of an attribute with a literal, the
 * most frequent form, allocates nothing.
 */
import {
  attributeOf,
  attributePath,
  type CelMapAttribute,
  isRoot,
  isTypeName,
} from '../../shared/cel/attribute-names.ts';
import { type CelBinary, type CelNode, type CelOptions, parseCel } from '../../shared/cel/expression.ts';
import { compileRegex } from '../../shared/match/regex.ts';
import { textOfWire, wireText } from '../../shared/match/wire.ts';
import type { TrafficRecord } from '../attributes/record.ts';
import {
  fieldOfMap,
  isValueAttribute,
  mapAttribute,
  type ValueAttribute,
  valueAttribute,
  type WallClock,
} from './attributes.ts';
import { TEXTS, UNARY } from './functions.ts';
import { BINARY_OPERATIONS, elementOf, negated } from './operators.ts';
import { CelType, type CelValue, Uint, WrittenMap } from './values.ts';

/** undefined: an error, as where an attribute is missing. */
export type Evaluate = (record: TrafficRecord) => CelValue | undefined;

/** @throws CelError */
export function compileCel(expression: string, wallClock: WallClock, options?: CelOptions): Evaluate {
  return compile(parseCel(expression, options), wallClock);
}

/** As Envoy's filters: an expression that fails, or is no bool, does not hold. @throws CelError */
export function compileCondition(expression: string, wallClock: WallClock): (record: TrafficRecord) => boolean {
  const evaluate = compileCel(expression, wallClock);
  return (record) => evaluate(record) === true;
}

const NO_VALUE: Evaluate = () => undefined;

function compile(node: CelNode, clock: WallClock): Evaluate {
  const inner = (one: CelNode) => compile(one, clock);
  const path = attributePath(node);
  if (path && node.op !== 'has') return compilePath(path, clock);
  switch (node.op) {
    case 'literal':
      return constant(literalValue(node));
    case 'has':
      return compileHas(node, clock);
    case 'field': {
      const of = inner(node.of);
      return (record) => elementOf(of(record), node.field);
    }
    case 'index': {
      const [of, at] = [inner(node.of), inner(node.at)];
      return (record) => elementOf(of(record), at(record));
    }
    case 'list':
      return compileList(node.items.map(inner));
    case 'map':
      return compileMap(node.entries.map(([key, value]) => [inner(key), inner(value)] as const));
    case 'not': {
      const of = inner(node.of);
      return (record) => {
        const value = of(record);
        return typeof value === 'boolean' ? !value : undefined;
      };
    }
    case 'negate': {
      const of = inner(node.of);
      return (record) => negated(of(record));
    }
    case 'and':
      return decided(inner(node.left), inner(node.right), false);
    case 'or':
      return decided(inner(node.left), inner(node.right), true);
    case 'if': {
      const [test, yes, no] = [inner(node.test), inner(node.yes), inner(node.no)];
      return (record) => {
        const value = test(record);
        return value === true ? yes(record) : value === false ? no(record) : undefined;
      };
    }
    case 'call':
      return compileCall(node, clock);
    case 'name':
      return NO_VALUE;
    default:
      return compileBinary(node, clock);
  }
}

const constant =
  (value: CelValue): Evaluate =>
  () =>
    value;

function literalValue({ value }: Extract<CelNode, { op: 'literal' }>): CelValue {
  if (typeof value === 'string') return wireText(value);
  if (typeof value === 'object' && value !== null && 'uint' in value) return new Uint(value.uint);
  return value;
}

/** An error on one side does not matter where the other side decides. */
function decided(left: Evaluate, right: Evaluate, by: boolean): Evaluate {
  return (record) => {
    const a = left(record);
    if (a === by) return by;
    const b = right(record);
    if (b === by) return by;
    return typeof a === 'boolean' && typeof b === 'boolean' ? !by : undefined;
  };
}

function compilePath(path: readonly string[], clock: WallClock): Evaluate {
  if (isTypeName(path)) return constant(new CelType(path.join('.')));
  const found = attributeOf(path);
  if (!found) return NO_VALUE;
  const { name, keys } = found;
  if (isValueAttribute(name)) return keys.length > 0 ? NO_VALUE : valueReader(valueAttribute(name), clock);
  return mapPath(name, keys);
}

function valueReader(attribute: ValueAttribute, clock: WallClock): Evaluate {
  if (attribute.kind === 'time') return (record) => attribute.read(record, clock);
  return (record) => {
    const value = attribute.read(record);
    return typeof value === 'number' ? BigInt(value) : value;
  };
}

function mapPath(name: CelMapAttribute, keys: readonly string[]): Evaluate {
  const map = mapAttribute(name);
  const [first, ...others] = keys;
  if (first === undefined) return map;
  const field = fieldOfMap(name, first);
  if (field) return others.length > 0 ? NO_VALUE : (field as Evaluate);
  const texts = keys.map(wireText);
  return (record) => {
    let value: CelValue | undefined = map(record);
    for (const key of texts) value = elementOf(value, key);
    return value;
  };
}

/** `has()` of a field that is missing is false, of a field of something that has no value an error. */
function compileHas({ of, field }: Extract<CelNode, { op: 'has' }>, clock: WallClock): Evaluate {
  const path = attributePath(of);
  if (path && path.length === 1 && attributeOf([...path, field]) === undefined && isRoot(path[0]!)) return () => false;
  const parent = path && (path.length > 1 || !isRoot(path[0]!)) ? compile(of, clock) : undefined;
  const value = path ? compilePath([...path, field], clock) : undefined;
  if (value && !parent) return (record) => value(record) !== undefined;
  const whole = parent ?? compile(of, clock);
  return (record) => {
    const container = whole(record);
    return container === undefined ? undefined : elementOf(container, wireText(field)) !== undefined;
  };
}

function compileList(items: readonly Evaluate[]): Evaluate {
  return (record) => {
    const values: CelValue[] = [];
    for (const item of items) {
      const value = item(record);
      if (value === undefined) return undefined;
      values.push(value);
    }
    return values;
  };
}

function compileMap(entries: readonly (readonly [Evaluate, Evaluate])[]): Evaluate {
  return (record) => {
    const values: [CelValue, CelValue][] = [];
    for (const [key, value] of entries) {
      const pair = [key(record), value(record)] as const;
      if (pair[0] === undefined || pair[1] === undefined) return undefined;
      values.push([pair[0], pair[1]]);
    }
    return new WrittenMap(values);
  };
}

function compileCall({ name, args }: Extract<CelNode, { op: 'call' }>, clock: WallClock): Evaluate {
  const [first, second] = args.map((arg) => compile(arg, clock));
  if (name === 'matches') return compileMatches(first!, args[1]!);
  const unary = UNARY[name];
  if (unary)
    return folded(args, (record) => {
      const value = first!(record);
      return value === undefined ? undefined : unary(value);
    });
  const binary = TEXTS[name]!;
  return (record) => {
    const [a, b] = [first!(record), second!(record)];
    return a === undefined || b === undefined ? undefined : binary(a, b);
  };
}

/** What only literals decide is computed once: `duration('1s')`. */
function folded(args: readonly CelNode[], evaluate: Evaluate): Evaluate {
  if (!args.every((arg) => arg.op === 'literal')) return evaluate;
  const value = evaluate(undefined as never);
  return () => value;
}

/** Anywhere in the text, by characters, as RE2 reads UTF-8. */
function compileMatches(of: Evaluate, pattern: CelNode): Evaluate {
  const regex = compileRegex((pattern as { value: string }).value);
  return (record) => {
    const text = of(record);
    return typeof text === 'string' ? regex.find(textOfWire(text) ?? text) !== undefined : undefined;
  };
}

type BinaryNode = Extract<CelNode, { op: CelBinary }>;

function compileBinary(node: BinaryNode, clock: WallClock): Evaluate {
  const fast = comparedWithNumber(node);
  if (fast) return fast;
  const [left, right] = [compile(node.left, clock), compile(node.right, clock)];
  const operation = BINARY_OPERATIONS[node.op];
  const evaluate: Evaluate = (record) => {
    const a = left(record);
    if (a === undefined) return undefined;
    const b = right(record);
    return b === undefined ? undefined : operation(a, b);
  };
  return folded([node.left, node.right], evaluate);
}

const ORDERED: Readonly<Partial<Record<CelBinary, (a: number, b: number) => boolean>>> = {
  '==': (a, b) => a === b,
  '!=': (a, b) => a !== b,
  '<': (a, b) => a < b,
  '<=': (a, b) => a <= b,
  '>': (a, b) => a > b,
  '>=': (a, b) => a >= b,
};

/** `response.code >= 400`: numbers are compared as they are, without an int of 64 bits. */
function comparedWithNumber({ op, left, right }: BinaryNode): Evaluate | undefined {
  const holds = ORDERED[op];
  const literal = right.op === 'literal' && typeof right.value === 'bigint' ? Number(right.value) : undefined;
  const found = attributeOf(attributePath(left) ?? []);
  if (!holds || literal === undefined || !Number.isSafeInteger(literal) || !found || found.keys.length > 0)
    return undefined;
  const attribute = isValueAttribute(found.name) ? valueAttribute(found.name) : undefined;
  if (attribute?.kind !== 'plain') return undefined;
  return (record) => {
    const value = attribute.read(record);
    if (typeof value === 'number') return holds(value, literal);
    if (value === undefined) return undefined;
    return op === '==' ? false : op === '!=' ? true : undefined;
  };
}
