/** `labelSelector` and `fieldSelector` of list and watch (https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/). */
import type { Kind } from '../../../shared/resources/kind.ts';
import type { Resource } from '../../../shared/resources/resource.ts';
import { badRequest } from './status.ts';

export type Matches = (resource: Resource) => boolean;

export interface Selectors {
  matches: Matches;
  /** Whether a resource may begin or cease to match: labels and other fields change, names do not. */
  changeable: boolean;
  /** They select something: a list then does not say how many resources follow a page. */
  selective: boolean;
}

/** @throws ApiError 400 naming the term that is not understood */
export function parseSelectors(
  kind: Pick<Kind, 'group' | 'kind'>,
  labelSelector: string | undefined,
  fieldSelector: string | undefined,
): Selectors {
  const labels = split(labelSelector ?? '').map(parseLabelTerm);
  const fields = split(fieldSelector ?? '').map((term) => parseFieldTerm(kind, term));
  const all = [...labels, ...fields.map(({ matches }) => matches)];
  return {
    matches: (resource) => all.every((matches) => matches(resource)),
    changeable: labels.length > 0 || fields.some(({ changeable }) => changeable),
    selective: all.length > 0,
  };
}

/** At commas that stand outside of parentheses. */
function split(text: string): string[] {
  const terms = text.split(/,(?![^(]*\))/).map((term) => term.trim());
  return terms.length === 1 && terms[0] === '' ? [] : terms;
}

const labelKey = '[A-Za-z0-9](?:[A-Za-z0-9._/-]{0,315}[A-Za-z0-9])?';
const labelValue = '[A-Za-z0-9._-]{0,63}';
const equality = new RegExp(`^(${labelKey})\\s*(==|=|!=)\\s*(${labelValue})$`);
const membership = new RegExp(`^(${labelKey})\\s+(in|notin)\\s*\\(([^()]*)\\)$`);
const existence = new RegExp(`^(!?)\\s*(${labelKey})$`);

function parseLabelTerm(term: string): Matches {
  const equal = equality.exec(term);
  if (equal) return labelTest(equal[1] ?? '', new Set([equal[3] ?? '']), equal[2] === '!=');
  const member = membership.exec(term);
  if (member) {
    const values = (member[3] ?? '').split(',').map((value) => value.trim());
    return labelTest(member[1] ?? '', new Set(values), member[2] === 'notin');
  }
  const exists = existence.exec(term);
  if (!exists) throw badRequest(`unable to parse requirement: labelSelector "${term}"`);
  const absent = exists[1] === '!';
  return (resource) => (label(resource, exists[2] ?? '') === undefined) === absent;
}

function labelTest(key: string, values: ReadonlySet<string>, negated: boolean): Matches {
  return (resource) => {
    const value = label(resource, key);
    return (value !== undefined && values.has(value)) !== negated;
  };
}

function label(resource: Resource, key: string): string | undefined {
  const labels = resource.metadata.labels;
  return labels && Object.hasOwn(labels, key) ? labels[key] : undefined;
}

/** A field that resources are selected by: its path in the stored form, or what gives its text. */
type Selected = string | ((resource: Resource) => string);

const same = (...fields: readonly string[]): Record<string, Selected> => Object.fromEntries(fields.map((f) => [f, f]));
const REFERENCE = ['kind', 'namespace', 'name', 'uid', 'apiVersion', 'resourceVersion', 'fieldPath'];
const referenceAs = (name: string): Record<string, Selected> =>
  Object.fromEntries(REFERENCE.map((field) => [`${name}.${field}`, `involvedObject.${field}`]));
const sourceOf = (resource: Resource): string =>
  textAt(resource, ['source', 'component']) || textAt(resource, ['reportingComponent']);

/** By kind and group: fields beside name and namespace, as in Kubernetes. */
const FIELDS: Readonly<Record<string, Readonly<Record<string, Selected>>>> = {
  'Namespace.': same('status.phase'),
  'Secret.': same('type'),
  'Service.': same('spec.clusterIP', 'spec.type'),
  'Event.': { ...referenceAs('involvedObject'), ...same('reason', 'reportingComponent', 'type'), source: sourceOf },
  'Event.events.k8s.io': {
    ...referenceAs('regarding'),
    ...same('reason', 'type'),
    reportingController: 'reportingComponent',
  },
};

function parseFieldTerm(kind: Pick<Kind, 'group' | 'kind'>, term: string): { matches: Matches; changeable: boolean } {
  const match = /^([^=!\s]+)\s*(==|=|!=)\s*((?:[^=!\s\\]|\\.)*)$/.exec(term);
  if (!match) throw badRequest(`invalid selector: '${term}'; can't understand '${term}'`);
  const [, field = '', operator, escaped = ''] = match;
  const value = escaped.replace(/\\(.)/g, '$1');
  const named = field === 'metadata.name' || field === 'metadata.namespace';
  const selected = named ? field : FIELDS[`${kind.kind}.${kind.group}`]?.[field];
  if (selected === undefined) throw badRequest(unknownField(kind, field));
  const path = typeof selected === 'string' ? selected.split('.') : [];
  const textOf = typeof selected === 'string' ? (resource: Resource) => textAt(resource, path) : selected;
  const negated = operator === '!=';
  return { matches: (resource) => (textOf(resource) === value) !== negated, changeable: !named };
}

/** Kubernetes' wording, which differs between its own kinds and those of CRDs. */
function unknownField({ group }: Pick<Kind, 'group'>, field: string): string {
  if (group !== '') return `field label not supported: ${field}`;
  return `"${field}" is not a known field selector: only "metadata.name", "metadata.namespace"`;
}

function textAt(value: unknown, path: readonly string[]): string {
  let found: unknown = value;
  for (const step of path) {
    if (typeof found !== 'object' || found === null || !Object.hasOwn(found, step)) return '';
    found = (found as Record<string, unknown>)[step];
  }
  return typeof found === 'string' ? found : '';
}
