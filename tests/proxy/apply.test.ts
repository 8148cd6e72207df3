import http from 'node:http';
import net from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { DataPlane } from '../../edge-proxy/proxy.ts';
import { currentRuntime } from '../../edge-proxy/runtime/index.ts';
import { BootstrapError, loadBootstrap, runBootstrap } from '../../edge-proxy/static.ts';
import { proxyCompilers } from '../../edge-proxy/xds/compilers.ts';
import { freePorts } from '../kit/ports.ts';
import { UPSTREAM } from '../kit/upstream.ts';
import { until } from '../kit/waiting.ts';
import { leaf, pem, rootAuthority } from '../mtls/certificates.ts';
import { ANY, at, clientTls, cluster, hcm, listener, secretOf, serverTls, tcp } from './bootstrap.ts';

const compilers = proxyCompilers(
  { runtime: currentRuntime(), trustDomain: undefined },
  () => [],
  () => [],
);

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const clean of cleanups.splice(0).reverse()) await clean();
});

function proxy(): DataPlane {
  const made = new DataPlane(currentRuntime(), { compilers, warn: () => {} });
  cleanups.push(() => made.stop());
  return made;
}

async function application(body: string): Promise<number> {
  const server = http.createServer(UPSTREAM, (_, response) => response.end(body));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  cleanups.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return (server.address() as net.AddressInfo).port;
}

async function get(port: number): Promise<string> {
  const response = await fetch(`http://127.0.0.1:${port}/`, { headers: { connection: 'close' } });
  return `${response.status} ${await response.text()}`;
}

function talk(port: number, text: string): Promise<string> {
  return new Promise((resolve) => {
    let got = '';
    const socket = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true }, () => socket.end(text));
    socket.on('data', (bytes) => (got += bytes));
    socket.on('error', () => {});
    socket.on('close', () => resolve(got));
  });
}

