/** What the conditions of a resource, and of its policy, say of rollouts. */
import type { Resource } from '../../shared/resources/resource.ts';
import type { StateCondition } from '../status/conditions.ts';
import { isLive, targetName } from './rollout.ts';
import type { Rollout } from './rollouts.ts';

export const ROLLED_OUT = 'RolledOut';

/** `True`: in force for every proxy. `False`: for none. `Unknown`: for some, or not yet. */
export function conditionOf(rollout: Rollout, isOver: boolean): StateCondition {
  const { phase, reason } = rollout;
  if (isOver) return { type: ROLLED_OUT, status: 'True', reason: 'Completed', message: reason };
  const status = phase === 'Reverted' ? 'False' : 'Unknown';
  return { type: ROLLED_OUT, status, reason: phase, message: textOf(rollout) };
}

/** `step 2 of 4, 10 % of the proxies (policy shop/careful)` */
export function textOf(rollout: Rollout): string {
  const { phase, reason, policy } = rollout;
  const by = `policy ${policy}`;
  if (phase === 'Reverted') return `no proxy has this revision: ${reason} (${by})`;
  if (!isLive(rollout)) return `no proxy has this revision yet: ${reason} (${by})`;
  return [`${stepText(rollout)} (${by})`, reason].filter((part) => part !== '').join(': ');
}

export function stepText({ step, steps }: Pick<Rollout, 'step' | 'steps'>): string {
  const { percent, labels } = steps[step]!;
  const share = percent === undefined ? [] : [`${percent} % of the proxies`];
  const named = labels
    ? [
        `proxies with ${Object.entries(labels)
          .map(([key, value]) => `${key}=${value}`)
          .join(',')}`,
      ]
    : [];
  return `step ${step + 1} of ${steps.length}, ${[...share, ...named].join(' and ')}`;
}

/** How many rollouts a policy's condition names. */
const NAMED = 10;

/** Of a policy: that of all its rollouts together. */
export function policyCondition(rollouts: readonly Rollout[]): StateCondition {
  if (rollouts.length === 0)
    return { type: ROLLED_OUT, status: 'True', reason: 'Completed', message: 'every change is in force' };
  const reverted = rollouts.some(({ phase }) => phase === 'Reverted');
  const texts = rollouts.slice(0, NAMED).map((rollout) => `${targetName(rollout)}: ${textOf(rollout)}`);
  const more = rollouts.length > NAMED ? [`and ${rollouts.length - NAMED} more`] : [];
  const message = [...texts, ...more].join('; ');
  return reverted
    ? { type: ROLLED_OUT, status: 'False', reason: 'Reverted', message }
    : { type: ROLLED_OUT, status: 'Unknown', reason: 'Progressing', message };
}

export interface StateReporter {
  state(about: Resource, condition: StateCondition): void;
}
