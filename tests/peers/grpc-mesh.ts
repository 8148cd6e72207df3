/** A mesh of two sidecars for gRPC: a caller, and a workload whose application is a gRPC server; mTLS between them. */
import type { RuntimeName } from '../../control/cli/runtimes.mjs';
import { LoopbackMesh, type Workload } from '../kit/mesh.ts';
import { freePorts } from '../kit/ports.ts';

export interface GrpcMesh {
  readonly mesh: LoopbackMesh;
  readonly caller: Workload;
  readonly server: Workload;
  /** Where the caller's sidecar takes calls to the server. */
  readonly host: string;
  readonly port: number;
}

const HOST = 'interop.default.svc.cluster.local';

/** @param protocol of the service port. @param appPort where the application listens on 127.0.0.1 */
export async function startGrpcMesh(runtime: RuntimeName, appPort: number, protocol = 'GRPC'): Promise<GrpcMesh> {
  const mesh = new LoopbackMesh();
  const [port] = (await freePorts(1)) as [number];
  await mesh.startControl();
  const address = mesh.address();
  const serving = mesh.address();
  const parts = address.split('.').map(Number);
  const host = [...parts.slice(0, 3), parts[3]! + 120].join('.');
  await mesh.apply(`
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: interop }
spec:
  hosts: [${HOST}]
  addresses: [${host}]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{ number: ${port}, name: app, protocol: ${protocol} }]
  workloadSelector: { labels: { app: interop } }
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: { name: server }
spec: { address: ${serving}, serviceAccount: server, labels: { app: interop } }
---
apiVersion: v1
kind: ConfigMap
metadata: { name: istio, namespace: istio-system }
data: { mesh: "{ accessLogFile: /dev/stdout }" }
`);
  const caller = await mesh.start(
    { name: 'caller', serviceAccount: 'caller', labels: { app: 'caller' }, runtime },
    address,
  );
  const server = await mesh.start(
    {
      name: 'server',
      serviceAccount: 'server',
      labels: { app: 'interop' },
      runtime,
      flags: ['--app-port', `app=${appPort}`],
    },
    serving,
  );
  return { mesh, caller, server, host, port };
}

/** What a proxy's admin interface answers. */
export async function admin(workload: Workload, path: string): Promise<string> {
  return (await fetch(`http://127.0.0.1:${workload.adminPort}${path}`)).text();
}

/** Of the metrics of a proxy, the sum of one whose labels contain these. */
export async function metric(workload: Workload, name: string, ...labels: string[]): Promise<number> {
  const text = await admin(workload, '/stats/prometheus');
  return text
    .split('\n')
    .filter((line) => line.startsWith(`${name}{`) && labels.every((label) => line.includes(label)))
    .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0);
}
