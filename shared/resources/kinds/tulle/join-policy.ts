import { checkJoinPolicy } from '../../checks/tulle/join-policy.ts';
import { AGE, count } from '../../describe/columns.ts';
import type { ResourceOf } from '../../kind.ts';
import { JoinPolicySpec } from '../../schema/tulle/join-policy.ts';
import { defineTulleKind } from './tulle-kind.ts';

export const joinPolicy = defineTulleKind({
  kind: 'JoinPolicy',
  plural: 'joinpolicies',
  shortNames: ['jp'],
  spec: JoinPolicySpec,
  columns: [
    count('Rules', ['.spec.rules'], 'Number of rules'),
    { name: 'Disabled', type: 'boolean', jsonPath: '.spec.disabled', description: 'Whether it grants nothing' },
    AGE,
  ],
  description:
    'Which machines may join without a token: what proves who a machine is, and the WorkloadGroup or service account of the namespace that it becomes. Without a policy no evidence but a token is accepted.',
  check: checkJoinPolicy,
});
export type JoinPolicy = ResourceOf<typeof joinPolicy>;
