/** RolloutPolicies: which of them governs a change, and in which steps. */
import { parseDuration } from '../../shared/resources/index.ts';
import type { ResourceOfKind } from '../../shared/resources/registry.ts';
import type { Resource } from '../../shared/resources/resource.ts';
import { type RolloutStep, TRAFFIC_KINDS } from '../../shared/resources/schema/tulle/rollout-policy.ts';
import { namespaceOf, selects, specOf } from '../mesh/fields.ts';
import { byAge } from '../mesh/order.ts';

export type RolloutPolicy = ResourceOfKind<'RolloutPolicy'>;

/** A step as it is carried out. */
export interface Step {
  /** Milliseconds. */
  readonly durationMs: number;
  /** Of the proxies concerned; undefined: as many as in the step before. */
  readonly percent?: number | undefined;
  /** Labels of proxies that have the change whatever the percentage. */
  readonly labels?: Readonly<Record<string, string>> | undefined;
}

const DEFAULT_DURATION_MS = 600_000;
const DEFAULT_STEPS: readonly RolloutStep[] = [1, 10, 50, 100].map((percent) => ({ percent }));

/** Of a policy's spec, the default ones where it has none. */
export function stepsOf(policy: RolloutPolicy): readonly Step[] {
  return (specOf(policy).steps ?? DEFAULT_STEPS).map(({ duration, percent, proxies }) => ({
    durationMs: (duration && parseDuration(duration)) || DEFAULT_DURATION_MS,
    ...(percent !== undefined && { percent }),
    ...(proxies && { labels: proxies.matchLabels }),
  }));
}

/**
 * The policy that governs changes of a resource: one of its own namespace comes before one of the root namespace, then the older.
 * @param resource as it is written; as it was, where it is deleted
 */
export function policyFor(
  policies: readonly RolloutPolicy[],
  resource: Resource,
  rootNamespace: string,
): RolloutPolicy | undefined {
  const own = namespaceOf(resource);
  const selecting = policies.filter((policy) => isSelected(policy, resource, rootNamespace)).sort(byAge);
  return selecting.find((policy) => namespaceOf(policy) === own) ?? selecting[0];
}

function isSelected(policy: RolloutPolicy, resource: Resource, rootNamespace: string): boolean {
  const { kinds = TRAFFIC_KINDS, namespaces, selector } = specOf(policy);
  if (!(kinds as readonly string[]).includes(resource.kind)) return false;
  const [at, own] = [namespaceOf(policy), namespaceOf(resource)];
  const isInReach = at === rootNamespace ? (namespaces?.includes(own) ?? true) : at === own;
  return isInReach && selects(selector?.matchLabels ?? {}, resource.metadata.labels ?? {});
}

/** `namespace/name` */
export const policyName = (policy: Resource): string => `${namespaceOf(policy)}/${policy.metadata.name}`;
