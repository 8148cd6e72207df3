/** A second service on a machine leaves the first one's policy in force: real control plane, sidecars and applications. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ROOT, RUNTIMES } from '../kit/environment.ts';
import { LoopbackMesh } from '../kit/mesh.ts';
import { authorizationPolicy, meshService, port, workloadEntry, yaml } from '../kit/resources.ts';
import { until } from '../kit/waiting.ts';
import { get } from './shop-mesh.ts';

const PORTS = { orders: port(9080), redis: port(6379, 'TCP', 'tcp-redis') };
const entry = (name: string, address: string) =>
  workloadEntry(`${name}-vm`, address, { app: name, serviceAccount: 'orders' });
const policy = (app: string, method: string) =>
  authorizationPolicy(app, app, {
    action: 'ALLOW',
    rules: [
      {
        from: [{ source: { principals: ['cluster.local/ns/default/sa/front'] } }],
        to: [{ operation: { methods: [method] } }],
      },
    ],
  });

for (const runtime of ['node', 'bun', 'deno'] as const) {
  if (!RUNTIMES.includes(runtime)) console.info(`shared address on ${runtime} skipped: it is not installed`);
  describe.skipIf(!RUNTIMES.includes(runtime))(`two services at one address, on ${runtime}`, () => {
    const mesh = new LoopbackMesh();
    const address = mesh.address();
    const both = (name: keyof typeof PORTS) => [meshService(name, [PORTS[name]]), entry(name, address)];

    /** Statuses of: GET and POST by front, GET by another account, GET in plaintext without identity. */
    const statuses = async () => {
      const through = (name: string, method: string) =>
        get({
          host: '127.0.0.1',
          port: mesh.workloads.get(name)!.httpProxyPort,
          path: 'http://orders:9080/x',
          method,
          headers: { host: 'orders:9080' },
        });
      const answers = await Promise.all([
        through('front', 'GET'),
        through('front', 'POST'),
        through('other', 'GET'),
        get({ host: address, port: 9080, path: '/x', headers: { host: 'orders:9080' } }),
      ]);
      return answers.map(({ status }) => status);
    };
    const listens = async (name: string) =>
      (
        await get({ host: '127.0.0.1', port: mesh.workloads.get('orders')!.adminPort, path: '/config_dump' })
      ).body.includes(name);
    const HELD = [200, 403, 403, 403];

    beforeAll(async () => {
      await mesh.startControl();
      await mesh.apply(yaml(...both('orders'), policy('orders', 'GET')));
      const sidecar = (name: string) => ({ name, serviceAccount: name, labels: { app: name }, runtime });
      await mesh.start(sidecar('front'));
      await mesh.start(sidecar('other'));
      // Without LABELS, so that on loopback too every entry of its service account belongs to it.
      const app = [`${ROOT}/tests/e2e/echo.ts`, '{port}'];
      await mesh.start({ name: 'orders', serviceAccount: 'orders', labels: {}, runtime, app }, address);
      await until('orders answers', async () => (await statuses())[0] === 200);
    });
    afterAll(() => mesh.stop());

    it('the policy of the first holds when the second comes', async () => {
      expect(await statuses()).toEqual(HELD);
      await mesh.apply(yaml(...both('redis')));
      await until('redis is served', () => listens(`${address}_6379`));
      for (let i = 0; i < 10; i++) expect(await statuses()).toEqual(HELD);
    });

    it('and when the first comes second', async () => {
      await mesh.remove(yaml(...both('orders')));
      await until('orders is gone', async () => !(await listens(`${address}_9080`)));
      await mesh.apply(yaml(...both('orders')));
      await until('orders answers again', async () => {
        const all = await statuses().catch(() => []);
        return all[0] === 200;
      });
      for (let i = 0; i < 10; i++) expect(await statuses()).toEqual(HELD);
    });

    it('a port that both have asks for both', async () => {
      const admin = yaml(meshService('redis', [port(9080, 'HTTP', 'http-admin')]), policy('redis', 'POST'));
      await mesh.apply(admin);
      // GET is what one of them allows, POST the other.
      await until('both policies hold', async () => {
        const [got] = await statuses();
        return got === 403;
      });
      expect(await statuses()).toEqual([403, 403, 403, 403]);
    });
  });
}
