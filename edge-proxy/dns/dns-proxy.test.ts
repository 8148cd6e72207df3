import dgram from 'node:dgram';
import net from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { DnsTestServer } from '../../tests/kit/dns-server.ts';
import { until } from '../../tests/kit/waiting.ts';
import { currentRuntime } from '../runtime/index.ts';
import { AnswerCache } from './cache.ts';
import { DnsProxy } from './dns-proxy.ts';
import { Forwarder } from './forwarder.ts';
import { frame } from './frames.ts';
import { DnsMetrics } from './metrics.ts';
import { FLAG } from './protocol.ts';
import { randomIds } from './random-id.ts';
import { readResponse } from './read-message.ts';
import { type QueryOptions, queryBytes, queryOf, summary } from './testing/query.ts';
import { UpstreamServers } from './upstream-servers.ts';

const runtime = currentRuntime();
const open: { stop(): Promise<void> }[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((each) => each.stop()));
});

async function upstream(): Promise<DnsTestServer> {
  const server = new DnsTestServer();
  await server.start();
  open.push(server);
  return server;
}

async function proxy(...servers: DnsTestServer[]): Promise<{ dns: DnsProxy; lines: string[] }> {
  const lines: string[] = [];
  const upstreams = servers.map(({ address, port }) => ({ address, port }));
  const options = { runtime, port: 0, upstreams, namespace: 'shop', domainSuffix: 'cluster.local' };
  const dns = await DnsProxy.start({ ...options, log: (line) => void lines.push(line) });
  open.push({ stop: () => dns.close() });
  return { dns, lines };
}

function ask(port: number, name: string, options: QueryOptions = {}, address = '127.0.0.1'): Promise<Uint8Array> {
  return send(port, queryBytes(name, options), address);
}

function send(port: number, message: Uint8Array, address = '127.0.0.1'): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const socket = dgram.createSocket(address.includes(':') ? 'udp6' : 'udp4');
    socket.on('error', reject).once('message', (bytes) => {
      socket.close();
      resolve(bytes);
    });
    socket.send(message, port, address);
  });
}

const a = (value: string, ttl = 60) => ({ type: 'A' as const, ttl, value });

