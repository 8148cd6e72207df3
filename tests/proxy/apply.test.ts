import http from 'node:http';
import net from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { proxyCompilers } from '../../edge-proxy/config/compilers.ts';
// biome-ignore lint/suspicious/noShadowRestrictedNames: the mesh proxy
import { Proxy } from '../../edge-proxy/proxy.ts';
import { currentRuntime } from '../../edge-proxy/runtime/index.ts';
import { BootstrapError, loadBootstrap, runBootstrap } from '../../edge-proxy/static.ts';

import { leaf, pem, rootAuthority } from '../mtls/certificates.ts';
import { clientTls, cluster, hcm, listener, secretOf, serverTls, tcp } from './bootstrap.ts';

const compilers = proxyCompilers(
  currentRuntime(),
  () => () => {},
  () => ({ opened() {}, closed() {} }),
);

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const clean of cleanups.splice(0).reverse()) await clean();
});

function proxy(): Proxy {
  const made = new Proxy(currentRuntime(), { compilers, warn: () => {} });
  cleanups.push(() => made.stop());
  return made;
}

async function application(body: string): Promise<number> {
  const server = http.createServer((_, response) => response.end(body));
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
  it('refuses unknown fields by path, and runs nothing of a faulty file', async () => {
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

  it('keeps the last good version of a faulty resource and names the fault', async () => {
    const made = proxy();
    const port = await application('v1');
    await made.apply({
      clusters: { upsert: [cluster('app', port)], remove: [] },
      listeners: { upsert: [listener('web', [hcm('app')])], remove: [] },
    });
    const faults = await made.apply({
      clusters: { upsert: [{ name: 'app', nonsense: 1 }], remove: [] },
      listeners: { upsert: [{ ...listener('web', []), filterChains: [] }], remove: [] },
    });
    expect([...faults.keys()].sort()).toEqual(['clusters/app', 'listeners/web']);
    expect(faults.get('clusters/app')).toContain('nonsense');
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
    // Named as gone and as there: it is there.
    expect(await change('new', 'a', ['new'])).toEqual(new Map());
    expect(await get(port)).toBe('200 a');
    expect((await change('other', 'b', [])).get('listeners/other')).toContain('the port is in use');
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
    const faults = await outbound.apply({ secrets: { upsert: [mixed], remove: [] } });
    expect(faults.get('secrets/default')).toMatch(/private key does not belong/);
    expect(JSON.stringify(outbound.configDump())).not.toContain('PRIVATE KEY');
  });
});
