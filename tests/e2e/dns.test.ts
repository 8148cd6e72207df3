/** The DNS server of proxies in a real mesh, as clients see it: dig, getent and curl. */
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ControlApi } from '../../control/cli/connection.ts';
import { nodeBinary, proxyCommand, type RuntimeName } from '../../control/cli/runtimes.mjs';
import { DnsTestServer } from '../kit/dns-server.ts';
import { ROOT, RUNTIMES, temporaryFolder } from '../kit/environment.ts';
import { HOSTS, type TestHost, TestNetwork } from '../kit/hosts.ts';
import { LoopbackMesh, type Workload } from '../kit/mesh.ts';
import { freePorts } from '../kit/ports.ts';
import { Program, run, works } from '../kit/process.ts';
import { closeServers, UPSTREAM } from '../kit/upstream.ts';
import { until } from '../kit/waiting.ts';
import { get } from './shop-mesh.ts';

const DIG = works('dig', ['-v']);
if (!DIG) console.warn('skipped: dig is not installed');

const SERVICES = 1000;
/** So many hosts a ServiceEntry has. */
const EACH = 40;

describe.skipIf(!DIG).each(RUNTIMES)('the DNS server of a %s proxy', (runtime: RuntimeName) => {
  const mesh = new LoopbackMesh();
  const upstream = new DnsTestServer();
  const ports = new Map<string, number>();
  let sidecar: Workload;

  const entry = (name: string, host: string, more = 'resolution: STATIC') => `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: ${name} }
spec:
  hosts: [${host}]
  ports: [{ number: 80, name: http, protocol: HTTP }]
  ${more}
---`;
  const many = (i: number) =>
    entry(
      `many-${i}`,
      Array.from({ length: EACH }, (_, k) => `many-${i * EACH + k}.example`).join(),
      `addresses: [10.20.${i}.1]`,
    );
  const start = async (name: string, type: 'sidecar' | 'router', ...flags: string[]) => {
    const port = (await freePorts(1))[0]!;
    ports.set(name, port);
    const dns = ['--dns-port', String(port), '--dns-upstream', `${upstream.address}:${upstream.port}`];
    return mesh.start({ name, serviceAccount: name, labels: { app: name }, type, runtime, flags: [...dns, ...flags] });
  };
  const dig = async (words: string, from = 'web'): Promise<string> => {
    const server = ['@127.0.0.1', '-p', String(ports.get(from)), '+tries=1', '+time=10'];
    const { out } = await run('dig', [...server, ...words.split(' ')]);
    return out;
  };
  const short = async (words: string, from = 'web'): Promise<string[]> =>
    (await dig(`+short ${words}`, from)).split('\n').filter(Boolean).sort();
  const status = async (words: string, from = 'web'): Promise<string | undefined> =>
    /status: (\w+)/.exec(await dig(words, from))?.[1];

  beforeAll(async () => {
    await upstream.start();
    upstream.zone.set('www.example.org A', { records: [{ type: 'A', ttl: 60, value: '192.0.2.80' }] });
    upstream.zone.set('big.example.org TXT', {
      truncated: true,
      records: Array.from({ length: 30 }, (_, i) => ({
        type: 'TXT' as const,
        ttl: 60,
        value: `${i}`.padEnd(100, 'x'),
      })),
    });
    await mesh.startControl();
    const namespace = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'other' } };
    await mesh.api.call('POST', '/api/v1/namespaces', namespace);
    await mesh.apply(`
apiVersion: v1
kind: Service
metadata: { name: reviews }
spec: { clusterIP: 10.96.0.1, ports: [{ port: 80, name: http }] }
---
apiVersion: v1
kind: Service
metadata: { name: db, namespace: other }
spec: { clusterIP: None, ports: [{ port: 5432, name: sql }] }
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: { name: db-1, namespace: other, labels: { kubernetes.io/service-name: db } }
addressType: IPv4
ports: [{ name: sql, port: 5432 }]
endpoints: [{ addresses: [10.1.0.1], hostname: db-0 }, { addresses: [10.1.0.2], hostname: db-1 }]
---
${entry('wild', '"*.wild.example"', 'addresses: [10.9.0.1]')}
${entry('api', 'api.example.com', 'resolution: DNS')}
`);
    sidecar = await start('web', 'sidecar');
    await until('the automatic address has come', async () => (await short('api.example.com')).length === 1);
  });
  afterAll(async () => {
    await mesh.stop();
    await upstream.stop();
  });

  it('answers names of the mesh that were never used, short and in full', async () => {
    for (const name of ['reviews', 'reviews.default', 'reviews.default.svc', 'reviews.default.svc.cluster.local'])
      expect(await short(name)).toEqual(['10.96.0.1']);
    expect(await short('ReViEwS')).toEqual(['10.96.0.1']);
    expect(await dig('ReViEwS')).toContain(';ReViEwS.');
    expect(await short('any.thing.wild.example')).toEqual(['10.9.0.1']);
    expect((await short('api.example.com'))[0]).toMatch(/^240\.240\.\d+\.\d+$/);
    expect(await short('www.api.example.com.default.svc.cluster.local')).toEqual([]);
    const expanded = await dig('api.example.com.default.svc.cluster.local');
    expect(expanded).toMatch(/CNAME\s+api\.example\.com\.\n/);
  });

  it('says what there is not: no data, no name, nothing else than it has', async () => {
    const answer = await dig('reviews AAAA');
    expect(answer).toMatch(/status: NOERROR/);
    expect(answer).toMatch(/flags: qr aa rd ra; QUERY: 1, ANSWER: 0/);
    expect(await status('nope.example.org')).toBe('NXDOMAIN');
    for (const type of ['AXFR', 'IXFR=1']) expect(await dig(`example.org ${type}`)).toContain('Transfer failed');
    expect(await status('version.bind CH TXT')).toBe('REFUSED');
    expect(await status('reviews +opcode=NOTIFY')).toBe('NOTIMP');
    expect(await status('reviews +edns=1 +noednsneg')).toBe('BADVERS');
  });

  it('answers headless services, their instances, services and addresses', async () => {
    expect(await short('db.other')).toEqual(['10.1.0.1', '10.1.0.2']);
    expect(await short('db-1.db.other.svc.cluster.local')).toEqual(['10.1.0.2']);
    expect(await short('_sql._tcp.db.other SRV')).toEqual([
      '0 1 5432 db-0.db.other.svc.cluster.local.',
      '0 1 5432 db-1.db.other.svc.cluster.local.',
    ]);
    const [vip] = await short('api.example.com');
    expect(await short(`-x ${vip}`)).toEqual(['api.example.com.']);
    expect(await status('-x 240.240.255.254')).toBe('NXDOMAIN');
  });

  it('follows the endpoints of a headless service', async () => {
    await mesh.apply(`
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: { name: db-1, namespace: other, labels: { kubernetes.io/service-name: db } }
addressType: IPv4
ports: [{ name: sql, port: 5432 }]
endpoints: [{ addresses: [10.1.0.7], hostname: db-7 }]`);
    await until('the endpoint counts', async () => (await short('db.other')).join() === '10.1.0.7');
    expect(await short('db-7.db.other')).toEqual(['10.1.0.7']);
  });

  it('forwards the rest, by UDP and TCP, and once', async () => {
    expect(await short('www.example.org')).toEqual(['192.0.2.80']);
    expect(await short('WWW.example.org +tcp')).toEqual(['192.0.2.80']);
    expect(upstream.asked.filter((line) => line.includes('www.example.org A'))).toHaveLength(1);
    expect(await short('big.example.org TXT')).toHaveLength(30);
    expect(await dig('big.example.org TXT +ignore +bufsize=600')).toContain('flags: qr tc');
    const metrics = await get({ host: '127.0.0.1', port: sidecar.adminPort, path: '/stats/prometheus' });
    expect(metrics.body).toMatch(/^istio_agent_dns_upstream_requests_total [1-9]/m);
    expect(metrics.body).toMatch(/^istio_agent_dns_requests_total [1-9]/m);
  });

  it('has the names of a thousand services, in gateways and eager proxies too', async () => {
    for (let i = 0; i < SERVICES; i += EACH) await mesh.apply(many(i / EACH));
    await until('the last name is there', async () => (await short(`many-${SERVICES - 1}.example`)).length === 1);
    const names = join(mesh.folder, 'names');
    writeFileSync(names, Array.from({ length: SERVICES }, (_, i) => `many-${i}.example\n`).join(''));
    const all = (await dig(`+short -f ${names}`)).split('\n').filter(Boolean);
    expect(all).toEqual(Array.from({ length: SERVICES }, (_, i) => `10.20.${Math.floor(i / EACH)}.1`));
    // What differs for these is the control plane's part, which is the same for each runtime.
    if (runtime !== 'node') return;
    await Promise.all([start('gateway', 'router'), start('eager', 'sidecar', '--discovery', 'eager')]);
    for (const name of ['gateway', 'eager']) {
      // More than a page of names: the rest follows the first answer.
      await until(`${name} has all names`, async () => (await short('many-500.example', name)).length === 1);
      expect(await short('many-500.example', name)).toEqual(['10.20.12.1']);
      await until(`${name} has the names of services`, async () => (await short('reviews', name)).length === 1);
      expect(await short('reviews', name)).toEqual(['10.96.0.1']);
    }
  });

  it('answers after a restart without a control plane, with the same automatic addresses', async () => {
    const vip = await short('api.example.com');
    await mesh.control.stop('SIGKILL');
    await mesh.restartProxy('web');
    expect(await short('api.example.com')).toEqual(vip);
    expect(await short('many-7.example')).toEqual(['10.20.0.1']);
    expect(await short('www.example.org')).toEqual(['192.0.2.80']);
    await mesh.startControl();
    await mesh.remove(many(0));
    await until(
      'a name that leaves the mesh is asked elsewhere',
      async () => (await status('many-7.example')) === 'NXDOMAIN',
    );
    expect(await short('api.example.com')).toEqual(vip);
  });

  it('still answers names of the mesh while an upstream server answers nothing', async () => {
    for (let i = 0; i < 300; i++) upstream.zone.set(`flood-${i}.example.org A`, { silent: true });
    const names = join(mesh.folder, 'flood');
    writeFileSync(names, Array.from({ length: 300 }, (_, i) => `flood-${i}.example.org\n`).join(''));
    const flood = Array.from({ length: 4 }, () => dig(`+short +time=1 -f ${names}`));
    void Promise.all(flood);
    for (let i = 0; i < 20; i++) expect(await short('reviews')).toEqual(['10.96.0.1']);
    for (let i = 0; i < 300; i++) upstream.zone.delete(`flood-${i}.example.org A`);
    await Promise.all(flood);
  });
});

