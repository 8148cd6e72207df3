/** ProxyConfig reaches proxies that join a control plane, from one body on every runtime. */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ROOT, RUNTIMES } from '../kit/environment.ts';
import { LoopbackMesh } from '../kit/mesh.ts';
import { until } from '../kit/waiting.ts';

const ECHO = join(ROOT, 'tests/e2e/echo.ts');

const proxyConfig = (name: string, spec: string) => `
apiVersion: networking.istio.io/v1beta1
kind: ProxyConfig
metadata: { name: ${name} }
spec: ${spec}
`;
const meshConfig = (yaml: string) => `
apiVersion: v1
kind: ConfigMap
metadata: { name: istio, namespace: istio-system }
data: { mesh: ${JSON.stringify(yaml)} }
`;

/** Child processes of a process (Linux). */
function childrenOf(pid: number): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((child) => {
      try {
        const stat = readFileSync(`/proc/${child}/stat`, 'latin1');
        const [state, parent] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
        return state !== 'Z' && Number(parent) === pid;
      } catch {
        return false;
      }
    });
}

describe.each(RUNTIMES)('ProxyConfig and a joined proxy on %s', (runtime) => {
  const mesh = new LoopbackMesh();
  const workload = (name: string) => mesh.workloads.get(name)!;
  const admin = async (name: string, path: string) =>
    (await fetch(`http://127.0.0.1:${workload(name).adminPort}${path}`)).text();
  /** Worker processes of a proxy, as the system, the metrics and /server_info have it; 1: the process alone. */
  async function workers(name: string): Promise<number[]> {
    const metrics = await admin(name, '/metrics');
    const { commandLineOptions } = JSON.parse(await admin(name, '/server_info')) as {
      commandLineOptions: { concurrency: number };
    };
    return [
      childrenOf(workload(name).proxy.process.pid!).length,
      Number(/^tulle_workers (\d+)$/m.exec(metrics)?.[1] ?? 0),
      commandLineOptions.concurrency,
    ];
  }
  const call = async () => {
    const answer = await fetch(`http://${workload('echo').address}:9080/`, { headers: { connection: 'close' } });
    return answer.status;
  };
  const start = (name: string, app: string, flags: readonly string[] = []) =>
    mesh.start({ name, serviceAccount: app, labels: { app }, runtime, flags });

  beforeAll(async () => {
    await mesh.startControl();
    const address = mesh.address();
    await mesh.apply(`
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: echo }
spec:
  hosts: [echo.default.svc.cluster.local]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{ number: 9080, name: http, protocol: HTTP }]
  workloadSelector: { labels: { app: echo } }
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: { name: echo, annotations: { proxy.istio.io/config: 'drainDuration: 9s' } }
spec: { address: ${address}, serviceAccount: echo, labels: { app: echo } }
---
${proxyConfig('two', '{ concurrency: 2, selector: { matchLabels: { app: echo } } }')}
---
${meshConfig('defaultConfig: { drainDuration: 7s }')}
`);
    const echo = { name: 'echo', serviceAccount: 'echo', labels: { app: 'echo' }, runtime, app: [ECHO, '{port}'] };
    await Promise.all([
      mesh.start(echo, address),
      start('flagged', 'echo', ['--concurrency', '1', '--drain-time-seconds', '3']),
      start('other', 'other'),
    ]);
  });
  afterAll(() => mesh.stop());

  it('runs as many workers as the ProxyConfig that selects it has, and they serve', async () => {
    expect(await workers('echo')).toEqual([2, 2, 2]);
    await until('it serves', async () => (await call()) === 200);
    expect(JSON.parse(await admin('echo', '/server_info'))).toMatchObject({ commandLineOptions: { drainTime: '9s' } });
    await workload('echo').proxy.line((line) => (line.includes('2 worker processes, as the mesh') ? line : undefined));
  });

  it('a flag wins, and others are as MeshConfig has it', async () => {
    expect(await workers('flagged')).toEqual([0, 0, 1]);
    expect(await admin('flagged', '/server_info')).toContain('"drainTime": "3s"');
    expect(await workers('other')).toEqual([0, 0, 1]);
    expect(await admin('other', '/server_info')).toContain('"drainTime": "7s"');
  });

  it('headers and connections are as MeshConfig.defaultConfig says, at once', async () => {
    const ask = (headers: Record<string, string> = {}) =>
      fetch(`http://${workload('echo').address}:9080/`, { headers: { connection: 'close', ...headers } });
    expect((await ask({ a_b: '1' })).status).toBe(200);
    const headers = 'proxyHeaders: { server: { value: edge.example }, requestId: { disabled: true } }';
    const connections = 'connectionSettings: { httpHeadersWithUnderscoresAction: REJECT_REQUEST }';
    await mesh.apply(meshConfig(`defaultConfig: { drainDuration: 7s, ${headers}, ${connections} }`));
    const answer = await until('the server has its name', async () => {
      const found = await ask();
      return found.headers.get('server') === 'edge.example' && found;
    });
    const { headers: seen } = (await answer.json()) as { headers: Record<string, string> };
    expect(seen['x-request-id']).toBeUndefined();
    expect((await ask({ a_b: '1' })).status).toBe(400);
  });

  it('a change is taken at the next start', async () => {
    await mesh.apply(proxyConfig('all', '{ concurrency: 3 }'));
    // What was written a moment ago may not be in the control plane's view yet.
    await until('it has three', async () => {
      await mesh.restartProxy('other');
      return (await workers('other')).join() === '3,3,3';
    });
    expect(await workers('echo')).toEqual([2, 2, 2]);
  });

  it('without the control plane the last one known is taken', async () => {
    const kept = join(mesh.folder, 'proxies', 'echo', 'proxy-config.json');
    expect((statSync(kept).mode & 0o777).toString(8)).toBe('600');
    await mesh.control.stop();
    await mesh.restartProxy('echo');
    expect(await workers('echo')).toEqual([2, 2, 2]);
    await until('it serves', async () => (await call()) === 200);
    await workload('echo').proxy.line((line) => (line.includes('starting with the last one known') ? line : undefined));
  });
});
