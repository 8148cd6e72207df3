/** Keys and values of the store in etcd. Keys are readable by etcdctl: `/tulle/resources/GROUP/PLURAL/NAMESPACE/NAME`. */
import type { Resource } from '../../../shared/resources/resource.ts';
import type { ResourceCodec } from '../sealing/resource-codec.ts';
import { sealedBy } from '../sealing/sealer.ts';
import type { ResourceKey, Selection } from '../store.ts';

export const toBase64 = (text: string): string => Buffer.from(text).toString('base64');
export const fromBase64 = (text: string): string => Buffer.from(text, 'base64').toString();

/** A range of keys as etcd's API takes it. */
export interface KeyRange {
  key: string;
  range_end: string;
}

/** Of all keys that start with `prefix`, whose last character is '/': '0' follows it in ASCII. */
export function rangeOf(prefix: string): KeyRange {
  return { key: toBase64(prefix), range_end: toBase64(`${prefix.slice(0, -1)}0`) };
}

/** '/' separates, and lone surrogates have no UTF-8 form: both are escaped, as is what escapes. */
const escaped = (segment: string): string =>
  segment.replace(/[%/\uD800-\uDFFF]/g, (unit) => `%${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
const unescaped = (segment: string): string =>
  segment.replace(/%([0-9a-f]{4})/g, (_, code: string) => String.fromCharCode(Number.parseInt(code, 16)));

export class ResourceKeys {
  private readonly root: string;

  /** @param prefix starts with '/' and does not end with one @param folder of all names */
  constructor(prefix: string, folder = 'resources') {
    this.root = `${prefix}/${folder}/`;
  }

  nameOf({ group, plural, namespace, name }: ResourceKey): string {
    return this.root + [group, plural, namespace, name].map(escaped).join('/');
  }

  keyOf(name: string): ResourceKey {
    const [group = '', plural = '', namespace = '', last = ''] = name.slice(this.root.length).split('/').map(unescaped);
    return { group, plural, namespace, name: last };
  }

  /** The narrowest range that holds what is selected; a namespace of all kinds is a selection of everything. */
  rangeOf({ kind, namespace }: Selection): KeyRange {
    const segments = kind ? [kind.group, kind.plural, ...(namespace === undefined ? [] : [namespace])] : [];
    return rangeOf(this.root + segments.map((segment) => `${escaped(segment)}/`).join(''));
  }
}

const base64Of = (stored: string | Uint8Array): string => Buffer.from(stored as string).toString('base64');
const sealedOrText = (value: string): string | Uint8Array => {
  const bytes = Buffer.from(value, 'base64');
  return sealedBy(bytes) === undefined ? bytes.toString() : bytes;
};

/** Any value of a resource, sealed where it is a Secret; base64. */
export const encodeValue = (codec: ResourceCodec, key: ResourceKey, value: unknown): string =>
  base64Of(codec.encode(key, value));

/** @throws Error where it cannot be opened */
export const decodeValue = <T>(codec: ResourceCodec, key: ResourceKey, value: string): T =>
  codec.decode<T>(key, sealedOrText(value));

/** Whether a value should be written again. */
export const isStaleValue = (codec: ResourceCodec, key: ResourceKey, value: string): boolean =>
  codec.isStale(key, sealedOrText(value));

/** The resource without its resourceVersion, which etcd alone knows. */
export function encodeResource(codec: ResourceCodec, key: ResourceKey, resource: Resource): string {
  const { resourceVersion: _, ...metadata } = resource.metadata;
  return encodeValue(codec, key, { ...resource, metadata });
}

export function decodeResource(codec: ResourceCodec, key: ResourceKey, value: string, revision: number): Resource {
  const resource = decodeValue<Resource>(codec, key, value);
  return { ...resource, metadata: { ...resource.metadata, resourceVersion: String(revision) } };
}