/** A resolver's file as distributions have it. */
const resolvConf = (server: string) => `# Generated by dhclient\nnameserver ${server}\noptions timeout:3\n\n`;

describe.skipIf(!HOSTS)('a host whose resolver is the proxy', () => {
  const folder = temporaryFolder();
  const programs: Program[] = [];
  const app = createServer(UPSTREAM, (_incoming, outgoing) => outgoing.end('reached'));
  let network: TestNetwork;
  let upstream: DnsTestServer;
  let url: string;
  let api: ControlApi;
  let appPort: number;

  const launch = (name: string, command: readonly string[], env: Record<string, string> = {}) => {
    const program = new Program(name, command, { env });
    programs.push(program);
    return program;
  };
  const on = async (host: TestHost, ...command: string[]): Promise<string> => {
    const [program = '', ...words] = host.run(command);
    return (await run(program, words)).out;
  };
  const node = [nodeBinary(), '--disable-warning=ExperimentalWarning'];
  const resolver = async <T>(host: TestHost, what: string): Promise<T> => {
    const state = join(folder.path, `${host.address}.json`);
    return JSON.parse(await on(host, ...node, join(ROOT, 'tests/e2e/dns-resolver.ts'), what, state)) as T;
  };

  beforeAll(async () => {
    network = new TestNetwork();
    upstream = new DnsTestServer(network.address);
    await upstream.start(53);
    upstream.zone.set('outside.example A', { records: [{ type: 'A', ttl: 60, value: network.address }] });
    await new Promise<void>((done) => app.listen(0, network.address, done));
    appPort = (app.address() as AddressInfo).port;
    const data = join(folder.path, 'control');
    const flags = ['--data', data, '--port', '0', '--address', network.address, '--announce'];
    const control = launch('control', [...node, join(ROOT, 'control/cli/main.ts'), 'control', ...flags]);
    const ready = await control.announcement<{ port: number; adminToken: string; trustBundle: string }>();
    url = `https://${network.address}:${ready.port}`;
    api = new ControlApi(url, ready.adminToken, ready.trustBundle);
    await api.call('POST', '/api/v1/namespaces/default/services', {
      ...{ apiVersion: 'v1', kind: 'Service', metadata: { name: 'web', namespace: 'default' } },
      spec: { clusterIP: network.address, ports: [{ port: appPort, name: 'http' }] },
    });
  });
  afterAll(async () => {
    await Promise.all(programs.map((program) => program.stop()));
    await upstream?.stop();
    closeServers(app);
    network?.close();
    folder.dispose();
  });

  it.each(RUNTIMES)('finds names of the mesh and all others on %s, and is put back', async (runtime) => {
    const before = resolvConf(network.address);
    const host = network.add({}, before);
    expect(await resolver(host, 'set-up')).toEqual({ mode: 'resolv.conf', upstreams: [network.address] });
    const token = { namespace: 'default', serviceAccount: runtime };
    const joined = await api.call<{ token: string }>('POST', '/v1/join-tokens', token);
    const who = ['--name', runtime, '--service-account', runtime, '--ip', host.address, '--admin-port', '0'];
    const dns = ['--dns-port', '53', '--dns-upstream', network.address];
    const trust = ['--trust-bundle', join(folder.path, 'control', 'ca/root-cert.pem')];
    const flags = ['--control-plane', url, ...trust, '--data', join(folder.path, runtime), '--announce'];
    const command = host.run([...proxyCommand(runtime), ...flags, ...who, ...dns]);
    const proxy = launch(runtime, command, { TULLE_JOIN_TOKEN: joined.token });
    await proxy.announcement();
    for (const name of ['web', 'web.default', 'web.default.svc.cluster.local', 'outside.example'])
      expect(await on(host, 'getent', 'ahostsv4', name)).toContain(network.address);
    expect(await on(host, 'curl', '-s', `http://web:${appPort}/`)).toBe('reached');
    expect(await on(host, 'getent', 'hosts', 'nothing.example')).toBe('');
    // Only the host itself is answered.
    const outside = await run('dig', [`@${host.address}`, 'web', '+tries=1', '+time=1']);
    expect(outside.out).toMatch(/refused|timed out/);
    await proxy.stop();
    expect(await resolver(host, 'put-back')).toBe(true);
    expect(await on(host, 'cat', '/etc/resolv.conf')).toBe(before);
  });
});
