/**
 * A gateway is sent the private keys of the Gateways that select it by its labels. The labels of one that joined for a WorkloadGroup
 * are those that an administrator gave it: else every machine of a namespace could obtain the keys of its gateways.
 */
import type { Node } from '../../shared/xds/core.ts';
import type { Join } from '../ca/joins.ts';
import { PROXY_TYPES } from '../compile/node/proxy-types.ts';
import { labelsOf, namespaceOf } from '../mesh/fields.ts';
import { withAddedLabels } from './added-labels.ts';
import { templateOf, type WorkloadGroup } from './group-template.ts';
import { RegistrationError } from './registration-error.ts';

/**
 * @param join of the certificate that the proxy presents
 * @throws RegistrationError where it has a label that neither its group nor its invitation gives
 */
export function checkGatewayLabels(
  { id, metadata = {} }: Node,
  join: Join | undefined,
  groups: readonly WorkloadGroup[],
): void {
  if (join?.group === undefined) return;
  const type = id.slice(0, id.indexOf('~'));
  if (PROXY_TYPES.get(type)?.readsCredentials !== 'always') return;
  const group = groups.find((one) => one.metadata.name === join.group && namespaceOf(one) === join.namespace);
  const { labels: held } = withAddedLabels(group ? templateOf(group).labels : {}, join.labels);
  for (const name of ['LABELS', 'STATIC_LABELS'])
    for (const [key, value] of Object.entries(labelsOf(metadata[name])))
      if (!Object.hasOwn(held, key) || held[key] !== value)
        throw new RegistrationError(
          'not-allowed',
          `a gateway has the labels of its WorkloadGroup "${join.group}" and of its invitation, and none besides them: add them there`,
        );
}
