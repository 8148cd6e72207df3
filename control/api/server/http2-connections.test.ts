import { mkdtempSync, rmSync } from 'node:fs';
import { type ClientHttp2Session, connect } from 'node:http2';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createCsr } from '../../../shared/identity/csr.ts';
import { exportPrivateKey, generateKeys } from '../../../shared/identity/keys.ts';
import { type Authority, openAuthority } from '../../ca/authority.ts';
import { startTlsServer, type TlsServer, type TlsServerOptions } from './tls-server.ts';

const ID = 'spiffe://td/ns/a/sa/b';
let folder: string;
let authority: Authority;
let server: TlsServer;
let sessions: ClientHttp2Session[];
let now: number;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'tulle-h2-'));
  authority = await openAuthority({ folder, trustDomain: 'td' });
  sessions = [];
  now = Date.now();
});
afterEach(async () => {
  for (const session of sessions) session.destroy();
  await server.close();
  rmSync(folder, { recursive: true, force: true });
});

async function start(options: Partial<TlsServerOptions> = {}): Promise<void> {
  server = await startTlsServer({
    listen: { address: '127.0.0.1', port: 0 },
    authority,
    now: () => now,
    fetch: async (request, env) => {
      if (request.url.endsWith('/held')) return new Promise<Response>(() => {});
      const body = await request.text();
      env.setTrailers?.({ 'x-end': 'yes' });
      const { peerSpiffeId, remoteAddress } = env;
      const answer = { url: request.url, method: request.method, length: body.length, peerSpiffeId, remoteAddress };
      return Response.json(answer, { headers: { 'x-own': request.headers.get('x-own') ?? '' } });
    },
    ...options,
  });
}

async function open(identified = false): Promise<ClientHttp2Session> {
  const keys = await generateKeys();
  const issued = identified && (await authority.issue(await createCsr(keys), ID, 3600));
  const own = issued && { cert: issued.certificateChain, key: await exportPrivateKey(keys.privateKey) };
  const session = connect(server.url, { ca: authority.trustBundle, ...own });
  session.on('error', () => {});
  sessions.push(session);
  return session;
}

const ended = (session: ClientHttp2Session) =>
  new Promise<void>((resolve) => (session.destroyed ? resolve() : session.once('close', () => resolve())));

function ask(session: ClientHttp2Session, path: string, body?: string, headers = {}) {
  return new Promise<{ status: number; own: unknown; body: Record<string, unknown>; end: unknown }>(
    (resolve, reject) => {
      const method = body === undefined ? 'GET' : 'POST';
      const stream = session.request({ ':path': path, ':method': method, ...headers });
      let text = '';
      let head: Record<string, unknown> = {};
      let end: unknown;
      stream.on('response', (fields) => (head = { ...fields }));
      stream.on('trailers', (fields) => (end = fields['x-end']));
      stream.on('data', (chunk) => (text += chunk));
      stream.on('error', reject);
      stream.on('close', () =>
        text === ''
          ? reject(new Error('no answer'))
          : resolve({ status: Number(head[':status']), own: head['x-own'], body: JSON.parse(text), end }),
      );
      stream.end(body);
    },
  );
}

describe('the control API over HTTP/2', () => {
  it('answers requests at once on one connection, each with its caller', async () => {
    await start();
    const session = await open(true);
    const answers = await Promise.all([
      ask(session, '/a?b=c', undefined, { 'x-own': 'mine' }),
      ask(session, '/long', 'x'.repeat(300_000)),
    ]);
    const url = `https://127.0.0.1:${server.port}`;
    const caller = { peerSpiffeId: ID, remoteAddress: '127.0.0.1' };
    expect(answers).toEqual([
      { status: 200, own: 'mine', end: 'yes', body: { url: `${url}/a?b=c`, method: 'GET', length: 0, ...caller } },
      { status: 200, own: '', end: 'yes', body: { url: `${url}/long`, method: 'POST', length: 300_000, ...caller } },
    ]);
    const anonymous = await ask(await open(), '/');
    expect(anonymous.body['peerSpiffeId']).toBeUndefined();
  });

  it('ends a connection whose certificate has expired', async () => {
    await start();
    const session = await open(true);
    await ask(session, '/');
    now += 3601_000;
    await expect(ask(session, '/')).rejects.toThrow();
    await ended(session);
  });

  it('closes a connection without a request, and one that is idle', async () => {
    await start({ timeouts: { headMs: 100, requestMs: 1000, checkMs: 20 } });
    await ended(await open());
    const session = await open();
    await ask(session, '/');
    expect(session.destroyed).toBe(false);
  });

  it('closes a connection whose client floods it with bytes that are no frames', async () => {
    await start();
    const socket = connectTls({
      ...{ host: '127.0.0.1', port: server.port, ca: authority.trustBundle, ALPNProtocols: ['h2'] },
    });
    socket.on('error', () => {});
    await new Promise<void>((resolve) => socket.once('secureConnect', () => resolve()));
    expect(socket.alpnProtocol).toBe('h2');
    const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
    socket.resume();
    socket.write('GET / HTTP/1.1\r\nhost: a\r\n\r\n');
    await closed;
  });

  it('allows so many streams at a time', async () => {
    await start();
    const session = await open();
    await ask(session, '/');
    expect(session.remoteSettings.maxConcurrentStreams).toBe(250);
    expect(session.remoteSettings.maxHeaderListSize).toBe(16 * 1024);
  });
});

it('gives up an answer that its client does not read', async () => {
  await start({
    timeouts: { headMs: 10_000, requestMs: 75_000, checkMs: 20, unreadMs: 100 },
    fetch: async () => new Response('x'.repeat(300_000)),
  });
  const session = connect(server.url, { ca: authority.trustBundle, settings: { initialWindowSize: 0 } });
  session.on('error', () => {});
  sessions.push(session);
  const stream = session.request({ ':path': '/large' });
  stream.on('error', () => {});
  stream.pause();
  const code = await new Promise<number>((resolve) => stream.once('close', () => resolve(stream.rstCode ?? 0)));
  expect(code).toBe(8);
}, 30_000);
