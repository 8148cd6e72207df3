/** The limits of the control API on what strangers send, over real sockets. */
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, type TLSSocket } from 'node:tls';
import { Hono } from 'hono';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createCsr } from '../../../shared/identity/csr.ts';
import { exportPrivateKey, generateKeys } from '../../../shared/identity/keys.ts';
import { Accounts } from '../../ca/accounts.ts';
import { type Authority, openAuthority } from '../../ca/authority.ts';
import { JoinTokens } from '../../ca/join-tokens.ts';
import { openJwtSvids } from '../../ca/jwt-svids.ts';
import { openJoins } from '../../ca/life/sqlite-joins.ts';
import { memoryTokenStore } from '../../ca/token-store.ts';
import { fixedCompile } from '../../compile/testing/fixed-compile.ts';
import { DiscoveryService } from '../../discovery/service.ts';
import type { MeshView } from '../../mesh/view.ts';
import { memoryStore } from '../../store/memory.ts';
import { createInitialNamespaces } from '../app.ts';
import { authenticate } from '../auth.ts';
import type { ApiEnv } from '../caller.ts';
import { certificateRoutes } from '../certificates.ts';
import { discoveryApi } from '../discovery.ts';
import { startTlsServer, type TlsServer, type TlsServerOptions } from './tls-server.ts';

const TOKEN = 'admin-token';
let folder: string;
let authority: Authority;
let server: TlsServer;
let lines: string[];
let sockets: net.Socket[];

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'tulle-limits-'));
  authority = await openAuthority({ folder, trustDomain: 'td' });
  lines = [];
  sockets = [];
});
afterEach(async () => {
  for (const socket of sockets) socket.destroy();
  await server.close();
  rmSync(folder, { recursive: true, force: true });
});

async function start(options: Partial<TlsServerOptions> = {}): Promise<void> {
  const discovery = new DiscoveryService({
    compile: fixedCompile(() => ({ secrets: [], clusters: [], endpoints: [], listeners: [], routes: [] })),
    mesh: { current: () => ({ revision: 1 }) as MeshView, onChange: () => () => {} },
  });
  const jwtSvids = await openJwtSvids({ folder, trustDomain: 'td', issuer: 'https://control' });
  const store = memoryStore();
  await createInitialNamespaces(store);
  const accounts = await Accounts.open(store, { load: async () => [], record: async () => {} });
  const joins = await openJoins(join(folder, 'joins.sqlite'), { graceMs: 0 });
  const app = new Hono<ApiEnv>();
  app.use(authenticate({ isAdmin: (token) => token === TOKEN }));
  app.route(
    '/',
    certificateRoutes({ authority, tokens: new JoinTokens(memoryTokenStore()), accounts, joins, jwtSvids }),
  );
  app.route('/', discoveryApi(discovery));
  app.get('/', (c) => c.text(c.get('caller').kind));
  server = await startTlsServer({
    listen: { address: '127.0.0.1', port: 0 },
    authority,
    fetch: app.fetch,
    log: (line) => lines.push(line),
    ...options,
  });
}

async function workload() {
  const keys = await generateKeys();
  const { certificateChain } = await authority.issue(await createCsr(keys), 'spiffe://td/ns/a/sa/b', 3600);
  return { cert: certificateChain, key: await exportPrivateKey(keys.privateKey) };
}

/** A TCP connection on which nothing is sent. */
async function silent(): Promise<net.Socket> {
  const socket = net.connect(server.port, '127.0.0.1').on('error', () => {});
  sockets.push(socket);
  await once(socket, 'connect');
  return socket;
}

async function dial(identity: { cert?: string; key?: string } = {}): Promise<TLSSocket> {
  const tls = { port: server.port, host: '127.0.0.1', servername: 'localhost', ca: authority.trustBundle };
  const socket = connect({ ...tls, ...identity });
  sockets.push(socket);
  await once(socket, 'secureConnect');
  return socket.on('error', () => {});
}

/** Everything that the server answers until it closes the connection. */
async function answerTo(socket: TLSSocket, text: string): Promise<string> {
  let answer = '';
  socket.on('data', (chunk) => (answer += chunk));
  socket.write(text);
  await once(socket, 'close');
  return answer;
}

/** One request on a connection that stays open. @returns the first piece of the answer */
async function get(socket: TLSSocket, ...headers: string[]): Promise<string> {
  const answer = once(socket, 'data');
  socket.write(['GET / HTTP/1.1', 'host: x', ...headers, '', ''].join('\r\n'));
  return String((await answer)[0]);
}

const post = (path: string, ...headers: string[]) =>
  [`POST ${path} HTTP/1.1`, 'host: x', ...headers, '', ''].join('\r\n');
const JSON_TYPE = 'content-type: application/json';

