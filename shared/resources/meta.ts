/** apiVersion, kind and metadata: what every resource has (kubernetes.io/docs/concepts/overview/working-with-objects). */
import type { z } from 'zod';
import { labelKeyFault, labelValueFault } from '../match/labels.ts';
import type { Fault, ObjectMeta } from './resource.ts';
import { bool, integer, list, map, object, string, struct } from './schema/vocabulary.ts';

const OwnerReference = object(
  {
    apiVersion: string(),
    kind: string(),
    name: string(),
    uid: string(),
    controller: bool(),
    blockOwnerDeletion: bool(),
  },
  ['apiVersion', 'kind', 'name', 'uid'],
);

/** A name may be absent where generateName stands for it; `checkMeta` asks for one of the two. */
export const Metadata = object({
  name: string({ min: 1 }),
  generateName: string(),
  namespace: string(),
  labels: map(string()),
  annotations: map(string()),
  uid: string(),
  resourceVersion: string(),
  generation: integer(),
  creationTimestamp: string(),
  deletionTimestamp: string(),
  deletionGracePeriodSeconds: integer(),
  selfLink: string(),
  finalizers: list(string()),
  ownerReferences: list(OwnerReference),
  managedFields: list(struct()),
});
export type Metadata = z.infer<typeof Metadata>;

const SUBDOMAIN = /^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$/;
const LABEL = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;
const MAX_ANNOTATION_BYTES = 256 * 1024;

/** Rules for metadata that its schema cannot say. */
export function checkMeta(metadata: Partial<ObjectMeta>, namespaced: boolean): Fault[] {
  const faults: Fault[] = [];
  const fault = (path: string, rule: string, message: string) =>
    faults.push({ path: `metadata.${path}`, rule: `metadata.${rule}`, message });
  const { name, generateName, namespace } = metadata;
  if (name === undefined && !generateName) fault('name', 'name', 'is required');
  if (name !== undefined && (name.length > 253 || !SUBDOMAIN.test(name))) {
    fault('name', 'name', `"${name}" must be a DNS subdomain: lower case letters, digits, "-" and "."`);
  }
  if (namespace !== undefined && !namespaced) fault('namespace', 'namespace', 'this kind has no namespace');
  else if (namespace !== undefined && namespace !== '' && !LABEL.test(namespace)) {
    fault('namespace', 'namespace', `"${namespace}" must be a DNS label: lower case letters, digits and "-"`);
  }
  for (const [key, value] of Object.entries(metadata.labels ?? {})) {
    const message = labelKeyFault(key) ?? labelValueFault(value);
    if (message) fault(`labels[${JSON.stringify(key)}]`, 'labels', message);
  }
  let size = 0;
  for (const [key, value] of Object.entries(metadata.annotations ?? {})) {
    size += key.length + value.length;
    const message = labelKeyFault(key.toLowerCase());
    if (message) fault(`annotations[${JSON.stringify(key)}]`, 'annotations', message.replace('label', 'annotation'));
  }
  if (size > MAX_ANNOTATION_BYTES) fault('annotations', 'annotations', 'must be at most 256 KiB together');
  return faults;
}
