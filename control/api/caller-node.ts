/** Whether a node is the caller's own to speak for. */
import type { Node } from '../../shared/xds/core.ts';
import type { Caller } from './caller.ts';

/** A node may only speak for the identity it proved. @returns what is wrong */
export function foreignNode(node: Node, caller: Caller & { kind: 'workload' }): string | undefined {
  const metadata = node.metadata ?? {};
  // Proxies are told apart by their ids: one of another namespace would stand in that proxy's place in proxy-status.
  if (!node.id.split('~')[2]?.endsWith(`.${caller.namespace}`))
    return `node.id: must be type~ip~name.${caller.namespace}~dns domain, the namespace of the caller's identity`;
  if (metadata['NAMESPACE'] !== caller.namespace)
    return `node.metadata.NAMESPACE: must be "${caller.namespace}", the namespace of the caller's identity`;
  if (metadata['SERVICE_ACCOUNT'] !== caller.serviceAccount)
    return `node.metadata.SERVICE_ACCOUNT: must be "${caller.serviceAccount}", the caller's service account`;
  return undefined;
}
