/** A control plane, real proxies on every runtime, and changes that come to them in steps. */
import { createServer } from 'node:http';
import net from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { get } from '../e2e/shop-mesh.ts';
import { tulle } from '../kit/command.ts';
import { RUNTIMES } from '../kit/environment.ts';
import { LoopbackMesh, type Workload } from '../kit/mesh.ts';
import { freePorts } from '../kit/ports.ts';
import { closeServers, listening, UPSTREAM } from '../kit/upstream.ts';
import { until } from '../kit/waiting.ts';

const NAMES = ['a', 'b', 'c', 'd', 'e', 'f'];
const SERVICE = '/apis/networking.istio.io/v1/namespaces/default/virtualservices/web';

describe('changes that come to proxies in steps', () => {
  const mesh = new LoopbackMesh();
  const app = createServer(UPSTREAM, (_incoming, outgoing) => outgoing.end('hello'));
  const taken = net.createServer();
  let port = 0;
  /** Of 127.0.0.1, where no proxy can listen. */
  let takenPort = 0;
  const clients: Workload[] = [];

  const policy = (spec: string) => `
apiVersion: tulle.dev/v1alpha1
kind: RolloutPolicy
metadata: { name: careful }
spec: ${spec}`;
  const steps = (first: number, others = 2) =>
    policy(
      `{ steps: [{ percent: 20, duration: ${first}s }, { percent: 50, duration: ${others}s }, { percent: 100, duration: ${others}s }] }`,
    );
  const web = (version: string) => `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: web }
spec:
  hosts: [web.example]
  http:
    - headers: { response: { set: { x-version: "${version}" } } }
      route: [{ destination: { host: web.example, port: { number: ${port} } } }]`;

  beforeAll(async () => {
    const appPort = await listening(app);
    takenPort = await listening(taken);
    [port] = (await freePorts(1)) as [number];
    await mesh.startControl();
    await mesh.apply(`
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: web }
spec:
  hosts: [web.example]
  resolution: STATIC
  location: MESH_EXTERNAL
  ports:
    - { number: ${port}, name: http, protocol: HTTP }
    - { number: ${takenPort}, name: http-taken, protocol: HTTP }
  endpoints: [{ address: 127.0.0.1, ports: { http: ${appPort} } }]`);
    await mesh.apply(web('1'));
    for (const [i, name] of NAMES.entries()) {
      const runtime = RUNTIMES[i % RUNTIMES.length]!;
      clients.push(await mesh.start({ name, serviceAccount: name, labels: { app: name }, runtime }));
    }
    for (const client of clients)
      await until('it has the first revision', async () => (await versionAt(client)) === '1');
  });
  afterAll(async () => {
    await mesh.stop();
    closeServers(app, taken);
  });

  const versionAt = async (client: Workload): Promise<string> => {
    const { headers } = await get({
      ...{ host: '127.0.0.1', port: client.httpProxyPort, path: `http://web.example:${port}/` },
      headers: { host: `web.example:${port}` },
    });
    return String(headers['x-version']);
  };
  const versions = () => Promise.all(clients.map(versionAt));
  const count = async (version: string) => (await versions()).filter((each) => each === version).length;
  const rollout = async (...args: string[]) => {
    const flags = ['--server', mesh.url, '--ca-file', mesh.trustBundleFile, '--token', mesh.adminToken];
    const done = await tulle(['rollout', ...args, ...flags]);
    expect(done, done.error).toMatchObject({ code: 0 });
    return done.out;
  };
  const condition = async (path: string) => {
    const { body } = await mesh.api.request('GET', path);
    const { status } = body as { status?: { conditions?: Record<string, unknown>[] } };
    return status?.conditions?.find(({ type }) => type === 'RolledOut');
  };
  const spec = async () => ((await mesh.api.request('GET', SERVICE)).body as { spec: object }).spec;

  it('a good change reaches every proxy, a part of them first', async () => {
    await mesh.apply(steps(3));
    await mesh.apply(web('2'));
    const seen: number[] = [];
    await until('every proxy has it', async () => {
      seen.push(await count('2'));
      return seen.at(-1) === NAMES.length;
    });
    // 20 and 50 percent of six.
    expect([...new Set(seen.filter((each) => each > 0))].sort()).toEqual(expect.arrayContaining([2, 3, 6]));
    await until('it is in force', async () => (await condition(SERVICE))?.['status'] === 'True');
    expect(await condition(SERVICE)).toMatchObject({ reason: 'Completed', message: 'in force for every proxy' });
    expect(await rollout('status')).toBe('No change is being rolled out.\n');
  });

  it('a change that a proxy refuses reverts by itself, and what is stored stays', async () => {
    await mesh.apply(`
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: { name: default }
spec:
  egress:
    - { port: { number: ${takenPort}, name: http, protocol: HTTP }, bind: 127.0.0.1, hosts: ["*/*"] }
    - { hosts: ["*/*"] }`);
    const path = '/apis/networking.istio.io/v1/namespaces/default/sidecars/default';
    await until('it is reverted', async () => (await condition(path))?.['status'] === 'False');
    const found = await condition(path);
    expect(found).toMatchObject({ reason: 'Reverted', observedGeneration: 1 });
    expect(found?.['message']).toMatch(
      /^no proxy has this revision: proxy sidecar~\S+ refused listeners \S+: cannot listen/,
    );
    expect((await mesh.api.request('GET', path)).status).toBe(200);
    expect(await rollout('status')).toMatch(/sidecar\/default\.default +create +Reverted +0\/6/);
    const nacked = async () => {
      const { proxies } = await mesh.api.call<{ proxies: { types: Record<string, { state: string }> }[] }>(
        'GET',
        '/v1/proxies',
      );
      return proxies.filter(({ types }) => types['listeners']?.state === 'NACK').length;
    };
    await until('no proxy has it any more', async () => (await nacked()) === 0);
    await until('the policy says so', async () => {
      const at = '/apis/tulle.dev/v1alpha1/namespaces/default/rolloutpolicies/careful';
      return (await condition(at))?.['reason'] === 'Reverted';
    });
    await mesh.api.call('DELETE', path);
    expect(await count('2')).toBe(NAMES.length);
  });

  it('is paused, promoted and undone by hand', async () => {
    await mesh.apply(steps(600, 600));
    await mesh.apply(web('3'));
    await until('the first proxies have it', async () => (await count('3')) === 2);
    expect(await rollout('pause', 'virtualservice/web')).toMatch(/update +Paused +1\/3 +2\/6 /);
    await rollout('promote', 'vs/web');
    await until('half of the proxies have it', async () => (await count('3')) === 3);
    expect(await rollout('status', 'vs/web')).toContain('step 2 of 3, 50 % of the proxies');
    await rollout('undo', 'vs/web');
    await until('no proxy has it', async () => (await count('2')) === NAMES.length);
    expect(JSON.stringify(await spec())).toContain('"x-version":"3"');
    const flags = ['--server', mesh.url, '--ca-file', mesh.trustBundleFile, '--token', mesh.adminToken];
    const refused = await tulle(['rollout', 'pause', 'vs/web', ...flags]);
    expect(refused.error).toContain('cannot pause the rollout of VirtualService default/web: it is reverted');
    await rollout('promote', 'vs/web', '--full');
    await until('every proxy has it', async () => (await count('3')) === NAMES.length);
  });

  it('continues with the same proxies after a kill of the control plane, and those without it keep what they had', async () => {
    await mesh.apply(steps(20));
    await mesh.apply(web('4'));
    await until('the first proxies have it', async () => (await count('4')) === 2);
    const had = await versions();
    mesh.control.process.kill('SIGKILL');
    await mesh.control.exited;
    await mesh.startControl();
    await until('the proxies are back', async () => {
      const { proxies } = await mesh.api.call<{ proxies: { connected: boolean }[] }>('GET', '/v1/proxies');
      return proxies.filter(({ connected }) => connected).length === NAMES.length;
    });
    expect(await versions()).toEqual(had);
    expect(await rollout('status')).toMatch(/virtualservice\/web\.default +update +Progressing +1\/3 +2\/6/);
    await until('every proxy has it', async () => (await count('4')) === NAMES.length);
  });
});
