/** What compilation found about a resource: for the log, and for the resource's status. */
import type { Resource } from '../../../shared/resources/resource.ts';
import { namespaceOf } from '../../mesh/fields.ts';

/**
 * - `RuleNotTranslated`: requests that the rule matches are answered with 500.
 * - `PolicyFailsClosed`: a part of an AuthorizationPolicy cannot be evaluated; what it concerns is denied.
 * - `RuleWithoutEffect`: a rule is left out, because what it refers to is missing or no request can match it.
 * - `PatchLeftOut`: a patch whose result is not valid is not applied.
 * - `FilterMissing`: proxies do not have a filter that a patch adds; what would pass it is refused.
 * - `KeysNotAvailable`: tokens that a rule is for are refused, because the keys of their issuer are not there.
 * - `EndpointUnreachable`: an endpoint of a service is called by no proxy, or not by all.
 * - `FieldWithoutEffect`: something written that has no effect, or another one than in Istio.
 */
export const FINDING_REASONS = [
  'RuleNotTranslated',
  'PolicyFailsClosed',
  'RuleWithoutEffect',
  'PatchLeftOut',
  'FilterMissing',
  'KeysNotAvailable',
  'EndpointUnreachable',
  'FieldWithoutEffect',
] as const;
export type FindingReason = (typeof FINDING_REASONS)[number];

export interface Finding {
  /** As it was compiled: its generation is the one that the finding is about. */
  readonly about: Resource;
  readonly reason: FindingReason;
  /** One sentence, without the resource's name; a field path comes first. No secrets. */
  readonly message: string;
}

/** `VirtualService shop/cart` */
function nameOf(resource: Resource): string {
  return `${resource.kind} ${namespaceOf(resource)}/${resource.metadata.name}`;
}

/** The finding in one line. */
export function findingText({ about, message }: Finding): string {
  return `${nameOf(about)}: ${message}`;
}

/** The findings without those that say the same, in their order. */
export function distinctFindings(findings: Iterable<Finding>): readonly Finding[] {
  const found = new Map<string, Finding>();
  for (const finding of findings) {
    const text = `${finding.reason} ${findingText(finding)}`;
    if (!found.has(text)) found.set(text, finding);
  }
  return [...found.values()];
}
