/** Captured connections between machines: no application names a proxy, and none is asked to. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RUNTIMES } from '../kit/environment.ts';
import { HOSTS } from '../kit/hosts.ts';
import {
  authorizationPolicy,
  meshService,
  peerAuthentication,
  port,
  versions,
  virtualService,
} from '../kit/resources.ts';
import type { Answer } from './captured-client.ts';
import { answered, CapturedMesh, type Machine } from './captured-mesh.ts';

const WEB = 'web.default.svc.cluster.local';
const VIP = '10.99.0.1';
const VIP6 = 'fd77::1';
/** What the tests load a restarting proxy with at once. */
const CLIENTS = 4;
const CALLS_AFTER = 10;

/** What the application saw of a request. */
const seen = (answer: Answer) =>
  JSON.parse(answer.body ?? '{}') as { name: string; from: string; at: string; headers: Record<string, string> };
const isOk = ({ status }: Answer) => status === 200;
const isCut = ({ status, error }: Answer) => status === undefined && error !== undefined;

describe.skipIf(!HOSTS).each(RUNTIMES)('captured connections on %s', (runtime) => {
  const mesh = new CapturedMesh(runtime);
  let client: Machine;
  let v1: Machine;
  let bare: Machine;
  const byName = (path = '/') => ({ http: { host: WEB, port: 80, path } });
  const at = (host: string, port: number) => ({ http: { host, port } });
  const database = { tcp: { host: WEB, port: 3306, send: 'query' } };

  beforeAll(async () => {
    await mesh.startControl();
    const web = meshService('web', [{ ...port(80), targetPort: 8080 }, port(3306, 'TCP', 'tcp-db')]);
    await mesh.apply({ ...web, spec: { ...web.spec, addresses: [VIP, VIP6] } });
    const names = { [WEB]: VIP };
    const machines = await Promise.all([
      mesh.add({ name: 'client', names }),
      mesh.add({ name: 'web-v1', labels: { app: 'web', version: 'v1' }, app: true, names }),
      mesh.add({ name: 'web-v2', labels: { app: 'web', version: 'v2' }, app: true, names }),
      mesh.add({ name: 'bare', bare: true, app: true }),
    ]);
    [client, v1, , bare] = machines as [Machine, Machine, Machine, Machine];
    await answered(client, byName(), isOk);
  }, 180_000);
  afterAll(() => mesh.stop(), 60_000);

  it('HTTP by the name and the address of a service, with the identity of the caller', async () => {
    for (const call of [byName(), at(VIP, 80), at(VIP6, 80)]) {
      const { headers, from } = seen(await answered(client, call, isOk));
      expect(headers['x-forwarded-client-cert']).toContain('URI=spiffe://cluster.local/ns/default/sa/client');
      expect(from).toContain('127.0.0.6');
    }
  });

  it('HTTP by the address of a workload, which is passed through, of both families', async () => {
    for (const address of [v1.host.address, v1.ip6]) {
      const answer = await answered(client, at(address, 8080), isOk);
      expect(seen(answer).name).toBe('web-v1');
      expect(seen(answer).headers['x-forwarded-client-cert']).toBeUndefined();
    }
    expect(await client.counted('istio_tcp_connections_opened_total', 'PassthroughCluster')).toBe(true);
  });

  it('a canary by VirtualService', async () => {
    const destination = (subset: string) => ({ route: [{ destination: { host: WEB, subset } }] });
    const canary = [{ match: [{ uri: { prefix: '/new' } }], ...destination('v2') }, destination('v1')];
    await mesh.apply(versions(WEB, 'v1', 'v2'), virtualService('web', { hosts: [WEB], http: canary }));
    await answered(client, byName('/new'), (answer) => seen(answer).name === 'web-v2');
    for (const path of ['/', '/', '/', '/'])
      await answered(client, byName(path), (answer) => seen(answer).name === 'web-v1');
  });

  it('WebSocket, and a protocol whose server speaks first, closed by halves', async () => {
    const socket = await client.call({ upgrade: { host: WEB, port: 80, send: 'a frame' } });
    expect(socket).toEqual({ status: 101, body: 'a frame' });
    const { body } = await answered(client, database, ({ error }) => error === undefined);
    expect(body).toMatch(/^hello from web-v[12]\nQUERY$/);
    // A port that no service has: the greeting comes before the proxy has found out what it is.
    expect(await client.call({ tcp: { host: bare.host.address, port: 3306, send: 'x' } })).toEqual({
      body: 'hello from bare\nX',
    });
  });

  it('plaintext at declared and undeclared ports by PeerAuthentication', async () => {
    const ports = [8080, 9090];
    for (const number of ports) await answered(bare, at(v1.host.address, number), isOk);
    await answered(bare, at(v1.ip6, 9090), isOk);
    const strict = peerAuthentication('STRICT');
    await mesh.apply(strict);
    for (const number of ports) await answered(bare, at(v1.host.address, number), isCut);
    await answered(bare, at(v1.ip6, 9090), isCut);
    await answered(client, byName(), isOk);
    await mesh.remove(strict);
    await answered(bare, at(v1.host.address, 9090), isOk);
  });

  it('AuthorizationPolicy', async () => {
    const deny = authorizationPolicy('deny', 'web', {
      action: 'DENY',
      rules: [{ to: [{ operation: { paths: ['/closed'] } }], from: [{ source: { principals: ['*/sa/client'] } }] }],
    });
    await mesh.apply(deny);
    await answered(client, byName('/closed'), ({ status }) => status === 403);
    await answered(client, byName('/open'), isOk);
    await mesh.remove(deny);
  });

  it('unknown destinations by outboundTrafficPolicy', async () => {
    const elsewhere = [at(bare.host.address, 8080), at(bare.ip6, 9090)];
    for (const call of elsewhere) expect(seen(await answered(client, call, isOk)).name).toBe('bare');
    const registryOnly = mesh.sidecar({ outboundTrafficPolicy: { mode: 'REGISTRY_ONLY' } });
    await mesh.apply(registryOnly);
    for (const call of elsewhere) await answered(client, call, isCut);
    const unknown = { http: { host: VIP, port: 80, name: 'unknown.example' } };
    await answered(client, unknown, ({ status }) => status === 502);
    await answered(client, byName(), isOk);
    expect(await client.counted('istio_tcp_connections_closed_total', 'BlackHoleCluster')).toBe(true);
    expect(await client.counted('istio_requests_total', 'BlackHoleCluster')).toBe(true);
    await mesh.remove(registryOnly);
    await answered(client, elsewhere[0]!, isOk);
  });

  it('the ports of the proxy itself lead nowhere', async () => {
    for (const number of [15001, 15006]) {
      expect(isCut(await bare.call(at(v1.host.address, number)))).toBe(true);
      expect(isCut(await v1.call(at('127.0.0.1', number)))).toBe(true);
      expect(isCut(await client.call(at(v1.host.address, number)))).toBe(true);
    }
  });

  it('the application of "tulle run" gets neither the sockets nor their names', async () => {
    // Sockets of the shell that listen.
    const script = [
      'found=0; for one in /proc/$$/fd/*; do inode=$(readlink $one | tr -dc 0-9)',
      '[ -n "$inode" ] && grep -q " 0A .* $inode " /proc/net/tcp /proc/net/tcp6 && found=1; done',
      'echo "app: $TULLE_LISTEN_FDS $found"',
    ].join('; ');
    expect(await client.runApplication('sh', '-c', script)).toBe('app:  0');
  });

  it('a proxy is replaced under load, and no request is lost', async () => {
    for (const machine of [client, v1]) {
      await client.call({ load: { host: WEB, port: 80, clients: CLIENTS } });
      const before = machine.proxy!;
      // Workers accept on the same sockets; on Deno this is not proved yet.
      await machine.startProxy({}, '--concurrency', machine === client || runtime === 'deno' ? '1' : '2');
      process.kill(before.pid, 'SIGTERM');
      expect(await before.exited).toBe(0);
      for (let call = 0; call < CALLS_AFTER; call++) await client.call(byName());
      const { done = 0, failed } = await client.call({ load: 'stop' });
      expect(failed).toEqual([]);
      expect(done).toBeGreaterThan(0);
    }
  });
});
