/** Field management of the resource routes: the one entry of this folder. */
import type { Resource } from '../../../../shared/resources/resource.ts';
import { sameJson } from '../../../store/stamp.ts';
import { isObject } from '../../server/body.ts';
import { apiVersionOf, inVersion, type Target } from '../kinds.ts';
import { ApiError, badRequest, invalid } from '../status.ts';
import { conflictStatus } from './conflict-status.ts';
import { EMPTY, has, setOf } from './field-set.ts';
import { fieldsLastApplied, KUBECTL, withLastApplied } from './last-applied.ts';
import {
  decodeManagers,
  encodeManagers,
  joinOldUpdaters,
  ManagedFieldsError,
  type Managers,
  type Operation,
} from './managers.ts';
import { mergeTypeOf } from './merge-type.ts';
import { applyConfiguration, ConflictError, ownersAfterUpdate, type Rules, type Writer } from './ownership.ts';
import { checkMergeable, MergeError } from './typed-value.ts';

const STATUS = setOf(['f:status']);
const NONE: Managers = new Map();
/** Owns what an object had when it was first applied to, where no owners were known. */
const BEFORE_FIRST_APPLY = 'before-first-apply';

/** A write by create, replace or patch. */
export interface Update {
  readonly target: Target;
  /** The stored resource; absent for a create. */
  readonly live?: Resource | undefined;
  /** What is to be stored, without `managedFields`. */
  readonly written: Resource;
  /** `metadata.managedFields` of the request's body; `[{}]` and `[]` forget all owners. */
  readonly given: unknown;
  readonly manager: string;
}

/**
 * The resource with its owners after the write. Objects without owners stay without until they are first applied to.
 * @throws ApiError 422 for `managedFields` that are not well-formed
 */
export function trackUpdate({ target, live, written, given, manager }: Update): Resource {
  const managers = givenManagers(target, given) ?? (live ? managersOf(live) : NONE);
  if (live && (managers.size === 0 || isReset(given))) return withManagers(written, NONE);
  const owners = ownersAfterUpdate(rulesOf(target), {
    live: live ? contentOf(inVersion(target, live)) : {},
    written: contentOf(inVersion(target, written)),
    managers,
    writer: writerOf(target, manager, 'Update'),
    now: timestamp(),
  });
  return withManagers(written, joinOldUpdaters(owners));
}

/** A write to the subresource `status`. */
export interface StatusUpdate extends Omit<Update, 'target'> {
  readonly target: Pick<Target, 'kind' | 'apiVersion' | 'name'>;
  readonly live: Resource;
}

/**
 * `metadata.managedFields` after a write of the status, whose writer owns what it changed as of the subresource `status`. Objects
 * without owners stay without.
 * @throws ApiError 422 for `managedFields` that are not well-formed
 */
export function trackStatus({ target, live, written, given, manager }: StatusUpdate): unknown[] | undefined {
  const managers = givenManagers(target, given) ?? managersOf(live);
  if (managers.size === 0 || isReset(given)) return undefined;
  const owners = ownersAfterUpdate(
    { ...rulesOf(target), resetFields: EMPTY },
    {
      live: { status: live.status },
      written: { status: written.status },
      managers,
      writer: { ...writerOf(target, manager, 'Update'), subresource: 'status' },
      now: timestamp(),
    },
  );
  return encodeManagers(joinOldUpdaters(owners));
}

/** A server-side apply of a configuration. */
export interface Application {
  readonly target: Target;
  readonly live?: Resource | undefined;
  /** The body of the request. */
  readonly applied: Record<string, unknown>;
  readonly manager: string;
  readonly force: boolean;
}

export interface Applied {
  /** The merged body, for admission. */
  readonly body: Record<string, unknown>;
  /** Puts the owners, and kubectl's annotation, into what admission made of it. */
  readonly finish: (admitted: Resource) => Resource;
}

/** @throws ApiError 409 conflicts; 400 managedFields in the body; 422 lists that cannot be merged */
export function applyFields(application: Application): Applied {
  const { target, live, applied } = application;
  const metadata = applied['metadata'];
  if (isObject(metadata) && metadata['managedFields'] !== undefined && metadata['managedFields'] !== null)
    throw badRequest('metadata.managedFields must be nil');
  const rules = rulesOf(target);
  const content = contentOf(applied);
  mustBeMergeable(target, rules, content);
  const { value, managers } = mergedBy(application, rules, content);
  const body = value as Record<string, unknown>;
  const inner = isObject(body['metadata']) ? body['metadata'] : {};
  const { name, namespace } = isObject(metadata) ? metadata : {};
  return {
    body: {
      ...body,
      apiVersion: applied['apiVersion'],
      kind: applied['kind'],
      metadata: {
        ...inner,
        ...(name === undefined ? {} : { name }),
        ...(namespace === undefined ? {} : { namespace }),
      },
    },
    finish: (admitted) => {
      const named = application.manager === KUBECTL && live ? withLastApplied(admitted, applied) : admitted;
      return withManagers(named, managers);
    },
  };
}

