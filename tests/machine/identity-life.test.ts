/** The life of a join, by real processes: certificates that expire in an outage, copies, and revocation under traffic. */
import { readFileSync } from 'node:fs';
import http from 'node:http';
import { request } from 'node:https';
import net from 'node:net';
import { join } from 'node:path';
import { json } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createCsr } from '../../shared/identity/csr.ts';
import { exportPrivateKey, generateKeys } from '../../shared/identity/keys.ts';
import { tulle } from '../kit/command.ts';
import { RUNTIMES } from '../kit/environment.ts';
import { LoopbackMesh, type Workload } from '../kit/mesh.ts';
import { freePorts } from '../kit/ports.ts';
import { meshService, peerAuthentication, port, workloadEntry, yaml } from '../kit/resources.ts';
import { closeServers, listening } from '../kit/upstream.ts';
import { until } from '../kit/waiting.ts';

/** An application in this process: HTTP that never ends, and bytes that come back. */
class Application {
  readonly web = http.createServer((request, response) => {
    if (request.url !== '/stream') return void response.end('here\n');
    const timer = setInterval(() => response.write('tick\n'), 20);
    response.on('close', () => clearInterval(timer));
  });
  readonly bytes = net.createServer((socket) => socket.on('error', () => {}).pipe(socket));
  async flags(): Promise<string[]> {
    const [web, bytes] = [await listening(this.web), await listening(this.bytes)];
    return ['--app-port', `http=${web}`, '--app-port', `tcp=${bytes}`];
  }
  close(): void {
    closeServers(this.web, this.bytes);
  }
}

/** A long exchange: how much has come, and whether it has ended. */
class Stream {
  received = 0;
  ended = false;
  constructor(socket: NodeJS.ReadableStream) {
    socket.on('data', (bytes: Buffer) => (this.received += bytes.length));
    for (const event of ['end', 'error', 'close']) socket.on(event, () => (this.ended = true));
  }
  async runs(): Promise<void> {
    const before = this.received;
    await until('bytes come', () => this.received > before);
    expect(this.ended).toBe(false);
  }
  end(): Promise<unknown> {
    return until('it has ended', () => this.ended);
  }
}

const statusOf = ({ httpProxyPort }: Workload, host: string): Promise<number> =>
  new Promise((resolve) => {
    const call = {
      host: '127.0.0.1',
      port: httpProxyPort,
      path: `http://${host}:9080/`,
      headers: { host: `${host}:9080` },
    };
    http
      .get({ ...call, agent: false }, (response) =>
        response.resume().on('end', () => resolve(response.statusCode ?? 0)),
      )
      .on('error', () => resolve(0));
  });

describe('a join that is revoked', () => {
  const mesh = new LoopbackMesh();
  const application = new Application();
  const sockets: { destroy(): void }[] = [];
  let tcpPorts: Record<string, number>;
  beforeAll(async () => {
    await mesh.startControl();
    const free = await freePorts(RUNTIMES.length);
    tcpPorts = Object.fromEntries(RUNTIMES.map((runtime, i) => [runtime, free[i]!]));
    const flags = await application.flags();
    const start = async (name: string, runtime: (typeof RUNTIMES)[number], more: readonly string[] = []) => {
      const address = mesh.address();
      await mesh.apply(yaml(workloadEntry(name, address)));
      await mesh.start({ name, serviceAccount: name, labels: { app: name }, runtime, flags: more }, address);
    };
    const services = RUNTIMES.map((runtime) =>
      meshService(`web-${runtime}`, [port(9080), port(tcpPorts[runtime]!, 'TCP')]),
    );
    await mesh.apply(yaml(peerAuthentication('STRICT'), ...services));
    await Promise.all([
      start('stays', 'node'),
      ...RUNTIMES.flatMap((runtime) => [start(`web-${runtime}`, runtime, flags), start(`front-${runtime}`, runtime)]),
    ]);
  }, 120_000);
  afterAll(async () => {
    for (const socket of sockets) socket.destroy();
    await mesh.stop();
    application.close();
  }, 120_000);

  function stream(from: Workload, host: string): Promise<Stream> {
    return new Promise((resolve, reject) => {
      const path = `http://${host}:9080/stream`;
      const call = http.get(
        { host: '127.0.0.1', port: from.httpProxyPort, path, headers: { host: `${host}:9080` }, agent: false },
        (response) => {
          if (response.statusCode === 200) resolve(new Stream(response));
          else reject(new Error(`${host} answered ${response.statusCode}`));
        },
      );
      call.on('error', reject);
      sockets.push(call);
    });
  }
  function bytes(from: Workload, tcpPort: number): Stream {
    const socket = net.connect(tcpPort, from.outboundAddress);
    const timer = setInterval(() => socket.write('ping'), 20);
    socket.on('close', () => clearInterval(timer));
    sockets.push(socket);
    return new Stream(socket);
  }
  const revoke = (...targets: string[]) =>
    tulle(['revoke', ...targets], {
      env: { TULLE_SERVER: mesh.url, TULLE_TOKEN: mesh.adminToken, TULLE_CA_FILE: mesh.trustBundleFile },
    });
  const workload = (name: string) => mesh.workloads.get(name)!;

  it.each(RUNTIMES)('loses its live connections at every peer, as client and as server, on %s', async (runtime) => {
    const [front, web] = [`front-${runtime}`, `web-${runtime}`];
    for (const name of [front, 'stays'])
      await until(`${web} answers ${name}`, async () => (await statusOf(workload(name), web)) === 200);
    const cut = [await stream(workload(front), web), bytes(workload(front), tcpPorts[runtime]!)];
    const kept = [await stream(workload('stays'), web), bytes(workload('stays'), tcpPorts[runtime]!)];
    for (const one of [...cut, ...kept]) await one.runs();

    expect((await revoke(front)).out).toMatch(/^join [0-9a-f]{16} of default\/front-\w+ revoked\n$/);
    const since = performance.now();
    await Promise.all(cut.map((one) => one.end()));
    expect(performance.now() - since).toBeLessThan(5000);
    expect(await statusOf(workload(front), web)).toBe(503);
    for (const one of kept) await one.runs();

    // Now the peer that was dialled.
    expect((await revoke(web)).code).toBe(0);
    await Promise.all(kept.map((one) => one.end()));
    expect(await statusOf(workload('stays'), web)).toBe(503);
  });

  it('is refused by the control plane, and shown', async () => {
    await workload(`front-${RUNTIMES[0]}`).proxy.line((line) =>
      /discovery is refused with 403: join \w+ was revoked at/.test(line) ? line : undefined,
    );
    const { out } = await revoke('--list', '-o', 'json');
    const joins = JSON.parse(out) as { serviceAccount: string; revoked?: string; proxies: string[] }[];
    expect(joins.filter(({ revoked }) => revoked).map(({ serviceAccount }) => serviceAccount)).toHaveLength(
      2 * RUNTIMES.length,
    );
    expect(joins.find(({ serviceAccount }) => serviceAccount === 'stays')).toMatchObject({
      proxies: [expect.stringContaining('~stays.default~')],
    });
    expect((await revoke('absent')).error).toMatch(/^tulle: revoke absent: no connected proxy .*--list/);
  });
});

