/** `metadata.managedFields`: who owns which fields, and since when. */
import { isObject } from '../../server/body.ts';
import { type FieldSet, union } from './field-set.ts';
import { type FieldsV1, FieldsV1Error, fromFieldsV1, toFieldsV1 } from './fields-v1.ts';

export type Operation = 'Apply' | 'Update';

export interface Manager {
  readonly name: string;
  readonly operation: Operation;
  /** The version in which the fields are named. */
  readonly apiVersion: string;
  /** '' for the resource itself. */
  readonly subresource: string;
  /** Of its last change, RFC 3339. */
  readonly time?: string;
  readonly fields: FieldSet;
}

/** Managers by `managerId`. */
export type Managers = ReadonlyMap<string, Manager>;

export interface ManagedFieldsEntry {
  manager?: string;
  operation: Operation;
  apiVersion: string;
  time?: string;
  fieldsType: 'FieldsV1';
  fieldsV1: FieldsV1;
  subresource?: string;
}

/** One that applies has one entry whatever version it applied in; one that updates has one for each version. */
export function managerId({ name, operation, apiVersion, subresource }: Omit<Manager, 'fields'>): string {
  return JSON.stringify([name, operation, operation === 'Apply' ? '' : apiVersion, subresource]);
}

/** Bounds the work and the size of what one object's owners can be made to hold. */
const MAX_ENTRIES = 500;
/** Managers that update; older ones are joined into one, as in Kubernetes. */
const MAX_UPDATERS = 10;
const JOINED_UPDATERS = 'ancient-changes';
const MAX_NAME = 128;

/** What is wrong with the entries a client gave; `path` below `metadata.managedFields`. */
export class ManagedFieldsError extends Error {
  override name = 'ManagedFieldsError';
  readonly path: string;
  constructor(path: string, message: string) {
    super(message);
    this.path = path;
  }
}

/** @throws ManagedFieldsError */
export function decodeManagers(entries: unknown): Managers {
  if (!Array.isArray(entries)) throw new ManagedFieldsError('', 'must be a list');
  if (entries.length > MAX_ENTRIES) throw new ManagedFieldsError('', `must have at most ${MAX_ENTRIES} entries`);
  const managers = new Map<string, Manager>();
  for (const [at, entry] of entries.entries()) {
    const manager = decodeManager(entry, `[${at}]`);
    managers.set(managerId(manager), manager);
  }
  return managers;
}

const KNOWN = new Set(['manager', 'operation', 'apiVersion', 'time', 'fieldsType', 'fieldsV1', 'subresource']);

function decodeManager(entry: unknown, path: string): Manager {
  const refuse = (field: string, message: string) => new ManagedFieldsError(`${path}${field}`, message);
  if (!isObject(entry)) throw refuse('', 'must be an object');
  const unknown = Object.keys(entry).find((name) => !KNOWN.has(name));
  if (unknown !== undefined) throw refuse('', `unknown field ${JSON.stringify(unknown.slice(0, 64))}`);
  const text = (field: string): string => {
    const value = entry[field] ?? '';
    if (typeof value !== 'string' || value.length > 1024) throw refuse(`.${field}`, 'must be a string');
    return value;
  };
  const operation = text('operation');
  if (operation !== 'Apply' && operation !== 'Update') throw refuse('.operation', 'must be `Apply` or `Update`');
  if (text('fieldsType') !== 'FieldsV1') throw refuse('.fieldsType', 'must be `FieldsV1`');
  if (text('apiVersion') === '') throw refuse('.apiVersion', 'must not be empty');
  const invalid = fieldManagerViolation(text('manager'));
  if (invalid) throw refuse('.manager', invalid);
  const time = text('time');
  if (time !== '' && !/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/.test(time))
    throw refuse('.time', 'must be a time of RFC 3339 in UTC');
  return {
    name: text('manager'),
    operation,
    apiVersion: text('apiVersion'),
    subresource: text('subresource'),
    ...(time === '' ? {} : { time }),
    fields: decodeFields(entry['fieldsV1'], (message) => refuse('.fieldsV1', message)),
  };
}

function decodeFields(value: unknown, refuse: (message: string) => ManagedFieldsError): FieldSet {
  try {
    return fromFieldsV1(value ?? undefined);
  } catch (error) {
    throw error instanceof FieldsV1Error ? refuse(error.message) : error;
  }
}

/** Why a name is none for a field manager, as Kubernetes words it. */
export function fieldManagerViolation(name: string): string | undefined {
  if (new TextEncoder().encode(name).length > MAX_NAME) return `Too long: may not be more than ${MAX_NAME} bytes`;
  const at = [...name].findIndex((character) => !/[\p{L}\p{M}\p{N}\p{P}\p{S} ]/u.test(character));
  return at < 0 ? undefined : `Invalid value: ${JSON.stringify(name)}: should only contain printable characters`;
}

/** Sorted by operation, time and name, as Kubernetes lists them; undefined when there are no owners. */
export function encodeManagers(managers: Managers): ManagedFieldsEntry[] | undefined {
  if (managers.size === 0) return undefined;
  return [...managers.values()]
    .sort(compareManagers)
    .map(({ name, operation, apiVersion, subresource, time, fields }) => ({
      ...(name === '' ? {} : { manager: name }),
      operation,
      apiVersion,
      ...(time === undefined ? {} : { time }),
      fieldsType: 'FieldsV1',
      fieldsV1: toFieldsV1(fields),
      ...(subresource === '' ? {} : { subresource }),
    }));
}

function compareManagers(left: Manager, right: Manager): number {
  const keys = ({ operation, time = '', name, apiVersion, subresource }: Manager) =>
    [operation, time, name, apiVersion, subresource] as const;
  const [a, b] = [keys(left), keys(right)];
  const at = a.findIndex((key, i) => key !== b[i]);
  return at < 0 ? 0 : (a[at] ?? '') < (b[at] ?? '') ? -1 : 1;
}

/** At most ten managers that update: the oldest of a version are joined into `ancient-changes`. */
export function joinOldUpdaters(managers: Managers): Managers {
  const updaters = [...managers]
    .filter(([, { operation }]) => operation === 'Update')
    .sort(([, a], [, b]) => compareManagers(a, b));
  let excess = updaters.length - MAX_UPDATERS;
  if (excess <= 0) return managers;
  const joined = new Map(managers);
  const firstOf = new Map<string, string>();
  for (const [id, manager] of updaters) {
    if (excess <= 0) break;
    const first = firstOf.get(manager.apiVersion);
    if (first === undefined) {
      firstOf.set(manager.apiVersion, id);
      continue;
    }
    const bucket: Manager = { ...manager, name: JOINED_UPDATERS, subresource: '' };
    const bucketId = managerId(bucket);
    const older = joined.get(bucketId) ?? joined.get(first);
    joined.delete(first);
    joined.delete(id);
    joined.set(bucketId, { ...bucket, fields: union(manager.fields, older?.fields ?? manager.fields) });
    excess -= 1;
  }
  return joined;
}
