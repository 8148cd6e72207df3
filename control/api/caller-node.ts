/** Whether the caller may use a node. */
import type { Node } from '../../shared/xds/core.ts';
import type { Caller } from './caller.ts';

/** A name of 253, its namespace and a domain, as DNS has them, and an address. */
const MAX_ID = 640;
const ID = /^[a-z]{1,16}~[0-9A-Fa-f:.]{0,45}~[A-Za-z0-9._-]+~[A-Za-z0-9._-]*$/;

/** Istio's form, which has no characters that a log or a terminal reads as more than text. @returns what is wrong */
export function malformedNodeId(id: string): string | undefined {
  if (id.length <= MAX_ID && ID.test(id)) return undefined;
  return `node.id: must be type~ip~name.namespace~dns domain, of at most ${MAX_ID} letters, digits, ".", "-", "_" and ":"`;
}

/** A node must have the identity that the caller proved. @returns what is wrong */
export function foreignNode(node: Node, caller: Caller & { kind: 'workload' }): string | undefined {
  const metadata = node.metadata ?? {};
  // The id identifies a proxy: with another namespace it would replace that namespace's proxy in proxy-status.
  if (!node.id.split('~')[2]?.endsWith(`.${caller.namespace}`))
    return `node.id: must be type~ip~name.${caller.namespace}~dns domain, the namespace of the caller's identity`;
  if (metadata['NAMESPACE'] !== caller.namespace)
    return `node.metadata.NAMESPACE: must be "${caller.namespace}", the namespace of the caller's identity`;
  if (metadata['SERVICE_ACCOUNT'] !== caller.serviceAccount)
    return `node.metadata.SERVICE_ACCOUNT: must be "${caller.serviceAccount}", the caller's service account`;
  return undefined;
}