describe('certificates of twenty seconds', () => {
  const mesh = new LoopbackMesh();
  const data = (name: string) => join(mesh.folder, 'proxies', name, 'identity.json');
  interface Stored {
    privateKey: string;
    certificateChain: string;
  }
  const identity = (name: string) => JSON.parse(readFileSync(data(name), 'utf8')) as Stored;
  beforeAll(() => mesh.startControl({ svidTtl: '20s' }));
  afterAll(() => mesh.stop(), 120_000);

  it('a copy revokes the join when both have renewed', async () => {
    await mesh.start({ name: 'copied', serviceAccount: 'copied', labels: { app: 'copied' }, runtime: RUNTIMES[0]! });
    const copy = identity('copied');
    await until('it has renewed', () => identity('copied').certificateChain !== copy.certificateChain);
    const joins = async () =>
      (
        await mesh.api.call<{
          joins: { serviceAccount: string; revoked?: string; reason?: string; proxies: string[] }[];
        }>('GET', '/v1/joins')
      ).joins.find(({ serviceAccount }) => serviceAccount === 'copied')!;
    const renewed = (held: Stored) =>
      new Promise<Stored>((resolve, reject) => {
        void generateKeys().then(async (keys) => {
          const tls = { ca: mesh.trustBundle, cert: held.certificateChain, key: held.privateKey };
          const headers = { 'content-type': 'application/json' };
          const call = request(`${mesh.url}/v1/certificates`, { ...tls, method: 'POST', headers }, async (response) => {
            const { certificateChain, message } = (await json(response)) as {
              certificateChain?: string;
              message?: string;
            };
            if (certificateChain === undefined) reject(new Error(message));
            else resolve({ certificateChain, privateKey: await exportPrivateKey(keys.privateKey) });
          });
          call.on('error', reject);
          call.end(JSON.stringify({ csr: await createCsr(keys) }));
        });
      });
    // The answer to the machine's renewal could have been lost: the certificate before renews as well. Once.
    await renewed(await renewed(copy));
    const { proxy } = mesh.workloads.get('copied')!;
    await proxy.line((line) =>
      /not renewed yet.* join \w+ was revoked .*join again with a new invitation/.test(line) ? line : undefined,
    );
    expect(await joins()).toMatchObject({
      revoked: expect.any(String),
      reason: expect.stringContaining('copy of its key'),
    });
    await mesh.control.line((line) => (/join \w+ of default\/copied .* is revoked: /.test(line) ? line : undefined));
    await proxy.stop();
  });

  it('come back by themselves after an outage, running or not, on every runtime', async () => {
    const names = RUNTIMES.flatMap((runtime) => [`up-${runtime}`, `down-${runtime}`]);
    await Promise.all(
      names.map((name) => {
        const runtime = RUNTIMES.find((one) => name.endsWith(one))!;
        return mesh.start({ name, serviceAccount: name, labels: { app: name }, runtime });
      }),
    );
    const down = names.filter((name) => name.startsWith('down-'));
    await mesh.control.stop();
    await Promise.all(down.map((name) => mesh.workloads.get(name)!.proxy.stop()));
    const ready = ({ adminPort }: Workload) =>
      new Promise<number>((resolve) =>
        http
          .get({ host: '127.0.0.1', port: adminPort, path: '/ready', agent: false }, (response) =>
            response.resume().on('end', () => resolve(response.statusCode ?? 0)),
          )
          .on('error', () => resolve(0)),
      );
    const up = names.filter((name) => name.startsWith('up-')).map((name) => mesh.workloads.get(name)!);
    for (const one of up) await until('its certificate has expired', async () => (await ready(one)) === 503);
    await mesh.startControl({ svidTtl: '20s' });
    // Without a token.
    await Promise.all(down.map((name) => mesh.restartProxy(name)));
    for (const name of names)
      await until(`${name} is ready`, async () => (await ready(mesh.workloads.get(name)!)) === 200);
    const { joins } = await mesh.api.call<{ joins: { serviceAccount: string; revoked?: string }[] }>(
      'GET',
      '/v1/joins',
    );
    const kept = joins.filter(({ serviceAccount }) => names.includes(serviceAccount));
    expect(kept.map(({ serviceAccount }) => serviceAccount).sort()).toEqual([...names].sort());
    expect(kept.filter(({ revoked }) => revoked)).toEqual([]);
  });
});

