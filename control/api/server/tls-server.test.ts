import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { Agent, request as httpsRequest } from 'node:https';
import net from 'node:net';
import { hostname, networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ConnectionOptions, connect } from 'node:tls';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createCsr } from '../../../shared/identity/csr.ts';
import { exportPrivateKey, generateKeys } from '../../../shared/identity/keys.ts';
import { type Authority, openAuthority } from '../../ca/authority.ts';
import type { HostNames } from './host-names.ts';
import { startTlsServer, type TlsServer } from './tls-server.ts';

const id = 'spiffe://td/ns/a/sa/b';
let folders: string[];
let now: number;
let authority: Authority;
let server: TlsServer;
let lines: string[];
let agent: Agent;

async function newAuthority(trustDomain = 'td', clock: () => number = () => now): Promise<Authority> {
  const folder = mkdtempSync(join(tmpdir(), 'tulle-tls-'));
  folders.push(folder);
  return openAuthority({ folder, trustDomain, now: clock });
}
beforeEach(async () => {
  folders = [];
  lines = [];
  now = Date.now();
  agent = new Agent({ keepAlive: true, maxSockets: 1 });
  authority = await newAuthority();
  server = await startTlsServer({
    listen: { address: '127.0.0.1', port: 0 },
    authority,
    fetch: (_request, { peerSpiffeId, peerCertificate, remoteAddress }) =>
      Response.json({ peerSpiffeId, remoteAddress, notAfter: peerCertificate?.notAfter }),
    now: () => now,
    log: (line) => lines.push(line),
    dnsNames: ['control.example'],
  });
});
afterEach(async () => {
  agent.destroy();
  await server.close();
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

async function clientOf(from: Authority, ttl = 3600, name = id) {
  const keys = await generateKeys();
  const { certificateChain } = await from.issue(await createCsr(keys), name, ttl);
  return { cert: certificateChain, key: await exportPrivateKey(keys.privateKey) };
}

function get(
  options: ConnectionOptions = {},
): Promise<{ peerSpiffeId?: string; remoteAddress?: string; notAfter?: number }> {
  return new Promise((resolve, reject) => {
    const tls = { ca: authority.trustBundle, servername: 'localhost', ...options };
    const request = httpsRequest(`${server.url}/`, { ...tls, agent } as object, (response) => {
      let text = '';
      response.on('data', (chunk) => (text += chunk));
      response.on('end', () => resolve(JSON.parse(text)));
    });
    request.on('error', reject);
    request.end();
  });
}

describe('the control API over TLS', () => {
  it('serves clients without certificate, as anonymous', async () => {
    expect(await get()).toEqual({ remoteAddress: '127.0.0.1' });
    expect(await get({ servername: 'control.example' })).toEqual({ remoteAddress: '127.0.0.1' });
  });

  it('identifies a client by its certificate', async () => {
    const client = await clientOf(authority);
    const notAfter = Date.parse(new X509Certificate(client.cert).validTo);
    expect(await get(client)).toMatchObject({ peerSpiffeId: id, notAfter });
    const leafOnly = await clientOf(authority);
    leafOnly.cert = leafOnly.cert.slice(0, leafOnly.cert.indexOf('-----END CERTIFICATE-----') + 26);
    agent.destroy();
    expect(await get(leafOnly)).toMatchObject({ peerSpiffeId: id });
  });

  const rogues: [string, () => Promise<ConnectionOptions>, RegExp][] = [
    ['of a rogue CA', async () => clientOf(await newAuthority()), /does not chain/],
    [
      'of another trust domain',
      async () => clientOf(await newAuthority('x'), 60, 'spiffe://x/ns/a/sa/b'),
      /does not chain/,
    ],
    [
      'that has expired',
      async () => {
        const client = await clientOf(authority, 10);
        now += 20_000;
        return client;
      },
      /expired/,
    ],
    [
      "that is the server's",
      async () => {
        const { certificateChain, privateKey } = await authority.serverCertificate({ dnsNames: ['a'], ips: [] });
        return { cert: certificateChain, key: privateKey };
      },
      /not for client authentication/,
    ],
  ];
  it.each(rogues)('cuts off a client with a certificate %s', async (_name, client, reason) => {
    const options = await client();
    for (let round = 0; round < 10; round++) await expect(get(options)).rejects.toThrow();
    expect(lines).toHaveLength(10);
    expect(lines[0]).toMatch(reason);
  });

  it('closes a kept-alive connection whose certificate has expired', async () => {
    const client = await clientOf(authority, 10);
    expect(await get(client)).toMatchObject({ peerSpiffeId: id });
    now += 20_000;
    await expect(get(client)).rejects.toThrow();
  });

  it('resumes no session and speaks no TLS 1.2, before and after a renewal; connections live on', async () => {
    const client = await clientOf(authority);
    expect(await get(client)).toMatchObject({ peerSpiffeId: id });
    const serials: string[] = [];
    for (const version of ['TLSv1.3'] as const) {
      const first = await probe({ maxVersion: version });
      expect(first.protocol).toBe(version);
      const second = await probe({ maxVersion: version, session: first.session });
      expect(second).toMatchObject({ reused: false, protocol: version });
      await server.renew();
      const third = await probe({ maxVersion: version, session: first.session });
      expect(third).toMatchObject({ reused: false, protocol: version });
      serials.push(first.serial, third.serial);
    }
    expect(new Set(serials).size).toBe(2);
    await expect(probe({ maxVersion: 'TLSv1.2' })).rejects.toThrow();
    const connections = Object.values(agent.freeSockets).flat();
    expect(await get(client)).toMatchObject({ peerSpiffeId: id });
    expect(Object.values(agent.freeSockets).flat()).toEqual(connections);
  });

  it('speaks TLS 1.2 where it is allowed to, and nothing older', async () => {
    const older = await startTlsServer({
      listen: { address: '127.0.0.1', port: 0 },
      authority,
      minTlsVersion: 'TLSv1.2',
      fetch: () => new Response(),
    });
    const handshake = async (more: ConnectionOptions) => {
      const socket = connect({ port: older.port, host: '127.0.0.1', ca: authority.trustBundle, ...more });
      try {
        await once(socket, 'secureConnect');
        return socket.getProtocol();
      } finally {
        socket.destroy();
      }
    };
    try {
      expect(await handshake({ maxVersion: 'TLSv1.2' })).toBe('TLSv1.2');
      expect(await handshake({})).toBe('TLSv1.3');
      const old = { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' } as const;
      await expect(handshake(old)).rejects.toThrow();
    } finally {
      await older.close();
    }
  });

  it('serves clients that come all at once', async () => {
    const client = await clientOf(authority);
    const all = new Agent({ keepAlive: false });
    const status = () =>
      new Promise<number>((resolve, reject) => {
        const tls = { ca: authority.trustBundle, servername: 'localhost', agent: all, ...client };
        httpsRequest(`${server.url}/`, tls, (response) => {
          response.resume();
          resolve(response.statusCode ?? 0);
        })
          .on('error', reject)
          .end();
      });
    const answered = await Promise.all(Array.from({ length: 150 }, status));
    expect(new Set(answered)).toEqual(new Set([200]));
    await vi.waitFor(() => expect(server.connections).toBe(0), { timeout: 10_000 });
  });

  it('makes one certificate after the other, so that the last that was begun stays', async () => {
    let making = 0;
    let most = 0;
    const waiting: (() => void)[] = [];
    const certificates = [await authority.serverCertificate({ dnsNames: ['localhost'], ips: ['127.0.0.1'] })];
    certificates.push(await authority.serverCertificate({ dnsNames: ['localhost'], ips: ['127.0.0.1'] }));
    const makeSlowly = async () => {
      const certificate = certificates.shift();
      if (!certificate) throw new Error('no more');
      most = Math.max(most, ++making);
      await new Promise<void>((resolve) => waiting.push(resolve));
      making--;
      return certificate;
    };
    const slow = new Proxy(authority, {
      get: (target, name) => (name === 'serverCertificate' ? makeSlowly : Reflect.get(target, name, target)),
    });
    const last = new X509Certificate(certificates[1]!.certificateChain).serialNumber;
    const begun = startTlsServer({
      listen: { address: '127.0.0.1', port: 0 },
      authority: slow,
      fetch: () => new Response(),
    });
    await vi.waitFor(() => expect(waiting.length).toBe(1));
    waiting[0]!();
    const other = await begun;
    const renewed = other.renew();
    const failed = other.renew();
    await vi.waitFor(() => expect(waiting.length).toBe(2));
    // Those that came first, last.
    for (const go of waiting.reverse()) go();
    await renewed;
    await expect(failed).rejects.toThrow('no more');
    expect(most).toBe(1);
    const socket = connect({ port: other.port, host: '127.0.0.1', servername: 'localhost', ca: authority.trustBundle });
    await once(socket, 'secureConnect');
    expect(socket.getPeerCertificate().serialNumber).toBe(last);
    socket.destroy();
    await other.close();
  });

  /** One request on a connection of its own. */
  async function probe(options: ConnectionOptions = {}) {
    const { port } = server;
    const socket = connect({ port, host: '127.0.0.1', servername: 'localhost', ca: authority.trustBundle, ...options });
    let session: Buffer | undefined;
    socket.on('session', (offered) => (session = offered));
    await once(socket, 'secureConnect');
    const serial = socket.getPeerCertificate().serialNumber ?? '';
    const reused = socket.isSessionReused();
    const protocol = socket.getProtocol();
    socket.write('GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n');
    socket.resume();
    await once(socket, 'close');
    return { session, serial, reused, protocol };
  }

  it('writes a second piece of an answer without waiting for the ACK of the first', async () => {
    const turn = () => new Promise((next) => setImmediate(next));
    const fetch = () =>
      new Response(
        new ReadableStream({
          async start(controller) {
            for (const piece of ['begin', 'middle', 'end']) {
              controller.enqueue(new TextEncoder().encode(piece));
              for (let turns = 0; turns < 3; turns++) await turn();
            }
            controller.close();
          },
        }),
      );
    const streaming = await startTlsServer({ listen: { address: '127.0.0.1', port: 0 }, authority, fetch });
    const tls = { port: streaming.port, host: '127.0.0.1', servername: 'localhost', ca: authority.trustBundle };
    const socket = connect(tls);
    let answer = '';
    let ended = Promise.withResolvers<void>();
    socket.on('data', (chunk) => {
      answer += chunk;
      if (answer.endsWith('\r\n0\r\n\r\n')) ended.resolve();
    });
    const times: number[] = [];
    for (let round = 0; round < 30; round++) {
      [answer, ended] = ['', Promise.withResolvers<void>()];
      const started = performance.now();
      socket.write('GET / HTTP/1.1\r\nhost: x\r\n\r\n');
      await ended.promise;
      times.push(performance.now() - started);
    }
    socket.destroy();
    await streaming.close();
    // Clients delay an ACK by 40 ms once they have sent a few requests; a busy machine is not that slow every time.
    expect(Math.min(...times.slice(15))).toBeLessThan(35);
  });

  it('aborts requests in progress before it has closed', async () => {
    const signals: AbortSignal[] = [];
    const begun = Promise.withResolvers<void>();
    const fetch = (request: Request) => {
      signals.push(request.signal);
      begun.resolve();
      return new Promise<Response>(() => {});
    };
    const waiting = await startTlsServer({ listen: { address: '127.0.0.1', port: 0 }, authority, fetch });
    const tls = { port: waiting.port, host: '127.0.0.1', servername: 'localhost', ca: authority.trustBundle };
    const socket = connect(tls).on('error', () => {});
    socket.write('GET / HTTP/1.1\r\nhost: x\r\n\r\n');
    await begun.promise;
    expect(signals[0]!.aborted).toBe(false);
    await waiting.close();
    expect(signals[0]!.aborted).toBe(true);
    socket.destroy();
  });

  it('names the address and port that it cannot bind', async () => {
    const listen = { address: '127.0.0.1', port: server.port };
    await expect(startTlsServer({ listen, authority, fetch: () => new Response() })).rejects.toThrow(
      `cannot listen on 127.0.0.1 port ${server.port}: the port is in use`,
    );
  });

  it('closes at once, also with idle connections open', async () => {
    const silent = net.connect(server.port, '127.0.0.1');
    await once(silent, 'connect');
    // Accepted: connections are accepted in the order they came.
    await get();
    const gone = once(silent, 'close');
    silent.resume();
    const started = performance.now();
    await Promise.all([server.close(), gone]);
    // The handshake limit is ten seconds.
    expect(performance.now() - started).toBeLessThan(8000);
  });
});

describe('a server on all addresses', () => {
  it.each(['0.0.0.0', '::'])(
    '%s: its certificate holds those of the host and its name, and its url is one of them',
    async (address) => {
      const everywhere = await startTlsServer({
        listen: { address, port: 0 },
        authority,
        fetch: () => new Response('ok'),
        now: () => now,
      });
      try {
        const { host: at } = new URL(everywhere.url);
        const reached = at.replace(/:\d+$/, '').replace(/^\[|\]$/g, '');
        const own = Object.values(networkInterfaces()).flatMap((list = []) => list.map((entry) => entry.address));
        expect([...own, 'localhost']).toContain(reached);
        if (own.length > 2) expect(reached).not.toMatch(/^(127\.|::1$|localhost$)/);
        const names = await certificateOf(everywhere);
        expect(names.checkHost(hostname().toLowerCase())).toBeDefined();
        const reachable = own.filter((one) => !/^(127\.|::1$|fe80:|169\.254\.)/i.test(one));
        for (const one of ['127.0.0.1', '::1', ...reachable]) expect(names.checkIP(one), one).toBeDefined();
      } finally {
        await everywhere.close();
      }
    },
  );

  it('makes its certificate again when the addresses or the name of the host change, and again after a failure', async () => {
    let host: HostNames = { name: 'one.example', addresses: ['192.0.2.1'] };
    let failures = 0;
    const failing: Authority = {
      ...authority,
      serverCertificate: (names) =>
        failures > 0 && names.ips.includes('192.0.2.3')
          ? Promise.reject(new Error(`disk full ${failures--}`))
          : authority.serverCertificate(names),
    };
    const everywhere = await startTlsServer({
      listen: { address: '0.0.0.0', port: 0 },
      authority: failing,
      hostNames: () => host,
      hostCheckMs: 5,
      fetch: () => new Response('ok'),
      log: (line) => lines.push(line),
    });
    try {
      expect(everywhere.url).toBe(`https://192.0.2.1:${everywhere.port}`);
      const first = await certificateOf(everywhere);
      expect([first.checkIP('192.0.2.1'), first.checkHost('one.example')]).not.toContain(undefined);
      host = { name: 'two.example', addresses: ['192.0.2.2', '2001:db8::2'] };
      await vi.waitFor(async () => {
        const second = await certificateOf(everywhere);
        for (const ip of ['192.0.2.2', '2001:db8::2']) expect(second.checkIP(ip)).toBeDefined();
        expect(second.checkHost('two.example')).toBeDefined();
        expect([second.checkIP('192.0.2.1'), second.checkHost('one.example')]).toEqual([undefined, undefined]);
      }, PATIENCE);
      failures = 2;
      host = { addresses: ['192.0.2.3'] };
      await vi.waitFor(
        async () => expect((await certificateOf(everywhere)).checkIP('192.0.2.3')).toBeDefined(),
        PATIENCE,
      );
      const failed = 'certificate not made for the new names of this host: disk full';
      const changed = 'the names of this host have changed: the certificate is made again for';
      expect(lines).toEqual([
        `${changed} two.example 192.0.2.2 2001:db8::2`,
        `${failed} 2`,
        `${failed} 1`,
        `${changed} 192.0.2.3`,
      ]);
    } finally {
      await everywhere.close();
    }
  });
});

describe('an advertised address', () => {
  it.each([
    [{ host: 'mesh.example', port: 443 }, 'https://mesh.example:443'],
    [{ host: '192.0.2.9' }, 'https://192.0.2.9:PORT'],
    [{ host: '2001:db8::9', port: 8443 }, 'https://[2001:db8::9]:8443'],
  ])('%j is in the url and in the certificate, besides where it listens', async (advertised, url) => {
    const announced = await startTlsServer({
      listen: { address: '127.0.0.1', port: 0 },
      authority,
      advertised,
      fetch: () => new Response('ok'),
    });
    try {
      expect(announced.url).toBe(url.replace('PORT', String(announced.port)));
      const certificate = await certificateOf(announced);
      const { host } = advertised;
      expect(net.isIP(host) ? certificate.checkIP(host) : certificate.checkHost(host)).toBeDefined();
      expect(certificate.checkIP('127.0.0.1')).toBeDefined();
    } finally {
      await announced.close();
    }
  });
});

const PATIENCE = { timeout: 60_000, interval: 20 };

async function certificateOf({ port }: TlsServer): Promise<X509Certificate> {
  const socket = connect({ host: '127.0.0.1', port, servername: 'localhost', ca: authority.trustBundle });
  await once(socket, 'secureConnect');
  const certificate = socket.getPeerX509Certificate()!;
  socket.destroy();
  return certificate;
}
