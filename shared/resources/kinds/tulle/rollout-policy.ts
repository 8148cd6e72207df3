import { checkRolloutPolicy } from '../../checks/tulle/rollout-policy.ts';
import { AGE, count } from '../../describe/columns.ts';
import type { ResourceOf } from '../../kind.ts';
import { RolloutPolicySpec } from '../../schema/tulle/rollout-policy.ts';
import { defineTulleKind } from './tulle-kind.ts';

export const rolloutPolicy = defineTulleKind({
  kind: 'RolloutPolicy',
  plural: 'rolloutpolicies',
  shortNames: ['rop'],
  spec: RolloutPolicySpec,
  columns: [count('Steps', ['.spec.steps'], 'Number of steps; 0: the default ones'), AGE],
  description:
    'How changes of configuration come to the proxies in steps: to a part of them first, watched, and on or back by themselves. Without a policy a change is in force for every proxy at once.',
  check: checkRolloutPolicy,
});
export type RolloutPolicy = ResourceOf<typeof rolloutPolicy>;