describe('a rotation of the root', () => {
  const mesh = new LoopbackMesh();
  const application = new Application();
  beforeAll(async () => {
    await mesh.startControl({ svidTtl: '30s', flags: ['--rejoin-grace', '0s'] });
    const flags = await application.flags();
    const services = RUNTIMES.map((runtime) => meshService(`web-${runtime}`));
    await mesh.apply(yaml(peerAuthentication('STRICT'), ...services));
    await Promise.all(
      RUNTIMES.flatMap((runtime) =>
        [`web-${runtime}`, `front-${runtime}`].map(async (name) => {
          const address = mesh.address();
          await mesh.apply(yaml(workloadEntry(name, address)));
          const more = name.startsWith('web') ? flags : [];
          await mesh.start({ name, serviceAccount: name, labels: { app: name }, runtime, flags: more }, address);
        }),
      ),
    );
  }, 120_000);
  afterAll(async () => {
    await mesh.stop();
    application.close();
  }, 120_000);

  it('fails no request, survives a restart of the control plane, and ends with the new root alone', async () => {
    const workload = (name: string) => mesh.workloads.get(name)!;
    for (const runtime of RUNTIMES)
      await until(
        `web-${runtime} answers`,
        async () => (await statusOf(workload(`front-${runtime}`), `web-${runtime}`)) === 200,
      );
    const statuses = new Map<number, number>();
    let stopped = false;
    const load = RUNTIMES.map(async (runtime, i) => {
      // Also across runtimes.
      for (let n = 0; !stopped; n++) {
        const host = `web-${RUNTIMES[(i + n) % RUNTIMES.length]}`;
        const status = await statusOf(workload(`front-${runtime}`), host);
        statuses.set(status, (statuses.get(status) ?? 0) + 1);
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    });
    const ca = async (...args: string[]) => {
      const file = { TULLE_SERVER: mesh.url, TULLE_TOKEN: mesh.adminToken, TULLE_CA_FILE: mesh.trustBundleFile };
      const { code, out, error } = await tulle(['ca', ...args, '-o', 'json'], { env: file });
      if (code !== 0) throw new Error(error);
      return JSON.parse(out) as { phase: string; roots: { sha256: string; issues: boolean }[] };
    };
    const [old] = (await ca('show')).roots;
    expect(await ca('rotate')).toMatchObject({ phase: 'announced', roots: [{ issues: false }, old] });
    await expect(ca('rotate')).rejects.toThrow('a rotation is under way');
    await mesh.control.stop();
    await mesh.startControl({ svidTtl: '30s', flags: ['--rejoin-grace', '0s'] });
    const phase = async () => (await mesh.api.call<{ phase: string }>('GET', '/v1/ca')).phase;
    await until('the new root issues', async () => (await phase()) === 'issuing');
    // By itself, once the certificates of the old root have expired.
    await until('the old root is retired', async () => (await phase()) === 'single');
    const { roots } = await ca('show');
    expect(roots).toMatchObject([{ issues: true }]);
    expect(roots[0]!.sha256).not.toBe(old!.sha256);
    for (const { options } of mesh.workloads.values())
      await until(`${options.name} trusts the new root alone`, () => {
        const file = join(mesh.folder, 'proxies', options.name, 'identity.json');
        const { trustBundle } = JSON.parse(readFileSync(file, 'utf8')) as { trustBundle: string };
        return trustBundle === readFileSync(mesh.trustBundleFile, 'utf8');
      });
    stopped = true;
    await Promise.all(load);
    expect([...statuses.keys()]).toEqual([200]);
    expect(statuses.get(200)).toBeGreaterThan(50);
  }, 240_000);
});