function mergedBy(application: Application, rules: Rules, applied: unknown): { value: unknown; managers: Managers } {
  const { target, live, manager } = application;
  const now = timestamp();
  const managers = live ? knownOrFirst(target, live, rules, now) : NONE;
  const writer = writerOf(target, manager, 'Apply');
  const liveContent = live ? contentOf(inVersion(target, live)) : {};
  const merge = (force: boolean) =>
    applyConfiguration(rules, { live: liveContent, applied, managers, writer, now, force }, sameJson);
  try {
    return merge(application.force);
  } catch (error) {
    if (!(error instanceof ConflictError)) throw error;
    if (manager !== KUBECTL || !live) throw conflictStatus(error.conflicts);
    const own = fieldsLastApplied(rules.type, target.apiVersion, { ...live, ...liveContent } as Resource);
    const others = error.conflicts.filter(({ path }) => !has(own, path));
    if (others.length > 0) throw conflictStatus(others);
    return merge(true);
  }
}

function knownOrFirst(target: Target, live: Resource, rules: Rules, now: string): Managers {
  const managers = managersOf(live);
  if (managers.size > 0) return joinOldUpdaters(managers);
  const writer = writerOf(target, BEFORE_FIRST_APPLY, 'Update');
  return ownersAfterUpdate(rules, { live: {}, written: contentOf(inVersion(target, live)), managers, writer, now });
}

function mustBeMergeable(target: Target, rules: Rules, content: unknown): void {
  try {
    checkMergeable(rules.type, content);
  } catch (error) {
    if (!(error instanceof MergeError)) throw error;
    const message = `failed to create typed patch object (${target.namespace}/${target.name}; ${target.apiVersion}, Kind=${target.kind.kind}): ${error.message}`;
    throw new ApiError(422, 'Invalid', message, {
      name: target.name,
      ...(target.kind.group ? { group: target.kind.group } : {}),
      kind: target.kind.kind,
      causes: [{ reason: 'FieldValueInvalid', message: error.message, field: error.path.replace(/^\./, '') }],
    });
  }
}

function isReset(given: unknown): boolean {
  if (!Array.isArray(given)) return false;
  return given.length === 0 || (given.length === 1 && isObject(given[0]) && Object.keys(given[0]).length === 0);
}

/** The owners that a body names; undefined when it names none. */
function givenManagers({ kind, name }: Pick<Target, 'kind' | 'name'>, given: unknown): Managers | undefined {
  if (given === undefined || given === null || isReset(given)) return undefined;
  try {
    const managers = decodeManagers(given);
    return managers.size === 0 ? undefined : managers;
  } catch (error) {
    if (!(error instanceof ManagedFieldsError)) throw error;
    const path = `metadata.managedFields${error.path}`;
    throw invalid(kind, name, [{ path, rule: 'metadata.managedFields', message: error.message }]);
  }
}

/** Stored entries were checked when they were written; others, as of an edited store, count as none. */
function managersOf({ metadata }: Resource): Managers {
  if (!metadata.managedFields) return NONE;
  try {
    return decodeManagers(metadata.managedFields);
  } catch (error) {
    if (error instanceof ManagedFieldsError) return NONE;
    throw error;
  }
}

function withManagers(resource: Resource, managers: Managers): Resource {
  const { managedFields: _, ...metadata } = resource.metadata;
  const entries = encodeManagers(managers);
  return { ...resource, metadata: entries ? { ...metadata, managedFields: entries } : metadata };
}

function rulesOf({ kind }: Pick<Target, 'kind'>): Rules {
  const apiVersions = new Set(kind.versions.map((version) => apiVersionOf(kind.group, version)));
  return { type: mergeTypeOf(kind), apiVersions, resetFields: STATUS };
}

function writerOf({ apiVersion }: Pick<Target, 'apiVersion'>, name: string, operation: Operation): Writer {
  return { name, operation, apiVersion, subresource: '' };
}

/** What has owners: not type and identity, nor what the server alone writes. */
function contentOf(resource: object): Record<string, unknown> {
  const { apiVersion: _version, kind: _kind, metadata, ...rest } = resource as Record<string, unknown>;
  if (!isObject(metadata)) return rest;
  const shown = Object.entries(metadata).filter(([name]) => !SERVER_SET.has(name));
  return { ...rest, metadata: Object.fromEntries(shown) };
}

const SERVER_SET = new Set([
  'name',
  'namespace',
  'uid',
  'resourceVersion',
  'generation',
  'creationTimestamp',
  'deletionTimestamp',
  'deletionGracePeriodSeconds',
  'selfLink',
  'managedFields',
]);

/** RFC 3339 with seconds, as Kubernetes writes it. */
const timestamp = () => `${new Date().toISOString().slice(0, 19)}Z`;
