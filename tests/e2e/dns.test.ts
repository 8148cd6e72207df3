/** The DNS server of proxies in a real mesh, as clients see it: dig, getent and curl. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RuntimeName } from '../../control/cli/runtimes.mjs';
import { DnsTestServer } from '../kit/dns-server.ts';
import { RUNTIMES } from '../kit/environment.ts';
import { LoopbackMesh, type Workload } from '../kit/mesh.ts';
import { freePorts } from '../kit/ports.ts';
import { run, works } from '../kit/process.ts';
import { until } from '../kit/waiting.ts';
import { get } from './shop-mesh.ts';

const DIG = works('dig', ['-v']);
if (!DIG) console.warn('skipped: dig is not installed');

const SERVICES = 1000;

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
  hosts: ["${host}"]
  ports: [{ number: 80, name: http, protocol: HTTP }]
  ${more}
---`;
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
${entry('wild', '*.wild.example', 'addresses: [10.9.0.1]')}
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
    expect(await status('example.org AXFR +notcp')).toBeUndefined();
    expect(await status('example.org IXFR=1 +notcp')).toBe('REFUSED');
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
    const yaml = Array.from({ length: SERVICES }, (_, i) =>
      entry(`many-${i}`, `many-${i}.example`, `addresses: [10.${20 + Math.floor(i / 250)}.${i % 250}.1]`),
    );
    for (let i = 0; i < SERVICES; i += 100) await mesh.apply(yaml.slice(i, i + 100).join('\n'));
    await until('the last name is there', async () => (await short(`many-${SERVICES - 1}.example`)).length === 1);
    const names = join(mesh.folder, 'names');
    writeFileSync(names, Array.from({ length: SERVICES }, (_, i) => `many-${i}.example\n`).join(''));
    const all = (await dig(`+short -f ${names}`)).split('\n').filter(Boolean);
    expect(all).toEqual(Array.from({ length: SERVICES }, (_, i) => `10.${20 + Math.floor(i / 250)}.${i % 250}.1`));
    await Promise.all([start('gateway', 'router'), start('eager', 'sidecar', '--discovery', 'eager')]);
    for (const name of ['gateway', 'eager']) {
      expect(await short('many-500.example', name)).toEqual(['10.22.0.1']);
      expect(await short('reviews', name)).toEqual(['10.96.0.1']);
    }
  });

  it('answers after a restart without a control plane, with the same automatic addresses', async () => {
    const vip = await short('api.example.com');
    await mesh.control.stop('SIGKILL');
    await mesh.restartProxy('web');
    expect(await short('api.example.com')).toEqual(vip);
    expect(await short('many-7.example')).toEqual(['10.20.7.1']);
    expect(await short('www.example.org')).toEqual(['192.0.2.80']);
    await mesh.startControl();
    await mesh.remove(entry('many-7', 'many-7.example'));
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
