/** What an operator should know of a proxy that runs as configured and yet does not do what was meant. */
import type { Node } from '../../../shared/xds/core.ts';
import type { MeshView } from '../../mesh/view.ts';
import { NodeError, type ProxyView, proxyOf } from '../scope/proxy.ts';
import { isOfGroup } from './proxy-config.ts';
import { PROXY_TYPES } from './proxy-types.ts';

/** Why a sidecar serves nothing of the mesh, with the remedy; undefined where it does, and for other proxies. */
export function servesNothing(view: MeshView, node: Node): string | undefined {
  const proxy = viewOf(view, node);
  if (proxy?.type !== 'sidecar' || proxy.instances.some(({ workload }) => workload.isOwn)) return undefined;
  return `it serves no service of the mesh (a pure client needs none): ${whyNothing(view, proxy)}`;
}

/** undefined: its config cannot be compiled, which is reported by itself. */
function viewOf(view: MeshView, node: Node): ProxyView | undefined {
  try {
    return proxyOf(view, node, PROXY_TYPES);
  } catch (error) {
    if (error instanceof NodeError) return undefined;
    throw error;
  }
}

function whyNothing(view: MeshView, proxy: ProxyView): string {
  const { namespace, serviceAccount, workloads } = proxy;
  const address = proxy.ips.join(', ');
  const entry = workloads.find(({ isOwn, name }) => isOwn && name.startsWith('WorkloadEntry '));
  if (entry)
    return `${entry.name} has its address ${address}, but no ServiceEntry or Service selects it: give one a selector with its labels`;
  const foreign = workloads.find(({ isOwn }) => !isOwn);
  if (foreign)
    return `${foreign.name} has its address ${address} and another service account than ${serviceAccount}: give the entry that account, or start it with --ip ADDRESS of its own entry`;
  const group = view
    .resources('WorkloadGroup')
    .find((each) => each.metadata.namespace === namespace && isOfGroup(each, proxy));
  if (group)
    return `WorkloadGroup ${namespace}/${group.metadata.name} describes it: join it with an invitation ("tulle invite --group ${group.metadata.name} -n ${namespace}"), or create a WorkloadEntry with its address ${address}`;
  if (isLoopback(proxy))
    return `no entry has its address ${address}${address === DEFAULT_IP ? ' (as without --ip)' : ''} with service account ${serviceAccount} and labels that it has: start it with --ip ADDRESS of its entry`;
  return `no WorkloadEntry, ServiceEntry endpoint or EndpointSlice of namespace ${namespace} has its address ${address}: create one, or start it with --ip ADDRESS of its entry`;
}

/** Of a proxy that is started without --ip. */
const DEFAULT_IP = '127.0.0.1';

const isLoopback = ({ ips }: ProxyView): boolean => ips.every((ip) => ip === '::1' || ip.startsWith('127.'));