describe('a request of an unknown caller', () => {
  it('is refused on its headers, its body unread, however it is announced', async () => {
    await start();
    for (const framing of ['content-length: 1000000', 'transfer-encoding: chunked']) {
      const answer = await answerTo(await dial(), post('/v3/delta-discovery', JSON_TYPE, framing));
      expect(answer).toMatch(/^HTTP\/1\.1 401 /);
      expect(answer).toMatch(/\r\nconnection: close\r\n/i);
    }
    const patient = post('/v3/delta-discovery', JSON_TYPE, 'content-length: 1000000', 'expect: 100-continue');
    expect(await answerTo(await dial(), patient)).toMatch(/^HTTP\/1\.1 401 /);
    const large = post('/v1/certificates', JSON_TYPE, 'content-length: 1000000');
    expect(await answerTo(await dial(), large)).toMatch(/^HTTP\/1\.1 413 /);
  });

  it('with a body that is permitted is asked to continue', async () => {
    await start();
    const body = JSON.stringify({ namespace: 'default', serviceAccount: 'b' });
    const socket = await dial();
    const auth = `authorization: Bearer ${TOKEN}`;
    const head = post('/v1/join-tokens', JSON_TYPE, auth, `content-length: ${body.length}`, 'expect: 100-continue');
    const interim = once(socket, 'data');
    socket.write(head);
    expect(String((await interim)[0])).toMatch(/^HTTP\/1\.1 100 Continue\r\n\r\n$/);
    const answer = once(socket, 'data');
    socket.write(body);
    expect(String((await answer)[0])).toMatch(/^HTTP\/1\.1 200 /);
  });

  it('with a head that does not end is closed', async () => {
    await start({ timeouts: { headMs: 100, requestMs: 1000, checkMs: 50 } });
    expect(await answerTo(await dial(), 'GET / HTTP/1.1\r\nhost: ')).toMatch(/^HTTP\/1\.1 408 /);
  });

  it('with a body that does not end is closed, also of a known one', async () => {
    await start({ timeouts: { headMs: 100, requestMs: 300, checkMs: 50 } });
    const slow = `${post('/v1/certificates', JSON_TYPE, 'content-length: 100')}{"csr":`;
    for (const identity of [{}, await workload()])
      expect(await answerTo(await dial(identity), slow)).toMatch(/^HTTP\/1\.1 408 /);
  });
});

describe('connections', () => {
  it('without a proved identity are limited for each address; others are not', async () => {
    await start({ connections: { perAddress: 3 } });
    const identity = await workload();
    const proxies = [];
    for (let count = 0; count < 5; count++) {
      const proxy = await dial(identity);
      expect(await get(proxy)).toMatch(/workload$/);
      proxies.push(proxy);
    }
    const admin = await dial();
    expect(await get(admin, `authorization: Bearer ${TOKEN}`)).toMatch(/user$/);
    const flood = [await silent(), await silent(), await silent()];
    const refused = await silent();
    await once(refused.resume(), 'close');
    expect(lines).toEqual([
      'refused connection from 127.0.0.1: the limit of 3 connections of one address without a proved identity is reached',
    ]);
    for (const proxy of proxies) expect(await get(proxy)).toMatch(/workload$/);
    expect(await get(admin, `authorization: Bearer ${TOKEN}`)).toMatch(/user$/);
    // A place that is given back is taken by the next.
    flood[0]!.destroy();
    await vi.waitFor(async () => expect(await get(await dial())).toMatch(/anonymous$/));
  });

  it('give their places back when they close, before and after the handshake', async () => {
    await start({ connections: { perAddress: 2 } });
    for (let round = 0; round < 5; round++) {
      const early = await silent();
      const late = await dial();
      expect(await get(late)).toMatch(/anonymous$/);
      const closed = [once(early.resume(), 'close'), once(late, 'close')];
      early.end();
      late.end();
      await Promise.all(closed);
    }
    const identity = await workload();
    for (let round = 0; round < 5; round++) {
      const proxy = await dial(identity);
      expect(await get(proxy)).toMatch(/workload$/);
      proxy.end();
      await once(proxy, 'close');
    }
    expect(lines).toEqual([]);
  });

  it('of one identity are limited', async () => {
    await start({ connections: { total: 8 } });
    const identity = await workload();
    for (let count = 0; count < 2; count++) expect(await get(await dial(identity))).toMatch(/workload$/);
    const third = await dial(identity);
    await once(third.resume(), 'close');
    expect(lines.join()).toMatch(
      /spiffe:\/\/td\/ns\/a\/sa\/b from 127.0.0.1: the limit of 2 connections of one identity/,
    );
    expect(await get(await dial())).toMatch(/anonymous$/);
  });
});
