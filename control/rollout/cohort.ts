/** Which proxies have a candidate: by their labels, and by a number of their own that stays the same for a rollout. */
import { selects } from '../mesh/fields.ts';
import type { RolloutRecord } from './rollout.ts';

/** A proxy as cohorts are made of them. */
export interface CohortMember {
  /** The xDS node id. */
  readonly id: string;
  readonly labels: Readonly<Record<string, string>>;
}

/**
 * Above 0, at most 1: evenly spread, the same for the same node id in every control plane and after every restart.
 * @param salt another one for each rollout's target, so that not the same proxies are the first of every change
 */
export function cohortNumber(salt: string, nodeId: string): number {
  // FNV-1a, then the finalizer of MurmurHash3, so that similar ids are far apart.
  let hash = 0x811c9dc5;
  for (const text of [salt, '\n', nodeId])
    for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (((hash ^ (hash >>> 16)) >>> 0) + 1) / 0x1_0000_0000;
}

type Cohort = Pick<RolloutRecord, 'kind' | 'namespace' | 'name' | 'steps' | 'step' | 'boundary'>;

const saltOf = ({ kind, namespace, name }: Cohort): string => `${kind} ${namespace}/${name}`;

/** Whether a proxy has the candidate at the rollout's step. */
export function isInCohort(rollout: Cohort, { id, labels }: CohortMember): boolean {
  for (let i = 0; i <= rollout.step; i++) {
    const wanted = rollout.steps[i]?.labels;
    if (wanted && selects(wanted, labels)) return true;
  }
  return cohortNumber(saltOf(rollout), id) <= rollout.boundary;
}

/** Whether some step so far names proxies by labels, so that they have to be known. */
export const asksLabels = ({ steps, step }: Cohort): boolean =>
  steps.slice(0, step + 1).some(({ labels }) => labels !== undefined);

/**
 * The boundary of a step: so that its percentage of `concerned` has numbers up to it, at least one of them. Never lower than
 * that of the step before: a proxy that has the candidate keeps it. With 100 percent it is 1, and every proxy is in.
 */
export function boundaryOf(rollout: Cohort, concerned: readonly Pick<CohortMember, 'id'>[]): number {
  const percent = rollout.steps[rollout.step]?.percent;
  if (percent === undefined) return rollout.boundary;
  if (percent === 100) return 1;
  if (concerned.length === 0) return Math.max(rollout.boundary, percent / 100);
  const numbers = concerned.map(({ id }) => cohortNumber(saltOf(rollout), id)).sort((a, b) => a - b);
  const count = Math.ceil((numbers.length * percent) / 100);
  return Math.max(rollout.boundary, numbers[count - 1]!);
}