describe('the DNS server', () => {
  it('answers names of the mesh by UDP and TCP, on both loopback addresses', async () => {
    const { dns } = await proxy();
    dns.apply([{ name: 'reviews.shop.svc.cluster.local', service: true, addresses: ['10.0.0.1'] }], []);
    expect(summary(await ask(dns.port, 'reviews', { id: 77 }))).toMatchObject({ rcode: 0, ttls: [30] });
    if (runtime.localAddresses().includes('::1'))
      expect(summary(await ask(dns.port, 'reviews', {}, '::1'))).toMatchObject({ answers: 1 });
    const socket = net.connect(dns.port, '127.0.0.1');
    const received: Buffer[] = [];
    socket.on('data', (bytes) => received.push(bytes));
    // Two queries, of which the first comes in pieces.
    const both = [frame(queryBytes('reviews', { id: 1 })), frame(queryBytes('reviews.shop', { id: 2 }))];
    socket.write(both[0]!.subarray(0, 5));
    socket.write(both[0]!.subarray(5));
    socket.end(both[1]!);
    await new Promise((done) => socket.on('close', done));
    const all = Buffer.concat(received);
    const first = all.readUInt16BE(0);
    expect(readResponse(all.subarray(2, 2 + first))).toMatchObject({ id: 1, smallestTtl: 30 });
    expect(readResponse(all.subarray(4 + first))).toMatchObject({ id: 2, smallestTtl: 30 });
  });

  it('says SERVFAIL for names of the mesh before they have come, and for others without an upstream server', async () => {
    const { dns, lines } = await proxy();
    expect(summary(await ask(dns.port, 'reviews.shop.svc.cluster.local'))).toMatchObject({ rcode: 2, answers: 0 });
    expect(dns.exposition()).toContain('istio_agent_dns_failures_total 1');
    expect(lines.filter((line) => line.includes('is this server itself'))).toEqual([]);
  });

  it('says SERVFAIL for every name that may be on a page that has not come', async () => {
    const server = await upstream();
    const { dns } = await proxy(server);
    server.zone.set('db.example A', { records: [a('192.0.2.1')] });
    expect(summary(await ask(dns.port, 'db.example'))).toMatchObject({ rcode: 0, answers: 1 });
    dns.apply([{ name: 'first.example', addresses: ['240.240.0.1'] }], []);
    expect(summary(await ask(dns.port, 'first.example'))).toMatchObject({ rcode: 0, answers: 1 });
    expect(summary(await ask(dns.port, 'second.example'))).toMatchObject({ rcode: 2, answers: 0 });
    dns.apply([{ name: 'second.example', addresses: ['240.240.0.2'] }], []);
    dns.complete();
    expect(summary(await ask(dns.port, 'second.example'))).toMatchObject({ rcode: 0, answers: 1 });
    expect(summary(await ask(dns.port, 'db.example'))).toMatchObject({ rcode: 0, answers: 1 });
  });

  it('refuses zone transfers and other classes, and answers ANY with little', async () => {
    const { dns } = await proxy(await upstream());
    const rcodes: number[] = [];
    for (const options of [{ type: 'AXFR' }, { type: 'IXFR' }, { class: 3 }] as const)
      rcodes.push(summary(await ask(dns.port, 'example.test', options)).rcode);
    expect(rcodes).toEqual([5, 5, 5]);
    expect(summary(await ask(dns.port, 'example.test', { type: 'ANY' }))).toMatchObject({ rcode: 0, answers: 1 });
  });

  it('waits for a port that another process has, as the proxy that it replaces', async () => {
    const before = await proxy();
    const { port } = before.dns;
    const lines: string[] = [];
    const options = { runtime, port, upstreams: [], namespace: 'shop', domainSuffix: 'cluster.local' };
    const dns = await DnsProxy.start({ ...options, log: (line) => void lines.push(line) });
    open.push({ stop: () => dns.close() });
    dns.apply([{ name: 'next.test', addresses: ['10.0.0.2'] }], []);
    dns.complete();
    expect(lines).toContainEqual(expect.stringContaining('names are answered once it is free'));
    await before.dns.close();
    const socket = dgram.createSocket('udp4');
    let answers = 0;
    socket.on('message', (bytes) => {
      answers += summary(bytes).answers;
    });
    await until('the next proxy answers', () => {
      socket.send(queryBytes('next.test'), port, '127.0.0.1');
      return answers > 0;
    });
    await new Promise<void>((done) => socket.close(() => done()));
  });

  it('closes a TCP connection that sends no query', async () => {
    const { dns } = await proxy();
    const socket = net.connect(dns.port, '127.0.0.1', () => socket.write(frame(new Uint8Array(3))));
    socket.on('error', () => {});
    await new Promise((done) => socket.on('close', done));
  });
});

