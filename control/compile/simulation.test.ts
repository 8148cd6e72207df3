/** Calls through whole configurations meet what Istio's own simulation expects. The data is not part of the repository. */
import { describe, expect, it } from 'vitest';
import type { Resource } from '../../shared/resources/resource.ts';
import type { Node } from '../../shared/xds/core.ts';
import { RESOURCE_TYPES, SCHEMAS, type Snapshot } from '../../shared/xds/discovery.ts';
import { MeshIndex } from '../mesh/mesh-index.ts';
import { ROUTE_READERS } from '../mesh/routes/readers.ts';
import { compileWithNotes } from './node/node.ts';
import { httpRouteReader } from './testing/http-route.ts';
import { withIngressesConverted } from './testing/ingress.ts';
import { documentsOf, hasReference, referenceJson } from './testing/reference.ts';
import { mended } from './testing/simulation-input.ts';
import type { Call, Met } from './testing/walk/call.ts';
import { walk } from './testing/walk/walk.ts';

/** Cases that wait for what they need; none may agree. */
const EXCUSED: Readonly<Record<string, string>> = {
  'TestServiceEntry/overlapping_CIDR': 'addresses of several ServiceEntries that overlap',
  TestExternalNameServices: 'Services of type ExternalName',
  'TestExternalNameServices#2': 'Services of type ExternalName',
  'TestPassthroughTraffic/ALLOW_ANY_DYNAMIC_DNS/with_VIP': 'outboundTrafficPolicy ALLOW_ANY_DYNAMIC_DNS',
  'TestPassthroughTraffic/ALLOW_ANY_DYNAMIC_DNS/without_VIP': 'outboundTrafficPolicy ALLOW_ANY_DYNAMIC_DNS',
  'TestInboundSidecarTLSModes/sidecar tcp over mTLS mutual mode with peer auth on port disabled': 'ingress.tls',
  'TestInboundSidecarTLSModes/sidecar http over TLS SIMPLE mode with peer auth on port STRICT': 'ingress.tls',
  'TestDisablePortTranslation/multiple target port, target port first': 'the ports of several Services of a gateway',
  'TestTargetPort/multiple target port': 'the ports of several Services of a gateway',
  'TestGatewayServices/single service': 'ports that no Service of a gateway has',
  'TestGatewayServices/wrong namespace': 'ports that no Service of a gateway has',
};

const CASES = 'simulation/cases.json';
const TABLES = 'simulation/sidecar-routes.json';

interface Proxy {
  readonly type: string;
  readonly namespace: string;
  readonly ipAddresses: readonly string[];
  readonly labels?: Readonly<Record<string, string>>;
}

interface Simulation {
  readonly id: string;
  readonly proxy: Proxy;
  readonly config: string;
  readonly kubeObjects?: string;
  readonly meshConfig?: object;
  /** Envoy refuses what Istio makes of it: where Istio's chains conflict, one is expected here. */
  readonly knownInvalidXds?: boolean;
  readonly calls: readonly { name: string; call: Call; expect: Met & { strict?: boolean } }[];
}

interface RouteTable {
  readonly id: string;
  readonly proxy: Proxy;
  readonly objects: string;
  readonly routeConfig: string;
  readonly expectedVirtualHosts: Readonly<Record<string, readonly string[]>>;
}

/** Upstream sets the labels of a proxy past the registry: they are those of its workload, whatever its endpoint has. */
function nodeOf({ type, namespace, ipAddresses, labels = {} }: Proxy): Node {
  return {
    id: `${type}~${ipAddresses[0]}~app.${namespace}~${namespace}.svc.cluster.local`,
    metadata: { NAMESPACE: namespace, INSTANCE_IPS: ipAddresses.join(','), LABELS: labels, STATIC_LABELS: labels },
  };
}

