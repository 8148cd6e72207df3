/** Two control planes on one etcd: each does all, what must be done once is, and either may be killed or paused at any time. */
import { request as httpRequest } from 'node:http';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ControlApi } from '../../control/cli/connection.ts';
import { kubectlBinary } from '../kit/command.ts';
import { ROOT, RUNTIMES, temporaryFolder } from '../kit/environment.ts';
import { type EtcdCluster, etcdPrograms, startEtcd } from '../kit/etcd.ts';
import { LoopbackMesh } from '../kit/mesh.ts';
import { run } from '../kit/process.ts';
import { until } from '../kit/waiting.ts';
import { newWorkload, Replica } from './replica-process.ts';

const ECHO = join(ROOT, 'tests/e2e/echo.ts');
const PREFIX = 'replicas';
const HOST = 'echo.default.svc.cluster.local';
const folder = temporaryFolder();
const patience = 60_000;

const entry = (name: string, hosts: string[], more: object = {}) => ({
  apiVersion: 'networking.istio.io/v1',
  kind: 'ServiceEntry',
  metadata: { name, namespace: 'default' },
  spec: {
    hosts,
    location: 'MESH_EXTERNAL',
    ports: [{ number: 80, name: 'http', protocol: 'HTTP' }],
    resolution: 'DNS',
    ...more,
  },
});
const ENTRIES = '/apis/networking.istio.io/v1/namespaces/default/serviceentries';

interface Shown {
  readonly id: string;
  readonly connected: boolean;
  readonly controlPlane?: string;
}

