/** The configurations of shared/reference/simulation. */
import type { Node } from '../../../../shared/xds/core.ts';
import { documentsOf, referenceJson } from '../reference.ts';
import type { Call, Met } from '../walk/call.ts';
import { acceptedResource } from './accepted-resource.ts';
import { withIngressesConverted } from './ingress.ts';
import type { CompileInput } from './input.ts';

export const CALLS = 'simulation/cases.json';
export const TABLES = 'simulation/sidecar-routes.json';

interface Proxy {
  readonly type: string;
  readonly namespace: string;
  readonly ipAddresses: readonly string[];
  readonly labels?: Readonly<Record<string, string>>;
}

interface Written {
  readonly id: string;
  readonly proxy: Proxy;
}

interface WrittenSimulation extends Written {
  readonly config: string;
  readonly kubeObjects?: string;
  readonly meshConfig?: object;
  /** Envoy refuses what Istio makes of it: where Istio's chains conflict, one is expected here. */
  readonly knownInvalidXds?: boolean;
  readonly calls: readonly SimulatedCall[];
}

interface WrittenTable extends Written {
  readonly objects: string;
  readonly routeConfig: string;
  readonly expectedVirtualHosts: Readonly<Record<string, readonly string[]>>;
}

export interface SimulatedCall {
  readonly name: string;
  readonly call: Call;
  readonly expect: Met & { readonly strict?: boolean };
}

export type Simulation = CompileInput & Pick<WrittenSimulation, 'calls' | 'knownInvalidXds'>;
export type RouteTable = CompileInput & Pick<WrittenTable, 'routeConfig' | 'expectedVirtualHosts'>;

export function simulations(): Simulation[] {
  return referenceJson<WrittenSimulation[]>(CALLS).map((one) => ({
    ...one,
    label: one.id,
    node: nodeOf(one.proxy),
    resources: withIngressesConverted([
      ...documentsOf(one.config),
      ...documentsOf(one.kubeObjects ?? ''),
      meshConfigMap(one.meshConfig ?? {}),
    ]).map(acceptedResource),
  }));
}

export function routeTables(): RouteTable[] {
  return referenceJson<WrittenTable[]>(TABLES).map((one) => ({
    ...one,
    label: one.id,
    node: nodeOf(one.proxy),
    resources: documentsOf(one.objects).map(acceptedResource),
  }));
}

/** Upstream sets the labels of a proxy past the registry: they are those of its workload, whatever its endpoint has. */
function nodeOf({ type, namespace, ipAddresses, labels = {} }: Proxy): Node {
  return {
    id: `${type}~${ipAddresses[0]}~app.${namespace}~${namespace}.svc.cluster.local`,
    metadata: { NAMESPACE: namespace, INSTANCE_IPS: ipAddresses.join(','), LABELS: labels, STATIC_LABELS: labels },
  };
}

function meshConfigMap(config: object): object {
  return {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'istio', namespace: 'istio-system' },
    data: { mesh: JSON.stringify(config) },
  };
}