describe('forwarding', () => {
  it('keeps the spelling and the id of each client, and asks once', async () => {
    const server = await upstream();
    server.zone.set('www.example.test A', { records: [a('192.0.2.1')], delayMs: 30 });
    const { dns } = await proxy(server);
    const names = ['www.example.test', 'WWW.example.test', 'wWw.eXample.teSt'];
    const answers = await Promise.all(names.map((name, id) => ask(dns.port, name, { id })));
    expect(answers.map((answer) => readResponse(answer).id)).toEqual([0, 1, 2]);
    expect(answers.map((answer) => Buffer.from(answer).toString('latin1', 13, 16))).toEqual(['www', 'WWW', 'wWw']);
    await ask(dns.port, names[0]!);
    expect(server.asked).toEqual(['udp www.example.test A']);
    expect(dns.exposition()).toMatch(/dns_requests_total 4\n[\s\S]*upstream_requests_total 1\n/);
  });

  it('uses other ids and source ports each time', async () => {
    const server = await upstream();
    const { dns } = await proxy(server);
    for (let i = 0; i < 20; i++) await ask(dns.port, `n${i}.test`);
    expect(new Set(server.seen.map(({ id }) => id)).size).toBeGreaterThan(18);
    expect(new Set(server.seen.map(({ port }) => port)).size).toBeGreaterThan(15);
  });

  it('drops answers to other queries', async () => {
    const server = await upstream();
    server.zone.set('a.test A', { records: [a('192.0.2.1')], forged: true, delayMs: 20 });
    const { dns } = await proxy(server);
    expect(summary(await ask(dns.port, 'a.test'))).toMatchObject({ rcode: 0, answers: 1 });
  });

  it('asks by TCP when the answer is truncated, and says TC to a client that takes less', async () => {
    const server = await upstream();
    const records = Array.from({ length: 60 }, (_, i) => a(`192.0.2.${i}`));
    server.zone.set('many.test A', { records, truncated: true });
    const { dns } = await proxy(server);
    const small = await ask(dns.port, 'many.test');
    expect(summary(small)).toMatchObject({ answers: 0 });
    expect(((small[2]! << 8) | small[3]!) & FLAG.TC).toBe(FLAG.TC);
    expect(summary(await ask(dns.port, 'many.test', { edns: { udpBytes: 4096 } })).answers).toBe(60);
    expect(server.asked).toEqual(['udp many.test A', 'tcp many.test A']);
  });

  it('continues with the next server, and stays with it', async () => {
    const [dead, failing, good] = [await upstream(), await upstream(), await upstream()];
    await dead.stop();
    open.splice(open.indexOf(dead), 1);
    failing.zone.set('a.test A', { rcode: 2 });
    good.zone.set('a.test A', { records: [a('192.0.2.1', 0)] });
    const { dns } = await proxy(dead, failing, good);
    expect(summary(await ask(dns.port, 'a.test')).answers).toBe(1);
    expect(summary(await ask(dns.port, 'a.test')).answers).toBe(1);
    expect([failing.asked.length, good.asked.length]).toEqual([1, 2]);
  });

  it('relays the code of servers that all fail', async () => {
    const server = await upstream();
    server.zone.set('a.test A', { rcode: 5 });
    const { dns } = await proxy(server);
    expect(summary(await ask(dns.port, 'a.test')).rcode).toBe(5);
  });

  it('asks again without EDNS where a server does not know it', async () => {
    const server = await upstream();
    server.zone.set('old.test A', { records: [a('192.0.2.1')], refusesEdns: true });
    const { dns } = await proxy(server);
    expect(summary(await ask(dns.port, 'old.test', { edns: { udpBytes: 1232 } })).answers).toBe(1);
  });

  it('answers a query that comes back with SERVFAIL', async () => {
    const { dns, lines } = await proxy();
    // An upstream server that asks its client.
    const mirror = dgram.createSocket('udp4');
    const returned: Buffer[] = [];
    mirror.on('message', (bytes, from) => {
      if (from.port === dns.port) returned.push(bytes);
      else mirror.send(bytes, front.dns.port, '127.0.0.1');
    });
    await new Promise<void>((done) => mirror.bind(0, '127.0.0.1', done));
    const { port } = mirror.address();
    const options = {
      runtime,
      port: 0,
      upstreams: [{ address: '127.0.0.1', port }],
      namespace: 'a',
      domainSuffix: 'b',
    };
    const front = { dns: await DnsProxy.start({ ...options, log: (line) => void lines.push(line) }) };
    open.push({ stop: () => front.dns.close() });
    void ask(front.dns.port, 'loop.test').catch(() => {});
    await until('the loop is seen', () => lines.some((line) => line.includes('sends queries back')));
    await new Promise<void>((done) => mirror.close(() => done()));
  });

  it('lets only so many queries of a client wait', async () => {
    const server = await upstream();
    for (let i = 0; i < 600; i++) server.zone.set(`q${i}.test A`, { silent: true });
    const { dns } = await proxy(server);
    const socket = dgram.createSocket('udp4');
    const failed: number[] = [];
    socket.on('message', (bytes) => failed.push(summary(bytes).rcode));
    let sent = 0;
    await until('the excess is refused', () => {
      for (let i = 0; i < 50; i++, sent++)
        socket.send(queryBytes(`q${sent % 600}.test`, { id: sent }), dns.port, '127.0.0.1');
      return failed.length > 0;
    });
    expect(sent).toBeGreaterThan(256);
    expect(new Set(failed)).toEqual(new Set([2]));
    dns.apply([{ name: 'mesh.test', addresses: ['10.0.0.1'] }], []);
    expect(summary(await ask(dns.port, 'mesh.test')).answers).toBe(1);
    await new Promise<void>((done) => socket.close(() => done()));
  });
});

