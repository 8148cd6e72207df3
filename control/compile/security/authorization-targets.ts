/**
 * `targetRef` and `targetRefs` of an AuthorizationPolicy: which proxies enforce it. Gateways of the Gateway API are known
 * by their label; a Service or ServiceEntry is enforced by the proxies of the workloads behind it, for there is no
 * waypoint. A target that cannot be represented here is never dropped silently: where it might mean this proxy, it denies.
 */
import type { Resource } from '../../../shared/resources/resource.ts';
import type { PolicyTargetReference } from '../../../shared/resources/schema/common.ts';

/** Labels of the proxies of a Gateway API gateway. */
const GATEWAY_NAME = 'gateway.networking.k8s.io/gateway-name';
const GATEWAY_CLASS = 'gateway.networking.k8s.io/gateway-class-name';

/** A Service or ServiceEntry that a workload serves. */
export interface ServedTarget {
  kind: string;
  name: string;
  namespace: string;
}

export interface TargetedWorkload {
  namespace: string;
  labels: Readonly<Record<string, string>>;
  serves?: readonly ServedTarget[];
}

/** `unsupported`: it cannot be decided whether this workload is meant; the text says why. */
export type TargetVerdict = 'applies' | 'elsewhere' | { unsupported: string };

/** Does one of the targets mean this workload? One that does outweighs those that cannot be evaluated. */
export function judgeTargets(
  targets: readonly PolicyTargetReference[],
  policy: Resource,
  workload: TargetedWorkload,
  rootNamespace: string,
): TargetVerdict {
  const namespace = policy.metadata.namespace ?? 'default';
  let verdict: TargetVerdict = 'elsewhere';
  for (const target of targets) {
    const one = judge(target, namespace, workload, rootNamespace);
    if (one === 'applies') return one;
    if (one !== 'elsewhere') verdict = one;
  }
  return verdict;
}

function judge(
  { group: written = '', kind, name, namespace: targetNamespace }: PolicyTargetReference,
  namespace: string,
  workload: TargetedWorkload,
  rootNamespace: string,
): TargetVerdict {
  const group = written === 'core' ? '' : written;
  const type = `${group}/${kind}`;
  if (type === 'gateway.networking.k8s.io/GatewayClass') return judgeClass(name, namespace, workload, rootNamespace);
  if (targetNamespace && targetNamespace !== namespace)
    return { unsupported: `${kind} ${targetNamespace}/${name} is of another namespace` };
  const here = workload.namespace === namespace;
  switch (type) {
    case 'gateway.networking.k8s.io/Gateway':
      return here && labelOf(workload, GATEWAY_NAME) === name ? 'applies' : 'elsewhere';
    case '/Service':
    case 'networking.istio.io/ServiceEntry':
      return workload.serves?.some((one) => one.kind === kind && one.name === name && one.namespace === namespace)
        ? 'applies'
        : 'elsewhere';
    default:
      return { unsupported: `targets of kind ${type} are not supported` };
  }
}

/** Every gateway of a class; only the root namespace may say so. */
function judgeClass(name: string, namespace: string, workload: TargetedWorkload, rootNamespace: string): TargetVerdict {
  if (labelOf(workload, GATEWAY_NAME) === undefined) return 'elsewhere';
  if (namespace !== rootNamespace)
    return { unsupported: `GatewayClass ${name} can be a target only of policies in ${rootNamespace}` };
  const own = labelOf(workload, GATEWAY_CLASS);
  if (own === undefined) return { unsupported: `the gateway has no label ${GATEWAY_CLASS}` };
  return own === name ? 'applies' : 'elsewhere';
}

function labelOf({ labels }: TargetedWorkload, key: string): string | undefined {
  return Object.hasOwn(labels, key) ? labels[key] : undefined;
}
