/**
 * One step of a field's path in the notation of FieldsV1 (kubernetes.io/docs/reference/generated/kubernetes-api, FieldsV1):
 * `f:NAME` a field, `k:{"port":80}` an entry of a keyed list, `v:"a"` an item of a set, `i:0` a position. The canonical text
 * is the element's identity: keys sorted, JSON without spaces.
 */
import { isObject } from '../../server/body.ts';

export type PathElement = string;

export const fieldElement = (name: string): PathElement => `f:${name}`;
export const valueElement = (value: unknown): PathElement => `v:${canonical(value)}`;
export const keyElement = (keys: Record<string, unknown>): PathElement => `k:${canonical(keys)}`;

/** The name of a field; undefined for other elements. */
export const fieldName = (element: PathElement): string | undefined =>
  element.startsWith('f:') ? element.slice(2) : undefined;

/** The element in canonical form; undefined when the text is none. */
export function parsePathElement(text: string): PathElement | undefined {
  const content = text.slice(2);
  switch (text.slice(0, 2)) {
    case 'f:':
      return content === '' || content === '__proto__' ? undefined : text;
    case 'i:':
      return /^(0|[1-9][0-9]{0,8})$/.test(content) ? text : undefined;
    case 'v:': {
      const value = parsed(content);
      return isScalar(value) ? valueElement(value) : undefined;
    }
    case 'k:': {
      const keys = parsed(content);
      if (!isObject(keys) || Object.keys(keys).length === 0) return undefined;
      return Object.values(keys).every(isScalar) ? keyElement(keys) : undefined;
    }
    default:
      return undefined;
  }
}

/** As Kubernetes writes it in messages: `.name`, `[port=80,protocol="TCP"]`, `[="a"]`, `[0]`. */
export function describePathElement(element: PathElement): string {
  const content = element.slice(2);
  switch (element.slice(0, 2)) {
    case 'f:':
      return `.${content}`;
    case 'k:': {
      const entries = Object.entries(JSON.parse(content) as Record<string, unknown>);
      return `[${entries.map(([name, value]) => `${name}=${JSON.stringify(value)}`).join(',')}]`;
    }
    case 'v:':
      return `[=${content}]`;
    default:
      return `[${content}]`;
  }
}

const ORDER = 'fkvi';

/** Fields first, then keyed entries, values and positions, each in the order of their text. */
export function comparePathElements(left: PathElement, right: PathElement): number {
  const kinds = ORDER.indexOf(left[0] ?? '') - ORDER.indexOf(right[0] ?? '');
  return kinds !== 0 ? kinds : left < right ? -1 : left > right ? 1 : 0;
}

const isScalar = (value: unknown) =>
  typeof value === 'string' || typeof value === 'boolean' || (typeof value === 'number' && Number.isFinite(value));

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function canonical(value: unknown): string {
  if (!isObject(value)) return JSON.stringify(value) ?? 'null';
  return JSON.stringify(Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))));
}
