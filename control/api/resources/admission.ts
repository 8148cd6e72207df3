/** From a request's body to the resource that is stored: checked against its path, completed, validated. */
import { randomInt } from 'node:crypto';
import type { Kind } from '../../../shared/resources/kind.ts';
import { withoutUnknownFields } from '../../../shared/resources/read/unknown-fields.ts';
import type { Resource, Violation } from '../../../shared/resources/resource.ts';
import { notCompiled } from '../../compile/node/not-compiled.ts';
import { isObject } from '../server/body.ts';
import { applyFieldPolicy, type FieldPolicy } from './field-validation.ts';
import { inStoredVersion, type ResourceKinds, type Target } from './kinds.ts';
import { badRequest, invalid } from './status.ts';

export interface Admitted {
  resource: Resource;
  /** The target with the resource's own name. */
  target: Target;
  warnings: Violation[];
}

/**
 * Users cannot write status: it is dropped, and `stored` keeps its own. Unknown fields are never stored.
 * @throws ApiError 400 when the body is not the path's resource, or has fields its policy refuses; 422 with every
 * violation
 */
export function admit(
  kinds: ResourceKinds,
  target: Target,
  body: Record<string, unknown>,
  fields: FieldPolicy,
  stored?: Resource,
): Admitted {
  checkType(target, body);
  const { status: _, ...wanted } = body;
  const { apiVersion } = target;
  const whole = {
    ...wanted,
    apiVersion,
    kind: target.kind.kind,
    metadata: metadataFor(target, body['metadata'], stored),
  };
  const first = kinds.validate(whole);
  // The schemas refuse unknown fields: what has no violations has none to take out.
  const pruned =
    first.violations.length === 0 ? { value: whole, unknown: [] } : withoutUnknownFields(target.kind, whole);
  const known = applyFieldPolicy(target, pruned, fields);
  const metadata = known.body['metadata'] as Record<string, unknown>;
  const { resource, violations: found, warnings: all } = known.body === whole ? first : kinds.validate(known.body);
  kinds.validated?.(target, found);
  const name = String(metadata['name'] ?? '');
  const { refused, warnings } = unstorable(all);
  const violations = [...refused, ...found];
  if (violations.length > 0 || !resource) throw invalid(target.kind, name, violations);
  const status = stored ? stored.status : initialStatus(target.kind);
  const complete = completeCore(target.kind, inStoredVersion(target, resource));
  return {
    resource: status === undefined ? complete : { ...complete, status },
    target: { ...target, name },
    warnings: [...known.warnings, ...warnings, ...notCompiled(complete)],
  };
}

/** The validator only warns of a name in upper case, as files may have; the API refuses it, as Kubernetes does (RFC 1123). */
function unstorable(all: readonly Violation[]): { refused: Violation[]; warnings: Violation[] } {
  const ofName = ({ rule }: Violation) => rule === 'metadata.name';
  return { refused: all.filter(ofName), warnings: all.filter((each) => !ofName(each)) };
}

function checkType(target: Target, body: Record<string, unknown>): void {
  const { apiVersion = target.apiVersion, kind = target.kind.kind } = body;
  if (kind !== target.kind.kind)
    throw badRequest(`the kind in the data (${show(kind)}) does not match the expected kind (${target.kind.kind})`);
  if (apiVersion !== target.apiVersion)
    throw badRequest(
      `the API version in the data (${show(apiVersion)}) does not match the expected API version (${target.apiVersion})`,
    );
}

/** Name and namespace of the path; fields that the server manages are dropped, and the mark of a deletion is the stored one's. */
function metadataFor(target: Target, given: unknown, stored: Resource | undefined): Record<string, unknown> {
  if (!isObject(given)) throw badRequest('metadata: must be an object');
  const { managedFields: _, deletionTimestamp: __, deletionGracePeriodSeconds: ___, ...rest } = given;
  const { deletionTimestamp, deletionGracePeriodSeconds } = stored?.metadata ?? {};
  const metadata = Object.fromEntries(
    Object.entries({ ...rest, deletionTimestamp, deletionGracePeriodSeconds }).filter(
      ([, value]) => value !== null && value !== undefined,
    ),
  );
  if (target.kind.namespaced) {
    if (metadata['namespace'] && metadata['namespace'] !== target.namespace)
      throw badRequest('the namespace of the provided object does not match the namespace sent on the request');
    metadata['namespace'] = target.namespace;
  }
  if (!metadata['name'] && typeof metadata['generateName'] === 'string' && target.name === '')
    metadata['name'] = metadata['generateName'].slice(0, 248) + randomSuffix();
  if (target.name !== '' && metadata['name'] !== target.name)
    throw badRequest(
      `the name of the object (${show(metadata['name'])}) does not match the name on the URL (${target.name})`,
    );
  return metadata;
}

/** What the Kubernetes API server adds to core kinds. */
function completeCore(kind: Kind, resource: Resource): Resource {
  if (kind.group !== '') return resource;
  if (kind.kind === 'Namespace') {
    const { metadata } = resource;
    const labels = { ...metadata.labels, 'kubernetes.io/metadata.name': metadata.name };
    return { ...resource, metadata: { ...metadata, labels } };
  }
  if (kind.kind === 'Secret') return completeSecret(resource);
  return resource;
}

/** A type is never absent; `stringData` is write-only: it becomes base64 in `data`. */
function completeSecret(secret: Resource): Resource {
  const { stringData, data, ...rest } = secret as Resource & Record<'data' | 'stringData' | 'type', unknown>;
  const plain = isObject(stringData) ? Object.entries(stringData) : [];
  const encoded = plain.map(([name, value]) => [name, Buffer.from(String(value)).toString('base64')] as const);
  const merged = { ...(isObject(data) ? data : {}), ...Object.fromEntries(encoded) };
  const typed = { ...rest, type: rest.type ?? 'Opaque' } as Resource;
  return Object.keys(merged).length > 0 ? ({ ...typed, data: merged } as Resource) : typed;
}

function initialStatus(kind: Kind): unknown {
  return kind.group === '' && kind.kind === 'Namespace' ? { phase: 'Active' } : undefined;
}

/** Kubernetes' alphabet: no vowels, so no words. */
const suffixAlphabet = 'bcdfghjklmnpqrstvwxz2456789';

function randomSuffix(): string {
  return Array.from({ length: 5 }, () => suffixAlphabet[randomInt(suffixAlphabet.length)]).join('');
}

/** A client's value for a message: a short string, or its type. */
function show(value: unknown): string {
  return typeof value === 'string' ? value.slice(0, 253) : value === undefined ? '' : typeof value;
}
