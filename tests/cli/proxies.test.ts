/** The commands that show connected proxies, and used join tokens. */
import { once } from 'node:events';
import net from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { refusal, tulle, tulleCommand } from '../kit/command.ts';
import { RUNTIMES } from '../kit/environment.ts';
import { LoopbackMesh } from '../kit/mesh.ts';
import { freePorts } from '../kit/ports.ts';
import { Program } from '../kit/process.ts';
import { meshService, port, workloadEntry, yaml } from '../kit/resources.ts';
import { until } from '../kit/waiting.ts';

const mesh = new LoopbackMesh();
const cli = (...args: string[]) =>
  tulle([...args, '--server', mesh.url, '--token', mesh.adminToken, '--ca-file', mesh.trustBundleFile]);
let id = '';

beforeAll(async () => {
  await mesh.startControl();
  await mesh.start({
    name: 'ingress',
    serviceAccount: 'ingress',
    labels: { app: 'ingress' },
    runtime: 'node',
    type: 'router',
  });
});
afterAll(() => mesh.stop(), 120_000);

describe('a connected proxy', () => {
  it('is shown with its state', async () => {
    const row = await until('the proxy to be in sync', async () => {
      const { out } = await cli('proxy-status', '-o', 'json');
      const rows = JSON.parse(out) as { id: string; connected: boolean; types: Record<string, { state: string }> }[];
      return rows.find(({ connected, types }) => connected && types['clusters']?.state === 'SYNCED');
    });
    id = row.id;
    const { out } = await cli('proxy-status');
    expect(out).toMatch(/^NAME .*CLUSTERS .*CONNECTED/);
    expect(out).toContain(id);
  });

  it('is shown with its configuration, without private keys', async () => {
    const clusters = await cli('proxy-config', 'clusters', id);
    expect(clusters).toMatchObject({ code: 0, error: '' });
    expect(clusters.out).toContain('BlackHoleCluster');
    const secrets = await cli('proxy-config', 'secrets', id, '-o', 'json');
    expect(secrets.code).toBe(0);
    expect(secrets.out).not.toContain('PRIVATE KEY');
    expect(JSON.parse((await cli('proxy-config', 'listeners', id, '-o', 'json')).out)).toBeInstanceOf(Array);
  });
});

describe('a proxy that refuses what it is sent', () => {
  const blockers: net.Server[] = [];
  afterAll(() => {
    for (const server of blockers) server.close();
  });

  it.each(RUNTIMES)(
    'is shown as NACK with the reason, and is not ready before a listener is accepted (%s)',
    async (runtime) => {
      const name = `stuck-${runtime}`;
      const [address, outbound] = [mesh.address(), mesh.address()];
      for (const host of [address, outbound]) {
        const blocker = net.createServer();
        blockers.push(blocker);
        await new Promise<void>((listening) => blocker.listen(9080, host, listening));
      }
      const service = (number: number) => yaml(meshService(name, [port(number)]), workloadEntry(name, address));
      await mesh.apply(service(9080));
      const [adminPort] = await freePorts(1);
      const command = [
        ...['proxy', '--runtime', runtime, '--control-plane', mesh.url, '--trust-bundle', mesh.trustBundleFile],
        ...['--data', join(mesh.folder, name), '--name', name, '--ip', address, '--outbound-bind', outbound],
        ...['--service-account', name, '--labels', `app=${name}`, '--admin-port', `${adminPort}`, '--announce'],
      ];
      const env = { TULLE_JOIN_TOKEN: await mesh.joinToken(name) };
      const part = mesh.launch(name, tulleCommand(...command), env);
      const logged = (text: string) => part.line((line) => (line.includes(text) ? line : undefined));
      const ready = () => fetch(`http://127.0.0.1:${adminPort}/ready`);
      const inUse = `listeners/${address}_9080: cannot listen on ${address}:9080: the port is in use by another process`;
      expect(await logged(`config refused: listeners/${address}_9080`)).toContain(inUse);
      expect(await logged('not ready')).toMatch(
        /^\d{4}-\S+Z warn tulle: not ready: all listeners were refused, see above and "tulle proxy-status"$/,
      );
      expect([(await ready()).status, await (await ready()).text()]).toEqual([503, 'PRE_INITIALIZING\n']);
      const shown = await until('the NACK is shown', async () => {
        const { out } = await cli('proxy-status');
        return out.includes('NACK') && out;
      });
      expect(shown).toMatch(new RegExp(`${name}\\S* .*NACK`));
      expect(shown).toMatch(
        new RegExp(`${name}\\S* listeners: .*${address.replaceAll('.', '\\.')}:9080: the port is in use`),
      );
      expect(part.lines.filter((line) => line.startsWith('{"ready"'))).toEqual([]);

      const listeners = async () => (await fetch(`http://127.0.0.1:${adminPort}/listeners`)).text();
      expect(await listeners()).toContain(
        `${address}_9080::refused: cannot listen on ${address}:9080: the port is in use`,
      );

      // It is tried again: no change of the mesh is needed.
      await Promise.all(blockers.splice(0).map((blocker) => new Promise((closed) => blocker.close(closed))));
      expect(await logged(`listener ${address}_9080 is open now`)).toContain('open');
      await part.announcement();
      expect((await ready()).status).toBe(200);
      expect(await listeners()).toContain(`${address}_9080::${address}:9080\n`);
      // The change ends the poll that is held: the next one says that the listener is open.
      await mesh.apply(service(9081));
      await until('the NACK is cleared', async () => !(await cli('proxy-status')).out.includes('NACK'));
      await until('the service has moved', async () => (await listeners()).includes(`${address}:9081`));
      expect(await part.stop()).toBe(0);
      await mesh.remove(service(9081));
    },
  );
});

it('a join token works once: the second proxy is refused', async () => {
  const env = { TULLE_JOIN_TOKEN: await mesh.joinToken('once') };
  const proxy = (name: string) => [
    ...['proxy', '--runtime', 'node', '--control-plane', mesh.url, '--trust-bundle', mesh.trustBundleFile],
    ...['--data', join(mesh.folder, name), '--name', name, '--ip', '127.0.0.1', '--service-account', 'once'],
    ...['--admin-port', '0', '--announce'],
  ];
  const first = new Program('first', tulleCommand(...proxy('first')), { env });
  await first.announcement().finally(() => first.stop());
  expect(refusal(await tulle(proxy('second'), { env }), 3)).toMatch(/join token.*(used|once)/i);
});

it('every process ends on its signal, also with connections open', async () => {
  const silent = net.connect(Number(new URL(mesh.url).port), '127.0.0.1');
  await once(silent, 'connect');
  expect(await mesh.workloads.get('ingress')!.proxy.stop()).toBe(0);
  expect(await mesh.control.stop()).toBe(0);
  silent.destroy();
});
