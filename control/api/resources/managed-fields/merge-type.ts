/**
 * How values of a schema merge: Kubernetes' `x-kubernetes-list-type`, `-list-map-keys` and `-map-type`
 * (kubernetes.io/docs/reference/using-api/server-side-apply/#merge-strategy). Lists without a mark are atomic, objects and
 * maps are granular; any JSON below an unknown schema is granular in its objects and atomic in its lists.
 */
import type { Description, Field } from '../../../../shared/resources/describe/description.ts';
import { describe } from '../../../../shared/resources/describe/description.ts';
import { objectMeta } from '../../../../shared/resources/describe/resource-description.ts';
import type { Kind } from '../../../../shared/resources/kind.ts';
import { isObject } from '../../server/body.ts';
import { keyElement, type PathElement, valueElement } from './path-element.ts';

export type MergeType =
  | { readonly type: 'scalar' }
  | { readonly type: 'atomic' }
  /** Any JSON. */
  | { readonly type: 'any' }
  | { readonly type: 'object'; readonly fields: ReadonlyMap<string, MergeType> }
  | { readonly type: 'map'; readonly values: MergeType }
  | { readonly type: 'set' }
  | { readonly type: 'keyed'; readonly keys: readonly KeyField[]; readonly items: MergeType };

export interface KeyField {
  readonly name: string;
  /** Of an entry that has no such field. */
  readonly defaultsTo?: string;
}

/** What a value is treated as: `any` resolved by the value itself. */
export type Atom = Exclude<MergeType, { type: 'any' }>;

const SCALAR: Atom = { type: 'scalar' };
const ATOMIC: Atom = { type: 'atomic' };
const ANY: MergeType = { type: 'any' };
const ANY_MAP: Atom = { type: 'map', values: ANY };

/** The type as which `value` is walked. */
export function atomOf(type: MergeType, value: unknown): Atom {
  if (type.type !== 'any') return type;
  return isObject(value) ? ANY_MAP : Array.isArray(value) ? ATOMIC : SCALAR;
}

/** The type of a field or of a map's value; what the schema does not name is any JSON. */
export function typeBelow(type: Atom, name: string): MergeType {
  if (type.type === 'object') return type.fields.get(name) ?? ANY;
  return type.type === 'map' ? type.values : ANY;
}

export const isNamedField = (type: Atom, name: string): boolean => type.type === 'object' && type.fields.has(name);

/** The element of a list's item; undefined when it has none: no key field, or not a scalar in a set. */
export function itemElement(type: Atom, item: unknown): PathElement | undefined {
  if (type.type === 'set')
    return item === null || item === undefined || typeof item === 'object' ? undefined : valueElement(item);
  if (type.type !== 'keyed' || !isObject(item)) return undefined;
  const found = type.keys.flatMap(({ name, defaultsTo }) => {
    const value = item[name] ?? defaultsTo;
    return value === undefined || typeof value === 'object' ? [] : [[name, value] as const];
  });
  return found.length === 0 ? undefined : keyElement(Object.fromEntries(found));
}

const known = new WeakMap<Kind, MergeType>();

/** Of the whole resource but apiVersion, kind and what the server alone writes. */
export function mergeTypeOf(kind: Kind): MergeType {
  let type = known.get(kind);
  if (!type) {
    const body = describe(kind.body).shape;
    const fields = body.type === 'object' ? fieldsOf(body.fields) : new Map<string, MergeType>();
    type = { type: 'object', fields: new Map([['metadata', fromShape(objectMeta())], ...fields]) };
    known.set(kind, type);
  }
  return type;
}

function fieldsOf(fields: readonly Field[]): Map<string, MergeType> {
  return new Map(fields.map(({ name, description }) => [name, fromShape(description.shape)]));
}

function fromShape(shape: Description['shape']): MergeType {
  switch (shape.type) {
    case 'object':
      return shape.atomic ? ATOMIC : { type: 'object', fields: fieldsOf(shape.fields) };
    case 'map':
      return shape.atomic ? ATOMIC : { type: 'map', values: fromShape(shape.values.shape) };
    case 'list':
      if (shape.set) return { type: 'set' };
      return shape.keys.length === 0
        ? ATOMIC
        : {
            type: 'keyed',
            keys: shape.keys.map((name) => keyField(shape.items, name)),
            items: fromShape(shape.items.shape),
          };
    case 'any':
      return ANY;
    default:
      return SCALAR;
  }
}

function keyField({ shape }: Description, name: string): KeyField {
  const field = shape.type === 'object' ? shape.fields.find((each) => each.name === name) : undefined;
  const defaultsTo = field?.description.defaultsTo;
  return defaultsTo === undefined ? { name } : { name, defaultsTo };
}
