/** Sidecars that fetch hosts when they are first used, in a mesh of more hosts than they use. */
import { createServer, type Server } from 'node:http';
import net from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RuntimeName } from '../../control/cli/runtimes.mjs';
import type { ProxyStatus } from '../../control/discovery/status.ts';
import { tulle } from '../kit/command.ts';
import { RUNTIMES } from '../kit/environment.ts';
import { LoopbackMesh, type Workload } from '../kit/mesh.ts';
import { freePorts } from '../kit/ports.ts';
import { closeServers, listening, UPSTREAM } from '../kit/upstream.ts';
import { until } from '../kit/waiting.ts';
import { type Answer, get } from './shop-mesh.ts';

const HOSTS = 60;
/** Machines may be slow: long enough for any fetch. */
const WAIT_MS = 8000;
const host = (i: number) => `s${i}.example`;

/** What comes until the connection ends. */
function read(address: string, port: number): Promise<string> {
  return new Promise((resolve) => {
    let received = '';
    const socket = net.connect(port, address, () => socket.write('hello'));
    socket.on('data', (bytes) => (received += bytes));
    socket.on('error', () => {});
    socket.on('close', () => resolve(received));
  });
}

describe.each(RUNTIMES)('a %s sidecar that fetches hosts on demand', (runtime: RuntimeName) => {
  const mesh = new LoopbackMesh();
  const app = createServer(UPSTREAM, (incoming, outgoing) => {
    const chunks: Buffer[] = [];
    incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
    incoming.on('end', () => outgoing.end(`${incoming.headers.host} ${Buffer.concat(chunks)}`));
  });
  const tcp = net.createServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', (bytes) => socket.end(`tcp ${bytes}`));
  });
  const servers: (Server | net.Server)[] = [app, tcp];
  let port = 0;
  let dbPort = 0;
  let appPort = 0;
  let quick: Workload;
  /** Waits for its hosts until they are there, and lets go of them soon. */
  let patient: Workload;

  const entry = (name: string, number: number, protocol: string, to: number, weight = 1) => `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: ${name.replaceAll('.', '-')} }
spec:
  hosts: [${name}]
  location: MESH_EXTERNAL
  resolution: STATIC
  ports: [{ number: ${number}, name: ${protocol.toLowerCase()}, protocol: ${protocol} }]
  endpoints: [{ address: 127.0.0.1, weight: ${weight}, ports: { ${protocol.toLowerCase()}: ${to} } }]
---`;
  const http = (i: number, weight = 1) => entry(host(i), port, 'HTTP', appPort, weight);

  beforeAll(async () => {
    [appPort] = [await listening(app)];
    const tcpPort = await listening(tcp);
    [port, dbPort] = (await freePorts(2)) as [number, number];
    await mesh.startControl();
    await mesh.apply([...Array(HOSTS).keys()].map((i) => http(i)).join('\n'));
    await mesh.apply(entry('db.example', dbPort, 'TCP', tcpPort));
    const start = (name: string, ...flags: string[]) =>
      mesh.start({
        name,
        serviceAccount: name,
        labels: { app: name },
        runtime,
        flags: ['--discovery', 'on-demand', ...flags],
      });
    quick = await start('quick', '--host-wait-ms', String(WAIT_MS));
    patient = await start('patient', '--host-wait-ms', '60000', '--unused-host-seconds', '2');
  });
  afterAll(async () => {
    await mesh.stop();
    closeServers(...servers);
  });

  const call = (name: string, from = quick, more: { method?: string } = {}): Promise<Answer> =>
    get({
      host: '127.0.0.1',
      port: from.httpProxyPort,
      path: `http://${name}:${port}/`,
      headers: { host: `${name}:${port}` },
      ...more,
    });

  type Dump = { configs: { type: string; resources: { name: string }[] }[] };
  async function held(type: string, from = quick): Promise<string[]> {
    const answer = await get({ host: '127.0.0.1', port: from.adminPort, path: '/config_dump' });
    const found = answer.json<Dump>().configs.find((one) => one.type === type);
    return found!.resources.map(({ name }) => name).sort();
  }
  const outbound = async (from = quick) =>
    (await held('clusters', from)).filter((name) => name.startsWith('outbound|'));
  const cluster = (i: number) => `outbound|${port}||${host(i)}`;

  async function status(of: Workload): Promise<ProxyStatus> {
    const { proxies } = await mesh.api.call<{ proxies: ProxyStatus[] }>('GET', '/v1/proxies');
    return proxies.find(({ id }) => id.includes(`~${of.options.name}.`))!;
  }

  async function timed<T>(act: () => Promise<T>): Promise<[T, number]> {
    const began = performance.now();
    return [await act(), performance.now() - began];
  }

  it('holds the index of all hosts and none of them', async () => {
    expect(await held('hosts')).toHaveLength(HOSTS + 1);
    expect(await outbound()).toEqual([]);
    expect((await held('listeners')).some((name) => name.endsWith(`_${port}`))).toBe(true);
  });

  it('fetches what it uses, once for all that wait', async () => {
    const answers = await Promise.all(Array.from({ length: 30 }, (_, i) => call(host(i % 2))));
    expect(answers.map(({ status: code, body }) => [code, body])).toEqual(
      answers.map((_, i) => [200, `${host(i % 2)}:${port} `]),
    );
    expect(await outbound()).toEqual([cluster(0), cluster(1)]);
    const vhosts = (await held('virtualHosts')).filter((name) => name.startsWith('http_proxy/s'));
    expect(vhosts).toEqual([0, 1].map((i) => `http_proxy/${host(i)}:${port}`));
  });

  it('shows what was not fetched as such', async () => {
    const { id } = await status(quick);
    const command = ['--server', mesh.url, '--token', mesh.adminToken, '--ca-file', mesh.trustBundleFile];
    const { out } = await tulle(['proxy-config', 'clusters', id, ...command]);
    const rows = out.split('\n').filter((line) => line.startsWith('outbound|'));
    expect(rows).toHaveLength(HOSTS + 1);
    expect(rows.filter((line) => !/ not fetched$/.test(line)).map((line) => line.split(' ')[0])).toEqual([
      cluster(0),
      cluster(1),
    ]);
  });

  it('passes the body of a request that waited', async () => {
    const body = 'x'.repeat(300_000);
    const answer = await new Promise<string>((resolve, reject) => {
      const socket = net.connect(quick.httpProxyPort, '127.0.0.1', () => {
        socket.write(`POST http://${host(2)}:${port}/ HTTP/1.1\r\nhost: ${host(2)}:${port}\r\nconnection: close\r\n`);
        socket.write(`content-length: ${body.length}\r\n\r\n${body}`);
      });
      let text = '';
      socket.on('data', (bytes) => (text += bytes));
      socket.on('error', reject).on('close', () => resolve(text));
    });
    expect(answer.split('\r\n')[0]).toBe('HTTP/1.1 200 OK');
    expect(answer.includes(body)).toBe(true);
  });

  it('fetches the cluster of a TCP service with the first connection', async () => {
    const [address] = (await held('listeners')).filter((name) => name.endsWith(`_${dbPort}`));
    const at = address!.slice(0, address!.lastIndexOf('_'));
    expect(await read(at, dbPort)).toBe('tcp hello');
    expect(await outbound()).toContain(`outbound|${dbPort}||db.example`);
  });

  it('is sent nothing of a foreign change', async () => {
    const before = await until('the last fetch is acknowledged', async () => {
      const now = await status(quick);
      return Object.values(now.types).every(({ state }) => state !== 'STALE') && now;
    });
    await mesh.apply(http(7, 3));
    // A change that concerns the proxy comes after it.
    await mesh.apply(http(0, 5));
    const after = await until('the change arrives', async () => {
      const now = await status(quick);
      return now.lastChange?.reason.includes('s0-example') && now;
    });
    expect(before.lastChange?.reason).not.toContain('s7-example');
    expect(after.types.clusters.resources).toBe(before.types.clusters.resources);
    expect(await outbound()).not.toContain(cluster(7));
  });

  it('gives an unknown host the outbound policy at once, and a host that leaves the mesh', async () => {
    const [unknown, ms] = await timed(() => call('unknown.invalid'));
    expect(unknown.status).not.toBe(200);
    expect(ms).toBeLessThan(WAIT_MS);
    await mesh.remove(http(1));
    await until('the host is gone', async () => !(await held('hosts')).includes(host(1)));
    expect((await call(host(1))).status).toBe(unknown.status);
    expect(await outbound()).not.toContain(cluster(1));
  });

  it('lets go of what it does not use', async () => {
    expect((await call(host(20), patient)).status).toBe(200);
    expect(await outbound(patient)).toEqual([cluster(20)]);
    let next = 21;
    // Each answer of the control plane is a moment to look.
    await until('the host is let go', async () => {
      await call(host(next++), patient);
      return !(await outbound(patient)).includes(cluster(20));
    });
    expect((await call(host(20), patient)).status).toBe(200);
  });

  it('serves what it used without a control plane, and the rest 503, never as unknown', async () => {
    await mesh.control.stop('SIGKILL');
    expect((await call(host(0))).status).toBe(200);
    const [late, ms] = await timed(() => call(host(30)));
    expect([late.status, late.body]).toEqual([503, '']);
    expect(ms).toBeGreaterThan(WAIT_MS - 100);
    await mesh.restartProxy('quick');
    expect((await call(host(0))).body).toBe(`${host(0)}:${port} `);
    expect((await call(host(31))).status).toBe(503);
    const stats = await get({ host: '127.0.0.1', port: quick.adminPort, path: '/clusters' });
    const passed = stats.body.split('\n').filter((line) => /^PassthroughCluster::.*::rq_total::[1-9]/.test(line));
    expect(passed).toEqual([]);
  });

  it('serves a request that waits when the control plane comes back', async () => {
    const waiting = call(host(32), patient);
    await mesh.startControl();
    expect((await waiting).body).toBe(`${host(32)}:${port} `);
    await until('the other proxy is back, too', async () => (await call(host(31))).status === 200);
  });

  it('fetches for its worker processes, and lets go of what none of them uses', async () => {
    const flags = ['--discovery', 'on-demand', '--host-wait-ms', '60000', '--unused-host-seconds', '2'];
    const options = { name: 'workers', serviceAccount: 'workers', labels: {}, runtime };
    const workers = await mesh.start({ ...options, flags: [...flags, '--concurrency', '2'] });
    const answers = await Promise.all(Array.from({ length: 20 }, () => call(host(40), workers)));
    expect(answers.map(({ status: code }) => code)).toEqual(answers.map(() => 200));
    expect(await outbound(workers)).toEqual([cluster(40)]);
    let next = 41;
    await until('the host is let go', async () => {
      await call(host(next++), workers);
      return !(await outbound(workers)).includes(cluster(40));
    });
  });

  it('is sent everything with --discovery eager', async () => {
    const flags = ['--discovery', 'eager'];
    const eager = await mesh.start({ name: 'eager', serviceAccount: 'eager', labels: {}, runtime, flags });
    expect(await outbound(eager)).toHaveLength(HOSTS);
    expect(await held('hosts', eager)).toEqual([]);
  });
});
