/** The mesh of the control plane's benchmarks: services with workloads, routes, rules and policies. */
import type { Resource } from '../../../shared/resources/resource.ts';

export interface BenchMesh {
  services: number;
  /** WorkloadEntries behind each service. */
  endpoints: number;
  /** Services a namespace; one namespace for all when it is not less than `services`. */
  perNamespace: number;
  /** One in how many services has a VirtualService and a DestinationRule; 0: none. */
  routed: number;
  policies: number;
}

export const DEFAULT_MESH: BenchMesh = { services: 1000, endpoints: 10, perNamespace: 25, routed: 3, policies: 50 };

const networking = 'networking.istio.io/v1';
const time = (n: number) => new Date(Date.UTC(2026, 0, 1) + n * 1000).toISOString();
const zones = ['r1/z1', 'r1/z2', 'r2/z1'];

export const namespaceName = (mesh: BenchMesh, service: number): string =>
  `ns-${Math.floor(service / mesh.perNamespace)}`;
export const hostName = (mesh: BenchMesh, service: number): string =>
  `s${service}.${namespaceName(mesh, service)}.svc.cluster.local`;

function resource(
  kind: string,
  apiVersion: string,
  name: string,
  namespace: string,
  n: number,
  spec: unknown,
): Resource {
  return {
    apiVersion,
    kind,
    metadata: { name, namespace, uid: `${kind}-${name}`, resourceVersion: String(n + 1), creationTimestamp: time(n) },
    spec,
  };
}

/** One workload of a service; `weight` is what the benchmarks change. */
export function workloadEntry(mesh: BenchMesh, service: number, at: number, weight = 1): Resource {
  const n = service * mesh.endpoints + at;
  const address = `10.${n >> 16}.${(n >> 8) & 255}.${n & 255}`;
  return resource('WorkloadEntry', networking, `w${service}-${at}`, namespaceName(mesh, service), n, {
    address,
    weight,
    labels: { app: `s${service}`, version: at % 2 === 0 ? 'v1' : 'v2' },
    locality: zones[at % zones.length],
    serviceAccount: `s${service}`,
  });
}

export function benchResources(mesh: BenchMesh): Resource[] {
  const all: Resource[] = [];
  for (let i = 0; i < mesh.services; i++) {
    const namespace = namespaceName(mesh, i);
    const host = hostName(mesh, i);
    all.push(
      resource('ServiceEntry', networking, `s${i}`, namespace, i, {
        hosts: [host],
        location: 'MESH_INTERNAL',
        resolution: 'STATIC',
        ports: [{ number: 9080, name: 'http', protocol: 'HTTP' }],
        workloadSelector: { labels: { app: `s${i}` } },
      }),
    );
    for (let at = 0; at < mesh.endpoints; at++) all.push(workloadEntry(mesh, i, at));
    if (mesh.routed === 0 || i % mesh.routed !== 0) continue;
    const destination = (subset: string) => ({ host, subset });
    all.push(
      resource('VirtualService', networking, `s${i}`, namespace, i, {
        hosts: [host],
        http: [
          {
            route: [
              { destination: destination('v1'), weight: 90 },
              { destination: destination('v2'), weight: 10 },
            ],
          },
        ],
      }),
      resource('DestinationRule', networking, `s${i}`, namespace, i, {
        host,
        trafficPolicy: { outlierDetection: { consecutive5xxErrors: 5 } },
        subsets: [
          { name: 'v1', labels: { version: 'v1' } },
          { name: 'v2', labels: { version: 'v2' } },
        ],
      }),
    );
  }
  for (let i = 0; i < mesh.policies; i++)
    all.push(
      resource('AuthorizationPolicy', 'security.istio.io/v1', `p${i}`, namespaceName(mesh, i % mesh.services), i, {
        selector: { matchLabels: { app: `s${i}` } },
        rules: [{ from: [{ source: { namespaces: [namespaceName(mesh, 0)] } }] }],
      }),
    );
  return all;
}