/** Compiles as admitted resources; what is compiled must be valid xDS. */
function compiled(resources: readonly Resource[], proxy: Proxy): Snapshot {
  const index = new MeshIndex({ routeReaders: [...ROUTE_READERS, httpRouteReader()] });
  const { view } = index.apply({ removed: [], added: resources }, 1);
  const { snapshot } = compileWithNotes(view, nodeOf(proxy));
  for (const type of RESOURCE_TYPES)
    for (const resource of snapshot[type] ?? []) expect(SCHEMAS[type].safeParse(resource).error).toBeUndefined();
  return snapshot;
}

function resourcesOf({ config, kubeObjects = '', meshConfig }: Simulation): Resource[] {
  const mesh = {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'istio', namespace: 'istio-system' },
    data: { mesh: JSON.stringify(meshConfig ?? {}) },
  };
  return withIngressesConverted([...documentsOf(config), ...documentsOf(kubeObjects), mesh]).map(mended);
}

const FIELDS = ['error', 'listener', 'filterChain', 'routeConfig', 'virtualHost', 'route', 'cluster'] as const;

/** Names without the cluster domain, which upstream's tests do not have. */
const plain = (name: string | undefined) => name?.replaceAll('.svc.cluster.local', '');

function differences({ strict, ...expected }: Met & { strict?: boolean }, met: Met): string[] {
  const judged = FIELDS.filter((field) => field === 'error' || strict || expected[field] !== undefined);
  return judged.flatMap((field) => {
    const [wanted, found] = [plain(expected[field] || undefined), plain(met[field] || undefined)];
    return wanted === found ? [] : [`${field}: ${found}, not ${wanted}`];
  });
}

const conflicts = ({ error }: Met) => (error === 'multiple filter chains matched' ? [error] : []);

describe.skipIf(!hasReference(CASES))('calls through the compiled xDS', () => {
  const cases = hasReference(CASES) ? referenceJson<Simulation[]>(CASES) : [];

  it('are all judged', () => {
    expect(cases).toHaveLength(33);
    expect(cases.flatMap(({ calls }) => calls)).toHaveLength(224);
  });

  it.each(cases.map((one) => [one.id, one] as const))('%s', (_id, simulation) => {
    const snapshot = compiled(resourcesOf(simulation), simulation.proxy);
    const wrong = simulation.calls.flatMap(({ name, call, expect: expected }) => {
      const met = walk(snapshot, call);
      const found = simulation.knownInvalidXds ? conflicts(met) : differences(expected, met);
      return found.length === 0
        ? []
        : [`${name} ${JSON.stringify(call)}: ${found.join('; ')} (${JSON.stringify(met)})`];
    });
    const excuse = EXCUSED[simulation.id];
    if (excuse) expect(wrong, `${excuse}: agrees by now and needs no excuse`).not.toEqual([]);
    else expect(wrong).toEqual([]);
  });
});

describe.skipIf(!hasReference(TABLES))('the virtual hosts of a sidecar', () => {
  const tables = hasReference(TABLES) ? referenceJson<RouteTable[]>(TABLES) : [];

  it('are all judged', () => expect(tables).toHaveLength(24));

  it.each(tables.map((one) => [one.id, one] as const))('%s', (_id, table) => {
    const { routes = [] } = compiled(documentsOf(table.objects).map(mended), table.proxy);
    const hosts = routes.find(({ name }) => name === table.routeConfig)?.virtualHosts ?? [];
    const found = Object.keys(table.expectedVirtualHosts).map((domain) => {
      const own = hosts.filter(({ domains }) => domains.includes(domain)).flatMap((host) => host.routes ?? []);
      const clusters = own.flatMap(({ route }) => [
        ...(route?.cluster === undefined ? [] : [route.cluster]),
        ...(route?.weightedClusters?.clusters ?? []).map(({ name }) => name ?? ''),
      ]);
      return [domain, clusters.sort()];
    });
    expect(Object.fromEntries(found)).toEqual(table.expectedVirtualHosts);
  });
});