describe('config applied to a running proxy', () => {
  it('refuses unknown fields by path, and runs nothing of an invalid file', async () => {
    expect(() => loadBootstrap('{"static_resources":{"listeners":[{"name":"a","addres":{}}]}}')).toThrow(
      /staticResources\.listeners\[0\].*addres/,
    );
    const bad = {
      static_resources: {
        listeners: [listener('good', [tcp('x')]), { ...listener('bad', [tcp('x')]), useOriginalDst: true }],
      },
    };
    const made = proxy();
    await expect(runBootstrap(made, loadBootstrap(JSON.stringify(bad)))).rejects.toThrow(BootstrapError);
  });

  it('keeps the last good version of an invalid resource and names the violation', async () => {
    const made = proxy();
    const port = await application('v1');
    await made.apply({
      clusters: { upsert: [cluster('app', port)], remove: [] },
      listeners: { upsert: [listener('web', [hcm('app')])], remove: [] },
    });
    const violations = await made.apply({
      clusters: { upsert: [{ name: 'app', nonsense: 1 }], remove: [] },
      listeners: { upsert: [{ ...listener('web', []), filterChains: [] }], remove: [] },
    });
    expect([...violations.keys()].sort()).toEqual(['clusters/app', 'listeners/web']);
    expect(violations.get('clusters/app')).toContain('nonsense');
    expect(await get(made.bound.get('web')!.port)).toBe('200 v1');
  });

  it('changes filters under a bound socket, and lets go of removed listeners', async () => {
    const made = proxy();
    await made.apply({
      clusters: { upsert: [cluster('a', await application('a')), cluster('b', await application('b'))], remove: [] },
      listeners: { upsert: [listener('web', [hcm('a')])], remove: [] },
    });
    const { port } = made.bound.get('web')!;
    expect(await get(port)).toBe('200 a');
    await made.apply({ listeners: { upsert: [listener('web', [hcm('b')])], remove: [] } });
    expect(made.bound.get('web')!.port).toBe(port);
    expect(await get(port)).toBe('200 b');
    await made.apply({ listeners: { upsert: [], remove: ['web'] } });
    await expect(get(port)).rejects.toThrow();
  });

  describe('a policy that arrives while connections are open', () => {
    const deny = (path: string) => ({
      name: 'envoy.filters.http.rbac',
      typed_config: {
        '@type': `${ANY}envoy.extensions.filters.http.rbac.v3.RBAC`,
        rules: {
          action: 'DENY',
          policies: {
            p: { permissions: [{ url_path: { path: { prefix: path } } }], principals: [{ any: true }] },
          },
        },
      },
    });
    const guarded = (path: string) => {
      const filter = hcm('app');
      const { http_filters } = filter.typed_config;
      return { ...filter, typed_config: { ...filter.typed_config, http_filters: [deny(path), ...http_filters] } };
    };
    const web = (filters: object[], match: object = {}) => ({
      ...listener('web', []),
      filterChains: [{ filterChainMatch: match, filters }],
    });
    /** A kept connection: each answer as it comes. */
    async function keep(port: number) {
      const socket = net.connect(port, '127.0.0.1');
      cleanups.push(() => socket.destroy());
      let got = '';
      let closed = false;
      socket.on('data', (bytes) => (got += bytes));
      socket.on('error', () => {});
      socket.on('close', () => (closed = true));
      const answer = () =>
        until('an answer', () => {
          const found = /^HTTP\/1\.1 (\d+) [\s\S]*?content-length: (\d+)[\s\S]*?\r\n\r\n/i.exec(got);
          if (!found || got.length < found[0].length + Number(found[2])) return undefined;
          got = got.slice(found[0].length + Number(found[2]));
          return Number(found[1]);
        });
      return { send: (text: string) => socket.write(text), answer, closed: () => closed };
    }
    const ask = (path: string) => `GET ${path} HTTP/1.1\r\nhost: a\r\n\r\n`;
    async function running() {
      const made = proxy();
      const server = http.createServer(UPSTREAM, (request, response) => {
        if (request.url === '/slow') setTimeout(() => response.end('slow'), 300);
        else response.end('ok');
      });
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      cleanups.push(() => {
        server.closeAllConnections();
        server.close();
      });
      const { port } = server.address() as net.AddressInfo;
      await made.apply({
        clusters: { upsert: [cluster('app', port)], remove: [] },
        listeners: { upsert: [web([hcm('app')])], remove: [] },
      });
      return { made, port: made.bound.get('web')!.port };
    }
    const change = (made: DataPlane, upsert: object) => made.apply({ listeners: { upsert: [upsert], remove: [] } });

    it('judges the next request, on the same connection: idle, half-read and pipelined ones', async () => {
      const { made, port } = await running();
      const idle = await keep(port);
      const half = await keep(port);
      const piped = await keep(port);
      for (const each of [idle, half]) {
        each.send(ask('/secret'));
        expect(await each.answer()).toBe(200);
      }
      half.send('GET /secret HTTP/1.1\r\nho');
      piped.send(ask('/slow') + ask('/secret'));
      // Its first byte has been read when this connection, accepted later, has its answer.
      await get(port);
      expect(await change(made, web([guarded('/secret')]))).toEqual(new Map());
      idle.send(ask('/secret'));
      half.send('st: a\r\n\r\n');
      expect(await idle.answer()).toBe(403);
      expect(await half.answer()).toBe(403);
      expect([await piped.answer(), await piped.answer()]).toEqual([200, 403]);
      idle.send(ask('/public'));
      expect(await idle.answer()).toBe(200);
      expect([idle.closed(), half.closed(), piped.closed()]).toEqual([false, false, false]);
    });

    it('serves nothing more under a filter chain that is gone', async () => {
      const { made, port } = await running();
      const idle = await keep(port);
      const half = await keep(port);
      const slow = await keep(port);
      for (const each of [idle, half]) {
        each.send(ask('/'));
        expect(await each.answer()).toBe(200);
      }
      half.send('GET / HTTP/1.1\r\nho');
      slow.send(ask('/slow'));
      await get(port);
      // This connection matches no chain any more.
      await change(made, web([hcm('app')], { sourcePrefixRanges: [{ addressPrefix: '10.0.0.0', prefixLen: 8 }] }));
      half.send('st: a\r\n\r\n');
      expect(await half.answer()).toBe(503);
      expect(await slow.answer()).toBe(200);
      for (const each of [idle, half, slow]) await until('the connection ends', each.closed);
    });

    it('follows a listener that moves to another port', async () => {
      const { made, port } = await running();
      const kept = await keep(port);
      kept.send(ask('/secret'));
      expect(await kept.answer()).toBe(200);
      await change(made, { ...web([guarded('/secret')]), address: at((await freePorts(1))[0]!) });
      kept.send(ask('/secret'));
      expect(await kept.answer()).toBe(403);
    });
  });

  it('gives the port of a listener that leaves to the one that comes, in one change', async () => {
    const made = proxy();
    await made.apply({
      clusters: { upsert: [cluster('a', await application('a')), cluster('b', await application('b'))], remove: [] },
      listeners: { upsert: [listener('free', [hcm('a')])], remove: [] },
    });
    const { port } = made.bound.get('free')!;
    await made.apply({ listeners: { upsert: [], remove: ['free'] } });
    const change = (name: string, to: string, remove: string[]) =>
      made.apply({ listeners: { upsert: [listener(name, [hcm(to)], undefined, port)], remove } });
    expect(await change('old', 'a', [])).toEqual(new Map());
    expect(await get(port)).toBe('200 a');
    expect(await change('new', 'b', ['old'])).toEqual(new Map());
    expect(await get(port)).toBe('200 b');
    expect([...made.bound.keys()]).toEqual(['new']);
    // Both removed and upserted: it stays.
    expect(await change('new', 'a', ['new'])).toEqual(new Map());
    expect(await get(port)).toBe('200 a');
    expect((await change('other', 'b', [])).get('listeners/other')).toContain('the port is in use');
  });

  it('swaps the ports of listeners, and those of three in a ring, in one change', async () => {
    const made = proxy();
    const names = ['a', 'b', 'c'];
    const apps = await Promise.all(names.map((name) => application(name)));
    const ports = await freePorts(3);
    const change = (at: Record<string, number>) =>
      made.apply({
        listeners: {
          upsert: Object.entries(at).map(([name, i]) => listener(name, [hcm(name)], undefined, ports[i])),
          remove: [],
        },
      });
    await made.apply({ clusters: { upsert: names.map((name, i) => cluster(name, apps[i]!)), remove: [] } });
    const answers = () => Promise.all(ports.map(async (port) => (await get(port)).slice(4)));
    expect(await change({ a: 0, b: 1, c: 2 })).toEqual(new Map());
    expect(await answers()).toEqual(['a', 'b', 'c']);
    expect(await change({ a: 1, b: 0 })).toEqual(new Map());
    expect(await answers()).toEqual(['b', 'a', 'c']);
    expect(await change({ a: 2, b: 1, c: 0 })).toEqual(new Map());
    expect(await answers()).toEqual(['c', 'b', 'a']);
    expect(await change({ c: 1, a: 0, b: 2 })).toEqual(new Map());
    expect(await answers()).toEqual(['a', 'c', 'b']);
    // One that is refused stays where it is, and so does the other.
    const bad = { ...listener('a', [hcm('a')], undefined, ports[1]), useOriginalDst: true };
    const violations = await made.apply({
      listeners: { upsert: [listener('c', [hcm('c')], undefined, ports[0]), bad], remove: [] },
    });
    expect(Object.fromEntries(violations)).toMatchObject({
      'listeners/a': expect.stringContaining('useOriginalDst'),
      'listeners/c': expect.stringContaining('the port is in use'),
    });
    expect(await answers()).toEqual(['a', 'c', 'b']);
  });

  it('speaks mTLS between two proxies, across rotation and a change of roots', async () => {
    const root = await rootAuthority('mesh');
    const roots = (authority: typeof root) => ({
      name: 'ROOTCA',
      validation_context: { trusted_ca: { inline_string: pem(authority) } },
    });
    const identity = (sa: string, authority = root) =>
      leaf(authority, { uri: `spiffe://cluster.local/ns/default/sa/${sa}` });
    const inbound = proxy();
    const outbound = proxy();
    await inbound.apply({
      secrets: { upsert: [secretOf(await identity('b')), roots(root)], remove: [] },
      clusters: { upsert: [cluster('app', await application('secret'))], remove: [] },
      listeners: { upsert: [listener('in', [hcm('app')], serverTls)], remove: [] },
    });
    const inPort = inbound.bound.get('in')!.port;
    // The listener is there first: without its secrets it must refuse, not fall back to plaintext.
    await outbound.apply({
      clusters: { upsert: [cluster('b', inPort, clientTls)], remove: [] },
      listeners: { upsert: [listener('out', [hcm('b')])], remove: [] },
    });
    const outPort = outbound.bound.get('out')!.port;
    expect(await get(outPort)).toMatch(/^503 /);
    await outbound.apply({ secrets: { upsert: [secretOf(await identity('a')), roots(root)], remove: [] } });
    expect(await get(outPort)).toBe('200 secret');
    await outbound.apply({ secrets: { upsert: [secretOf(await identity('a'))], remove: [] } });
    expect(await get(outPort)).toBe('200 secret');
    expect(await talk(inPort, 'GET / HTTP/1.1\r\nhost: a\r\n\r\n')).toBe('');
    const mixed = {
      ...secretOf(await identity('a')),
      tls_certificate: {
        ...secretOf(await identity('a')).tls_certificate,
        private_key: { inline_string: (await identity('c')).key },
      },
    };
    const violations = await outbound.apply({ secrets: { upsert: [mixed], remove: [] } });
    expect(violations.get('secrets/default')).toMatch(/private key does not belong/);
    expect(JSON.stringify(outbound.configDump())).not.toContain('PRIVATE KEY');
  });
});