describe('the cache', () => {
  const forwarder = (server: DnsTestServer, clock: { now: number }) =>
    new Forwarder({
      runtime,
      monotonicMs: () => clock.now,
      upstreams: () => ({ servers: [server], timeoutMs: 2000, attempts: 1 }),
      randomId: randomIds(),
      metrics: new DnsMetrics(),
      cache: new AnswerCache(),
    });

  it('keeps answers for their TTL, and denials for that of their zone', async () => {
    const server = await upstream();
    server.zone.set('a.test A', { records: [a('192.0.2.1', 60), a('192.0.2.2', 10)] });
    server.zone.set('a.test AAAA', { negativeTtl: 20 });
    server.zone.set('bare.test A', { rcode: 3 });
    const clock = { now: 1000 };
    const asking = forwarder(server, clock);
    const count = async (name: string, type: 'A' | 'AAAA' = 'A') => {
      await asking.ask(queryOf(name, { type }));
      return server.asked.length;
    };
    expect([
      await count('a.test'),
      await count('a.test', 'AAAA'),
      await count('no.test'),
      await count('bare.test'),
    ]).toEqual([1, 2, 3, 4]);
    clock.now += 9_900;
    expect((await asking.ask(queryOf('a.test')))!.age).toBe(9);
    expect([await count('a.test'), await count('a.test', 'AAAA'), await count('no.test')]).toEqual([4, 4, 4]);
    // A denial without SOA is not kept.
    expect(await count('bare.test')).toBe(5);
    clock.now += 200;
    expect([await count('a.test'), await count('a.test', 'AAAA')]).toEqual([6, 6]);
    clock.now += 10_000;
    expect(await count('a.test', 'AAAA')).toBe(7);
  });

  it('is bounded, and forgets what was not used for longest', () => {
    const cache = new AnswerCache({ entries: 2, bytes: 200, entryBytes: 150, maxTtl: 60, maxNegativeTtl: 1 });
    const response = (size: number) => ({
      ...{ id: 1, rcode: 0, truncated: false, question: queryOf('a').question, hasAnswers: true, ttls: [] },
      ...{ smallestTtl: 1000, negativeTtl: undefined, bytes: new Uint8Array(size) },
    });
    cache.put('a', response(50), 0);
    cache.put('b', response(50), 0);
    cache.get('a', 0);
    cache.put('c', response(50), 0);
    expect(['a', 'b', 'c'].map((key) => cache.get(key, 0) !== undefined)).toEqual([true, false, true]);
    cache.put('large', response(151), 0);
    expect(cache.get('large', 0)).toBeUndefined();
    cache.put('d', response(149), 0);
    expect(['a', 'c', 'd'].map((key) => cache.get(key, 0) !== undefined)).toEqual([false, true, true]);
    expect(cache.get('d', 60_000)).toBeUndefined();
  });
});

describe('upstream servers', () => {
  it('are those of the host, those of systemd-resolved for its stub, and never this server', async () => {
    const clock = { now: 0 };
    const texts: Record<string, string> = {
      etc: 'nameserver 127.0.0.53\nsearch corp.example\noptions timeout:1 attempts:3\n',
    };
    texts['run'] = 'nameserver 192.0.2.53\nnameserver 127.0.0.1\n';
    const lines: string[] = [];
    const servers = new UpstreamServers({
      given: [],
      files: { read: (path) => Promise.resolve(new TextEncoder().encode(texts[path] ?? '')) },
      monotonicMs: () => clock.now,
      isOwn: ({ address }) => address === '127.0.0.1',
      log: (line) => void lines.push(line),
      paths: { resolvConf: 'etc', resolved: 'run' },
    });
    await servers.start();
    expect(servers.get()).toEqual({ servers: [{ address: '192.0.2.53', port: 53 }], timeoutMs: 1000, attempts: 3 });
    expect(servers.searchDomains).toEqual(['corp.example']);
    expect(lines).toEqual(['dns: 127.0.0.1:53 is this server itself, and is not asked']);
    texts['etc'] = 'nameserver 192.0.2.99\n';
    expect(servers.get().servers[0]!.address).toBe('192.0.2.53');
    clock.now += 5000;
    servers.get();
    await until('the file counts', () => servers.get().servers[0]!.address === '192.0.2.99');
  });
});
