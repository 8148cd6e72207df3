/**
 * Two networks that meet at a gateway: a caller of one reaches a workload of the other by the gateway of that network, which
 * forwards its mTLS connection by SNI and never terminates it.
 */
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ROOT, RUNTIMES } from '../kit/environment.ts';
import { LoopbackMesh, type Workload } from '../kit/mesh.ts';
import { run } from '../kit/process.ts';
import { until } from '../kit/waiting.ts';

describe.each(RUNTIMES)('two networks, on %s', (runtime) => {
  const mesh = new LoopbackMesh();
  let gateway: Workload;
  let caller: Workload;

  const call = async (): Promise<{ status: string; body: string }> => {
    const proxy = `http://127.0.0.1:${caller.httpProxyPort}`;
    const { out } = await run('curl', [
      '-sS',
      '-m',
      '20',
      '-x',
      proxy,
      '-w',
      '\n%{http_code}',
      'http://web.default:9080/',
    ]);
    const lines = out.split('\n');
    return { status: lines.at(-1)!, body: lines.slice(0, -1).join('\n') };
  };
  /** Connections that came to the gateway's listener for other networks. */
  const forwarded = async (): Promise<number> => {
    const answer = await fetch(`http://127.0.0.1:${gateway.adminPort}/stats?filter=15443.*downstream_cx_total`);
    const counts = (await answer.text()).matchAll(/: (\d+)$/gm);
    return [...counts].reduce((sum, [, count]) => sum + Number(count), 0);
  };
  const endpointsOf = async (workload: Workload): Promise<string> =>
    (await fetch(`http://127.0.0.1:${workload.adminPort}/clusters`)).text();

  beforeAll(async () => {
    await mesh.startControl();
    const base = { runtime, serviceAccount: 'web', labels: { app: 'web' } };
    const app = [join(ROOT, 'tests/e2e/echo.ts'), '{port}'];
    const web = await mesh.start({ ...base, name: 'web', app, flags: ['--network', 'far'] });
    gateway = await mesh.start({
      ...{ runtime, name: 'east', serviceAccount: 'east', labels: { istio: 'eastwest' }, type: 'router' as const },
      flags: ['--network', 'far'],
    });
    caller = await mesh.start({
      ...{ runtime, name: 'caller', serviceAccount: 'caller', labels: { app: 'caller' } },
      flags: ['--network', 'near'],
    });
    await mesh.apply(`
apiVersion: v1
kind: Service
metadata: { name: web, namespace: default }
spec: { selector: { app: web }, ports: [{ name: http, port: 9080 }] }
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: { name: web, namespace: default }
spec: { address: ${web.address}, serviceAccount: web, labels: { app: web }, network: far }
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: { name: east, namespace: default }
spec:
  selector: { istio: eastwest }
  servers: [{ port: { number: 15443, name: tls, protocol: TLS }, hosts: ["*.local"], tls: { mode: AUTO_PASSTHROUGH } }]
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: { name: default, namespace: istio-system }
spec: { mtls: { mode: STRICT } }
`);
    await until('the caller reaches the workload itself', async () => (await call()).status === '200');
  });
  afterAll(() => mesh.stop());

  it('a network with a gateway is reached by it, with the identity of the caller', async () => {
    expect(await forwarded()).toBe(0);
    await mesh.apply(`
apiVersion: v1
kind: ConfigMap
metadata: { name: istio, namespace: istio-system }
data:
  meshNetworks: |
    networks:
      far: { gateways: [{ address: ${gateway.address}, port: 15443 }] }
`);
    await until('the caller has the gateway', async () =>
      (await endpointsOf(caller)).includes(`${gateway.address}:15443`),
    );
    await until('a call comes by the gateway', async () => (await call()).status === '200' && (await forwarded()) > 0);
    expect((await call()).body).toContain('/sa/caller');
  });

  it('an AuthorizationPolicy at the workload sees the caller, not the gateway', async () => {
    const policy = (principal: string) => `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: web, namespace: default }
spec:
  selector: { matchLabels: { app: web } }
  action: DENY
  rules: [{ from: [{ source: { principals: ["cluster.local/ns/default/sa/${principal}"] } }] }]
`;
    await mesh.apply(policy('east'));
    expect((await call()).status).toBe('200');
    await mesh.apply(policy('caller'));
    await until('the caller is denied', async () => (await call()).status === '403');
    await mesh.remove(policy('caller'));
    await until('the caller is allowed', async () => (await call()).status === '200');
  });
});
