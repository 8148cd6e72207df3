/** apiVersion, kind and metadata: what every resource has (kubernetes.io/docs/concepts/overview/working-with-objects). */
import type { z } from 'zod';
import { labelKeyViolation, labelValueViolation } from '../match/labels.ts';
import type { ObjectMeta, Violation } from './resource.ts';
import {
  atomic,
  bool,
  integer,
  list,
  map,
  mergedAsSet,
  mergedBy,
  object,
  string,
  struct,
} from './schema/vocabulary.ts';

const OwnerReference = atomic(
  object(
    {
      apiVersion: string().describe('API version of the owner.'),
      kind: string().describe('Kind of the owner.'),
      name: string().describe('Name of the owner.'),
      uid: string().describe('UID of the owner.'),
      controller: bool().describe('The owner is the controller that made the resource.'),
      blockOwnerDeletion: bool().describe('The owner is not deleted before the resource.'),
    },
    ['apiVersion', 'kind', 'name', 'uid'],
  ),
);

/** A name may be absent with generateName; `checkMeta` requires one of the two. */
export const Metadata = object({
  name: string({ min: 1 }).describe('Name, once in a namespace and kind: lower case letters, digits, "-" and ".".'),
  generateName: string().describe('How a name begins that the server makes, where name is left out.'),
  namespace: string().describe('Namespace of the resource. Default: default.'),
  labels: map(string()).describe('Labels that selectors match.'),
  annotations: map(string()).describe('Notes for people and tools, at most 256 KiB together.'),
  uid: string().describe('Given by the server: a recreated resource gets another one.'),
  resourceVersion: string().describe(
    'Given by the server: another one after every change. A write that sends it fails when it is not the last.',
  ),
  generation: integer().describe('Given by the server: counts changes of the spec.'),
  creationTimestamp: string().describe('Given by the server: when the resource was made, RFC 3339.'),
  deletionTimestamp: string().describe('Given by the server: since when the resource is to go, RFC 3339.'),
  deletionGracePeriodSeconds: integer().describe('Given by the server: seconds the resource may take to go.'),
  selfLink: string().describe('Deprecated, not used.'),
  finalizers: mergedAsSet(list(string())).describe('What must be done before the resource goes.'),
  ownerReferences: mergedBy(list(OwnerReference), 'uid').describe('Resources that this one goes with.'),
  managedFields: list(struct()).describe('Given by the server: who set which fields.'),
});
export type Metadata = z.infer<typeof Metadata>;

const SUBDOMAIN = /^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$/;
const LABEL = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;
const MAX_ANNOTATION_BYTES = 256 * 1024;

/** Rules for metadata that its schema cannot say. */
export function checkMeta(
  metadata: Partial<ObjectMeta>,
  { namespaced, names }: { namespaced: boolean; names?: 'path-segment' | undefined },
): Violation[] {
  const violations: Violation[] = [];
  const violation = (path: string, rule: string, message: string) =>
    violations.push({ path: `metadata.${path}`, rule: `metadata.${rule}`, message });
  const { name, generateName, namespace } = metadata;
  if (name === undefined && !generateName) violation('name', 'name', 'is required');
  if (name !== undefined && names === 'path-segment') {
    if (name === '.' || name === '..' || /[/%]/.test(name))
      violation('name', 'name', `"${name}" must not be ".", "..", or contain "/" or "%"`);
  } else if (name !== undefined && (name.length > 253 || !SUBDOMAIN.test(name))) {
    violation('name', 'name', `"${name}" must be a DNS subdomain: lower case letters, digits, "-" and "."`);
  }
  if (namespace !== undefined && !namespaced) violation('namespace', 'namespace', 'this kind has no namespace');
  else if (namespace !== undefined && namespace !== '' && !LABEL.test(namespace)) {
    violation('namespace', 'namespace', `"${namespace}" must be a DNS label: lower case letters, digits and "-"`);
  }
  for (const [key, value] of Object.entries(metadata.labels ?? {})) {
    const message = labelKeyViolation(key) ?? labelValueViolation(value);
    if (message) violation(`labels[${JSON.stringify(key)}]`, 'labels', message);
  }
  for (const [at, finalizer] of (metadata.finalizers ?? []).entries()) {
    const message = labelKeyViolation(finalizer);
    if (message) violation(`finalizers[${at}]`, 'finalizers', message.replace('label', 'finalizer'));
  }
  checkOwners(metadata.ownerReferences ?? [], violation);
  let size = 0;
  for (const [key, value] of Object.entries(metadata.annotations ?? {})) {
    size += key.length + value.length;
    const message = labelKeyViolation(key.toLowerCase());
    if (message)
      violation(`annotations[${JSON.stringify(key)}]`, 'annotations', message.replace('label', 'annotation'));
  }
  if (size > MAX_ANNOTATION_BYTES) violation('annotations', 'annotations', 'must be at most 256 KiB together');
  return violations;
}

/** Each owner is looked up when one of them is deleted. */
const MAX_OWNERS = 1000;

function checkOwners(
  owners: NonNullable<ObjectMeta['ownerReferences']>,
  violation: (path: string, rule: string, message: string) => void,
): void {
  if (owners.length > MAX_OWNERS) {
    violation('ownerReferences', 'ownerReferences', `must have at most ${MAX_OWNERS} items`);
    return;
  }
  for (const [at, owner] of owners.entries())
    for (const field of ['apiVersion', 'kind', 'name', 'uid'] as const)
      if (owner[field] === '') violation(`ownerReferences[${at}].${field}`, 'ownerReferences', 'must not be empty');
  const controllers = owners.filter(({ controller }) => controller);
  if (controllers.length < 2) return;
  const names = controllers.map(({ name }) => name).join(' and ');
  violation('ownerReferences', 'ownerReferences', `only one owner can be the controller, found ${names}`);
}
