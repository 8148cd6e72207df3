/** The JSON form of field sets, FieldsV1: objects by path element; `.` marks a node with children that is a member itself. */
import { isObject } from '../../server/body.ts';
import { EMPTY, elementsOf, type FieldSet, fieldSet, isEmpty } from './field-set.ts';
import { type PathElement, parsePathElement } from './path-element.ts';

export type FieldsV1 = { [element: string]: FieldsV1 };

/** Of one manager. */
const MAX_FIELDS = 50_000;
const MAX_DEPTH = 100;

/** What is wrong with fields that a client gave, and where below `fieldsV1`. */
export class FieldsV1Error extends Error {
  override name = 'FieldsV1Error';
}

export function toFieldsV1(set: FieldSet): FieldsV1 {
  const fields: FieldsV1 = {};
  for (const element of elementsOf(set)) {
    const child = set.children.get(element);
    const inner = child ? toFieldsV1(child) : {};
    fields[element] = child && set.members.has(element) ? { '.': {}, ...inner } : inner;
  }
  return fields;
}

/** @throws FieldsV1Error naming the element that is none, or the limit */
export function fromFieldsV1(value: unknown): FieldSet {
  let count = 0;
  const read = (node: unknown, depth: number): FieldSet => {
    if (!isObject(node)) throw new FieldsV1Error('every field must be an object');
    if (depth > MAX_DEPTH) throw new FieldsV1Error(`must not be nested deeper than ${MAX_DEPTH} levels`);
    const members: PathElement[] = [];
    const children: [PathElement, FieldSet][] = [];
    for (const [text, inner] of Object.entries(node)) {
      count += 1;
      if (count > MAX_FIELDS) throw new FieldsV1Error(`must have at most ${MAX_FIELDS} fields`);
      if (text === '.') {
        if (depth === 0 || !isObject(inner) || Object.keys(inner).length > 0)
          throw new FieldsV1Error('"." must be an empty object below a field');
        continue;
      }
      const element = parsePathElement(text);
      if (!element)
        throw new FieldsV1Error(`${JSON.stringify(text.slice(0, 100))} is not a path element (f:, k:, v:, i:)`);
      const child = read(inner, depth + 1);
      if (isEmpty(child) || '.' in (inner as object)) members.push(element);
      children.push([element, child]);
    }
    return fieldSet(members, children);
  };
  return value === undefined ? EMPTY : read(value, 0);
}
