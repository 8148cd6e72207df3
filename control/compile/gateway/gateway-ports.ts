/** The Gateway resources that apply to a proxy, and at which ports their servers listen. */
import type { ResourceOfKind } from '../../../shared/resources/registry.ts';
import { namespaceOf, specOf } from '../../mesh/fields.ts';
import type { MeshService } from '../../mesh/view.ts';
import { generator } from '../memo.ts';
import type { ProxyView } from '../scope/proxy.ts';
import { selectsProxy } from '../scope/workloads.ts';

type Gateway = ResourceOfKind<'Gateway'>;
type Instances = ProxyView['instances'];

/**
 * Annotation of a Gateway: the host names of its Services, separated by commas. It applies to the workloads of these
 * Services in its namespace, whatever its selector.
 */
const SERVICES = 'internal.istio.io/gateway-service';
/** Label of a Service whose ports are not translated: servers listen on the numbers that they name. */
const KEEPS_PORTS = 'experimental.istio.io/disable-gateway-port-translation';

/** A Gateway that applies to a proxy. */
export interface SelectedGateway {
  readonly gateway: Gateway;
  /** The ports that a server of this port number listens on; empty: it is not served. */
  listenPorts(port: number): readonly number[];
}

/** Gateways that apply to a proxy, in the order of `all`. The same objects for the same ports. */
export function gatewaysFor(
  all: readonly Gateway[],
  proxy: Pick<ProxyView, 'labels' | 'workloads' | 'instances'>,
): readonly SelectedGateway[] {
  return all.flatMap((gateway) => {
    const named = servicesNamed(gateway);
    if (named) {
      const own = proxy.instances.filter(({ service }) => isNamed(service, named, gateway));
      return own.length === 0 ? [] : [withServicePorts({ gateway, targets: JSON.stringify(allTargets(own)) })];
    }
    if (!selectsProxy(specOf(gateway).selector ?? {}, proxy)) return [];
    return [withAnyPort({ gateway, targets: JSON.stringify(firstTargets(proxy.instances)) })];
  });
}

/** undefined: the Gateway applies by its selector. */
function servicesNamed({ metadata: { annotations = {} } }: Gateway): ReadonlySet<string> | undefined {
  const written = annotations[SERVICES];
  return written === undefined ? undefined : new Set(written.split(',').map((host) => host.trim()));
}

const isNamed = ({ hostname, namespace }: MeshService, hosts: ReadonlySet<string>, gateway: Gateway): boolean =>
  hosts.has(hostname) && namespace === namespaceOf(gateway);

/** Pairs of a service port and a target port. */
type Targets = readonly (readonly [number, number])[];

const allTargets = (instances: Instances): Targets =>
  instances.map(({ port, endpoint }) => [port.number, endpoint.port] as const);

/** As in Istio, of several Services with one port the oldest decides where a Gateway with a selector listens. */
function firstTargets(instances: Instances): Targets {
  const first = new Map<number, number>();
  for (const [port, target] of allTargets(instances.filter(({ service }) => !keepsPorts(service))))
    if (!first.has(port)) first.set(port, target);
  return [...first];
}

const keepsPorts = ({ resource }: MeshService): boolean => resource.metadata.labels?.[KEEPS_PORTS] !== undefined;

interface GatewayTargets {
  readonly gateway: Gateway;
  /** `Targets` as JSON. */
  readonly targets: string;
}

/** Servers listen on every target port of their number, and on no other. */
const withServicePorts = generator<GatewayTargets, SelectedGateway>(
  { gateway: true, targets: true },
  ({ gateway, targets }) => {
    const ports = targetPorts(targets);
    return { gateway, listenPorts: (port) => ports.get(port) ?? [] };
  },
);

/** Servers of a number that no Service has listen on that number. */
const withAnyPort = generator<GatewayTargets, SelectedGateway>(
  { gateway: true, targets: true },
  ({ gateway, targets }) => {
    const ports = targetPorts(targets);
    return { gateway, listenPorts: (port) => ports.get(port) ?? [port] };
  },
);

function targetPorts(targets: string): ReadonlyMap<number, readonly number[]> {
  const ports = new Map<number, Set<number>>();
  for (const [port, target] of JSON.parse(targets) as Targets)
    ports.set(port, (ports.get(port) ?? new Set()).add(target));
  return new Map([...ports].map(([port, found]) => [port, [...found].sort((a, b) => a - b)]));
}
