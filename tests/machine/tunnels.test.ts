/**
 * A workload behind NAT serves by the tunnels that it keeps to gateways: callers reach it by name, mTLS runs between caller and
 * workload, and policies see the caller.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RUNTIMES } from '../kit/environment.ts';
import { HOSTS } from '../kit/hosts.ts';
import { until } from '../kit/waiting.ts';
import { type MeshProxy, NatMesh, TUNNEL_PORT } from './nat-mesh.ts';

const BYTES = 24 * 1024 * 1024;
const WEB = 'http://web.default:9080/';

const resources = (gateways: readonly MeshProxy[], web: string) => `
apiVersion: v1
kind: Service
metadata: { name: web, namespace: default }
spec: { selector: { app: web }, ports: [{ name: http, port: 9080 }, { name: tcp-echo, port: 9000 }] }
---
apiVersion: v1
kind: Service
metadata: { name: eastwest, namespace: default, labels: { tulle.dev/tunnel-port: "${TUNNEL_PORT}" } }
spec: { selector: { istio: eastwest }, ports: [{ name: tls, port: 15443 }] }
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: { name: web, namespace: default }
spec: { address: ${web}, serviceAccount: web, labels: { app: web, tulle.dev/behind-nat: "true" } }
${gateways
  .map(
    ({ address }, i) => `---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: { name: gateway-${i}, namespace: default }
spec: { address: ${address}, serviceAccount: gateway-${i}, labels: { istio: eastwest } }
`,
  )
  .join('')}---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: { name: eastwest, namespace: default }
spec:
  selector: { istio: eastwest }
  servers: [{ port: { number: 15443, name: tls, protocol: TLS }, hosts: ["*.local"], tls: { mode: AUTO_PASSTHROUGH } }]
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: { name: default, namespace: istio-system }
spec: { mtls: { mode: STRICT } }
`;

const allow = (principal: string) => `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: web, namespace: default }
spec:
  selector: { matchLabels: { app: web } }
  rules: [{ from: [{ source: { principals: ["cluster.local/ns/default/sa/${principal}"] } }] }]
`;

describe.skipIf(!HOSTS).each(RUNTIMES)('a workload behind NAT, on %s', (runtime) => {
  const nat = new NatMesh();
  let gateways: MeshProxy[];
  let [caller, other]: MeshProxy[] = [];

  const call = (from = caller!) => nat.call(from, WEB);
  const answers = (status: string, from = caller!) =>
    until(`the call is answered with ${status}`, async () => (await call(from)).status === status);
  const conditionsOf = async (path: string): Promise<string> => {
    const { status } = await nat.mesh.api.call<{ status?: { conditions?: unknown } }>('GET', path);
    return JSON.stringify(status?.conditions ?? []);
  };

  beforeAll(async () => {
    await nat.startControl();
    gateways = await Promise.all([nat.gateway('gateway-0', runtime), nat.gateway('gateway-1', runtime)]);
    await nat.mesh.apply(resources(gateways, nat.inside.address));
    nat.app(nat.inside, 'tests/e2e/echo.ts', '8080');
    nat.app(nat.inside, 'tests/machine/tunnel-echo.ts', '8081');
    const apps = { http: 8080, 'tcp-echo': 8081 };
    const hosts = [nat.network.add(), nat.network.add()];
    [caller, other] = await Promise.all([
      nat.start({
        name: 'caller',
        host: hosts[0]!,
        runtime,
        labels: { app: 'caller' },
        flags: ['--outbound-bind', '127.64.0.1'],
      }),
      nat.start({ name: 'other', host: hosts[1]!, runtime, labels: { app: 'other' } }),
      nat.start({ name: 'web', host: nat.inside, runtime, labels: { app: 'web' }, flags: ['--behind-nat'], apps }),
    ]);
  });
  afterAll(() => nat.stop());

  it('cannot be dialled, and is called by its tunnels with the identity of the caller', async () => {
    const { code } = await nat.on(caller!.host, 'curl', '-s', '-m', '2', `http://${nat.inside.address}:9080/`);
    expect(code).not.toBe(0);
    await answers('200');
    expect((await call()).body).toContain('URI=spiffe://cluster.local/ns/default/sa/caller');
    for (const gateway of gateways)
      await until('the gateway has two tunnels', async () => (await nat.stat(gateway, 'tunnel.gateway.active')) === 2);
    await until('both gateways carry connections', async () => {
      await Promise.all([call(), call(other), call(), call(other)]);
      const counts = await Promise.all(gateways.map((one) => nat.stat(one, 'tunnel.gateway.connections_total')));
      return counts.every((count) => count > 0);
    });
  });

  it('a policy allows the caller, and denies another one that comes by the same gateways', async () => {
    await nat.mesh.apply(allow('caller'));
    await answers('403', other);
    await answers('200');
    // It is the caller that the policy sees, not the gateway that its connection comes by.
    await nat.mesh.apply(allow('gateway-0'));
    await answers('403');
    await nat.mesh.remove(allow('gateway-0'));
    await answers('200', other);
  });

  it('every byte of a long echo comes back to a slow reader', async () => {
    const script = 'tests/machine/tunnel-echo-client.ts';
    const clients = [1, 2].map(() => nat.app(caller!.host, script, '127.64.0.1', '9000', String(BYTES)));
    await Promise.all(clients.map(({ exited }) => exited));
    expect(clients.map(({ lines }) => lines.join('\n'))).toEqual([`echoed ${BYTES}`, `echoed ${BYTES}`]);
  });

  it('is not called in plaintext: the rule that asks for it is reported, and so is a port without mTLS', async () => {
    const plain = `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: web, namespace: default }
spec: { host: web.default.svc.cluster.local, trafficPolicy: { tls: { mode: DISABLE } } }
`;
    await nat.mesh.apply(plain);
    await answers('503');
    const service = '/api/v1/namespaces/default/services/web';
    await until('the service says why', async () =>
      /EndpointUnreachable.*WorkloadEntry default\/web.*mTLS/.test(await conditionsOf(service)),
    );
    await nat.mesh.remove(plain);
    await answers('200');
    await until('it says nothing any more', async () => !(await conditionsOf(service)).includes('EndpointUnreachable'));
  });
});