describe.skipIf(!etcdPrograms)('two control planes on one etcd', () => {
  let cluster: EtcdCluster;
  const mesh = new LoopbackMesh();
  let a: Replica;
  let b: Replica;
  const started: Replica[] = [];
  const start = async (name: string, port = 0): Promise<Replica> => {
    const data = join(folder.path, name);
    const replica = await Replica.start({ cluster, prefix: PREFIX, data, port, adminToken: mesh.adminToken });
    started.push(replica);
    return replica;
  };
  const portOf = ({ url }: Replica): number => Number(new URL(url).port);

  beforeAll(async () => {
    cluster = await startEtcd(folder.path);
    // The mesh's own control plane is the first; it knows nothing of the others.
    const hosts = cluster.endpoints.map((url) => url.slice('http://'.length)).join(',');
    await mesh.startControl({ flags: ['--store', `etcd://${hosts}/${PREFIX}`] });
    [a, b] = await Promise.all([start('a'), start('b')]);
  }, 120_000);
  afterAll(async () => {
    await mesh.stop();
    for (const { program } of started) await program.stop('SIGKILL');
    await cluster?.stop();
    folder.dispose();
  }, 60_000);

  const joined = async (api: ControlApi, token: string) => {
    const { csr, privateKey } = await newWorkload('default', 'reviews');
    const { status, body } = await api.request('POST', '/v1/certificates', { csr, token });
    return { ...(body as { certificateChain: string; trustBundle: string }), status, privateKey };
  };
  const tokenOf = async (replica: Replica): Promise<string> => {
    const body = { namespace: 'default', serviceAccount: 'reviews' };
    return (await replica.api().call<{ token: string }>('POST', '/v1/join-tokens', body)).token;
  };
  const as = (replica: Replica, own: { certificateChain: string; privateKey: string }) =>
    new ControlApi(replica.url, undefined, replica.ca, {
      clientCertificate: { cert: own.certificateChain, key: own.privateKey },
    });
  const proxiesOf = async (replica: Replica) =>
    (await replica.api().call<{ proxies: Shown[] }>('GET', '/v1/proxies')).proxies.filter(({ connected }) => connected);

  it('let one of two that claim a join token at once have it, at whichever they ask', async () => {
    expect(b.ca).toBe(a.ca);
    const token = await tokenOf(a);
    const claims = await Promise.all([a, b, a, b].map((replica) => joined(replica.api(), token)));
    expect(claims.map(({ status }) => status).sort()).toEqual([200, 401, 401, 401]);
  });

  it('refuse at each within a second what was revoked at the other, and renew what the other has issued', async () => {
    const machine = await joined(a.api(), await tokenOf(b));
    const { csr } = await newWorkload('default', 'reviews');
    expect((await as(b, machine).request('POST', '/v1/certificates', { csr })).status).toBe(200);
    const { joins } = await b.api().call<{ joins: { id: string; revoked?: string }[] }>('GET', '/v1/joins');
    await a.api().call('POST', `/v1/joins/${joins.at(-1)!.id}/revoke`, {});
    const from = performance.now();
    await until('the other refuses it', async () => {
      const { status, body } = await as(b, machine).request('POST', '/v1/certificates', { csr });
      return status === 403 && JSON.stringify(body).includes('revoked');
    });
    expect(performance.now() - from).toBeLessThan(2000);
  });

  it('tell each other what no client may ask', async () => {
    const machine = await joined(a.api(), await tokenOf(a));
    for (const path of ['proxies', 'nodes', 'presented', 'proxies/x/config']) {
      expect((await a.api('').request('GET', `/v1/replica/${path}`)).status).toBe(401);
      expect((await a.api().request('GET', `/v1/replica/${path}`)).status).toBe(403);
      expect((await as(a, machine).request('GET', `/v1/replica/${path}`)).status).toBe(403);
    }
  });

  it('have one leader, which gives addresses that no other host has, also to writes at the other', async () => {
    const writes = Array.from({ length: 40 }, (_, i) =>
      (i % 2 === 0 ? a : b).api().call('POST', ENTRIES, entry(`auto-${i}`, [`auto-${i}.example.com`])),
    );
    await Promise.all(writes);
    const values = async (): Promise<string[]> => {
      const { items } = await b
        .api()
        .call<{ items: { status?: { addresses?: { value: string }[] } }[] }>('GET', ENTRIES);
      return items.flatMap(({ status }) => status?.addresses?.map(({ value }) => value) ?? []);
    };
    await until('each has its two addresses', async () => (await values()).length === 80, patience);
    expect(new Set(await values()).size).toBe(80);
  });

  it.skipIf(!kubectlBinary)('continue watches of kubectl where the other was, by the same revisions', async () => {
    const flags = (replica: Replica) => [
      '--server',
      replica.url,
      '--token',
      mesh.adminToken,
      '--certificate-authority',
      join(folder.path, 'a/ca/root-cert.pem'),
    ];
    const { metadata } = await a.api().call<{ metadata: { resourceVersion: string } }>('GET', ENTRIES);
    await a.api().call('POST', ENTRIES, entry('watched', ['watched.example.com']));
    const path = `${ENTRIES}?watch=true&timeoutSeconds=2&resourceVersion=${metadata.resourceVersion}`;
    const seen = await run(kubectlBinary!, ['get', '--raw', path, ...flags(b)]);
    expect(seen.out).toContain('"watched.example.com"');
    expect(seen.out).not.toContain('"auto-1.example.com"');
  });

  it('serve proxies that knew one of them alone through the death of that one, without a request lost', async () => {
    const app = {
      name: 'echo',
      serviceAccount: 'echo',
      labels: { app: 'echo' },
      runtime: 'node' as const,
      app: [ECHO, '{port}'],
    };
    const address = mesh.address();
    await mesh.apply(`
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: echo }
spec:
  hosts: [${HOST}]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{ number: 9080, name: http, protocol: HTTP }]
  workloadSelector: { labels: { app: echo } }
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: { name: echo }
spec: { address: ${address}, serviceAccount: echo, labels: { app: echo } }
`);
    await mesh.start(app, address);
    const clients = await Promise.all(
      RUNTIMES.map((runtime) =>
        mesh.start({ name: `client-${runtime}`, serviceAccount: 'client', labels: { app: 'client' }, runtime }),
      ),
    );
    const ask = (port: number) =>
      new Promise<number>((resolve, reject) => {
        const headers = { host: `${HOST}:9080` };
        const sent = httpRequest(
          { port, host: '127.0.0.1', path: `http://${HOST}:9080/`, headers, agent: false },
          (response) => {
            response.resume().once('end', () => resolve(response.statusCode ?? 0));
          },
        );
        sent.once('error', reject);
        sent.end();
      });
    for (const { httpProxyPort } of clients)
      await until('the client reaches the server', async () => (await ask(httpProxyPort)) === 200, patience);
    const ids = RUNTIMES.length + 1;
    for (const replica of [a, b])
      await until('each shows all proxies', async () => (await proxiesOf(replica)).length === ids);
    expect((await proxiesOf(a)).every(({ controlPlane }) => controlPlane === mesh.url)).toBe(true);

    const answers: number[] = [];
    let asking = true;
    const traffic = clients.map(async ({ httpProxyPort }) => {
      while (asking) answers.push(await ask(httpProxyPort).catch(() => 0));
    });
    // Writes under way at the others, while it dies.
    const acknowledged: string[] = [];
    let writing = true;
    const writer = (async () => {
      for (let i = 0; writing; i++) {
        const name = `under-way-${i}`;
        const { status } = await (i % 2 === 0 ? a : b)
          .api()
          .request('POST', ENTRIES, entry(name, [`${name}.example.com`]));
        if (status === 201) acknowledged.push(name);
      }
    })();
    const killed = performance.now();
    mesh.control.process.kill('SIGKILL');
    await until('every proxy is at another one', async () => {
      const proxies = await proxiesOf(a);
      return proxies.filter(({ controlPlane }) => controlPlane !== mesh.url).length === ids;
    });
    expect(performance.now() - killed).toBeLessThan(15_000);
    await a.api().call('POST', '/apis/networking.istio.io/v1/namespaces/default/virtualservices', {
      apiVersion: 'networking.istio.io/v1',
      kind: 'VirtualService',
      metadata: { name: 'echo', namespace: 'default' },
      spec: {
        hosts: [HOST],
        http: [
          {
            fault: { abort: { httpStatus: 418, percentage: { value: 100 } } },
            route: [{ destination: { host: HOST } }],
          },
        ],
      },
    });
    expect(answers.filter((status) => status !== 200 && status !== 418)).toEqual([]);
    for (const { httpProxyPort } of clients)
      await until('changes reach it', async () => (await ask(httpProxyPort)) === 418, patience);
    asking = false;
    await until('writes are acknowledged', () => acknowledged.length > 10);
    writing = false;
    await Promise.all([...traffic, writer]);
    const { items } = await b.api().call<{ items: { metadata: { name: string } }[] }>('GET', ENTRIES);
    const names = new Set(items.map(({ metadata }) => metadata.name));
    expect(acknowledged.filter((name) => !names.has(name))).toEqual([]);
    // A leader is there again within seconds of the death: the automatic address of a new host is its work.
    await b.api().call('POST', ENTRIES, entry('late', ['late.example.com']));
    await until('a leader gives an address', async () => {
      const { status } = await a.api().call<{ status?: { addresses?: unknown[] } }>('GET', `${ENTRIES}/late`);
      return status?.addresses?.length === 2;
    });
  }, 240_000);

  it('change the roots together: none issues by the new one before the proxies of all trust it', async () => {
    const before = await a.api().call<{ roots: unknown[] }>('GET', '/v1/ca');
    expect(before.roots).toHaveLength(1);
    await b.api().call('POST', '/v1/ca/rotate', {});
    await until('both trust two roots', async () => {
      const both = await Promise.all([a, b].map((each) => each.api().call<{ roots: unknown[] }>('GET', '/v1/ca')));
      return both.every(({ roots }) => roots.length === 2);
    });
    await until(
      'the new root issues at both',
      async () => {
        const both = await Promise.all([a, b].map((each) => each.api().call<{ phase: string }>('GET', '/v1/ca')));
        return both.every(({ phase }) => phase === 'issuing');
      },
      patience,
    );
    const issued = await Promise.all([a, b].map(async (each) => joined(each.api(), await tokenOf(each))));
    expect(issued.map(({ status }) => status)).toEqual([200, 200]);
    // Each takes what the other has issued.
    const { csr } = await newWorkload('default', 'reviews');
    for (const [i, other] of [b, a].entries())
      expect((await as(other, issued[i]!).request('POST', '/v1/certificates', { csr })).status).toBe(200);
  }, 180_000);

  it('lead no longer when they were paused for longer than their lease, and take up the work when the other is', async () => {
    const late = async (name: string, through: Replica) => {
      await through.api().call('POST', ENTRIES, entry(name, [`${name}.example.com`]));
      await until(
        `${name} has its addresses`,
        async () => {
          const { status } = await through
            .api()
            .call<{ status?: { addresses?: unknown[] } }>('GET', `${ENTRIES}/${name}`);
          return status?.addresses?.length === 2;
        },
        patience,
      );
    };
    for (const [paused, other] of [
      [a, b],
      [b, a],
    ] as const) {
      paused.program.process.kill('SIGSTOP');
      await late(`while-${portOf(paused)}-is-paused`, other);
      paused.program.process.kill('SIGCONT');
      await late(`after-${portOf(paused)}-was-paused`, paused);
    }
    const { items } = await a.api().call<{ items: { status?: { addresses?: { value: string }[] } }[] }>('GET', ENTRIES);
    const values = items.flatMap(({ status }) => status?.addresses?.map(({ value }) => value) ?? []);
    expect(new Set(values).size).toBe(values.length);
  }, 240_000);
});
