/** `labelSelector` and `fieldSelector` of list and watch (https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/). */
import type { Resource } from '../../../shared/resources/resource.ts';
import { badRequest } from './status.ts';

export type Matches = (resource: Resource) => boolean;

export interface Selectors {
  matches: Matches;
  /** Whether a resource may begin or cease to match: labels change, names do not. */
  changeable: boolean;
}

/** @throws ApiError 400 naming the term that is not understood */
export function parseSelectors(labelSelector: string | undefined, fieldSelector: string | undefined): Selectors {
  const labels = split(labelSelector ?? '').map(parseLabelTerm);
  const fields = split(fieldSelector ?? '').map(parseFieldTerm);
  const all = [...labels, ...fields];
  return { matches: (resource) => all.every((matches) => matches(resource)), changeable: labels.length > 0 };
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

function parseFieldTerm(term: string): Matches {
  const match = /^(metadata\.name|metadata\.namespace)\s*(==|=|!=)\s*([^=!\s]*)$/.exec(term);
  if (!match)
    throw badRequest(
      `fieldSelector "${term}" is not supported: only metadata.name and metadata.namespace with =, == or !=`,
    );
  const [, field, operator, value = ''] = match;
  const negated = operator === '!=';
  return ({ metadata }) => ((field === 'metadata.name' ? metadata.name : metadata.namespace) === value) !== negated;
}
