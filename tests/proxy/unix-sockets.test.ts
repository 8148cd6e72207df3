/** Listeners and endpoints on Unix domain sockets, from one body on every runtime. */
import { existsSync, statSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import net from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RUNTIMES, temporaryFolder } from '../kit/environment.ts';
import { ProxyProcess, startTulle } from '../kit/proxy.ts';
import { serverLeaf } from '../mtls/certificates.ts';
import { ANY, hcm, tcp } from './bootstrap.ts';

const pipe = (path: string, mode?: number) => ({ pipe: { path, ...(mode !== undefined && { mode }) } });
const socketCluster = (name: string, path: string) => ({
  name,
  type: 'STATIC',
  load_assignment: {
    cluster_name: name,
    endpoints: [{ lb_endpoints: [{ endpoint: { address: pipe(path) } }] }],
  },
  // As Istio's inbound clusters have it: it does not concern a socket.
  upstream_bind_config: { source_address: { address: '127.0.0.6', port_value: 0 } },
});
const listenerAt = (name: string, address: object, filter: object, transport_socket?: object) => ({
  name,
  address,
  filter_chains: [{ filters: [filter], ...(transport_socket && { transport_socket }) }],
});
const bootstrap = (listeners: object[], clusters: object[]) => ({
  node: { id: 'a', cluster: 'a' },
  admin: { address: { socket_address: { address: '127.0.0.1', port_value: 0 } } },
  static_resources: { listeners, clusters },
});

function get(socketPath: string, path = '/', secure?: https.RequestOptions): Promise<{ status: number; body: string }> {
  const { promise, resolve, reject } = Promise.withResolvers<{ status: number; body: string }>();
  const options = { socketPath, path, headers: { host: 'a' }, agent: false, ...secure };
  const request = (secure ? https : http).get(options, (response) => {
    let body = '';
    response.on('data', (bytes) => (body += bytes));
    response.on('end', () => resolve({ status: response.statusCode ?? 0, body }));
  });
  request.on('error', reject);
  return promise;
}

describe.each(RUNTIMES)('Unix domain sockets on %s', (runtime) => {
  const folder = temporaryFolder();
  const at = (name: string) => join(folder.path, name);
  const abstract = `tulle-${process.pid}-${runtime}`;
  const app = http.createServer((request, response) => response.end(`app ${request.url}`));
  const bytes = net.createServer({ allowHalfOpen: true }, (socket) => {
    let got = '';
    socket.on('data', (data) => (got += data));
    socket.on('end', () => socket.end(`bytes ${got}`));
  });
  let proxy: ProxyProcess;
  let ca: string;

  beforeAll(async () => {
    await new Promise<void>((done) => app.listen(at('app'), done));
    await new Promise<void>((done) => bytes.listen(at('bytes'), done));
    // What a process that was killed leaves behind.
    const left = net.createServer();
    await new Promise<void>((done) => left.listen(at('http-moved'), done));
    const { renameSync } = await import('node:fs');
    renameSync(at('http-moved'), at('http'));
    await new Promise<void>((done) => left.close(() => done()));
    expect(existsSync(at('http'))).toBe(true);
    const { cert, key } = await serverLeaf('P-256', ['localhost']);
    ca = cert;
    const own = { certificate_chain: { inline_string: cert }, private_key: { inline_string: key } };
    const secured = {
      name: 'tls',
      typed_config: {
        '@type': `${ANY}envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext`,
        common_tls_context: { tls_certificates: [own] },
      },
    };
    proxy = await startTulle(
      runtime,
      bootstrap(
        [
          listenerAt('http', pipe(at('http'), 0o600), hcm('app')),
          listenerAt('tcp', pipe(at('tcp')), tcp('bytes')),
          listenerAt('secure', pipe(at('secure')), hcm('app'), secured),
          listenerAt('abstract', pipe(`@${abstract}`), hcm('app')),
          listenerAt('loop', pipe(at('loop')), hcm('own')),
          listenerAt('port', { socket_address: { address: '127.0.0.1', port_value: 0 } }, hcm('abstract')),
        ],
        [
          socketCluster('app', at('app')),
          socketCluster('bytes', at('bytes')),
          socketCluster('own', at('loop')),
          socketCluster('abstract', `@${abstract}`),
        ],
      ),
      folder.path,
    );
  });
  afterAll(async () => {
    await proxy.stop();
    app.close();
    bytes.close();
    folder.dispose();
  });

  it('takes requests and hands them to an application on another socket', async () => {
    expect(await get(at('http'), '/a')).toEqual({ status: 200, body: 'app /a' });
    const several = await Promise.all(Array.from({ length: 20 }, (_, i) => get(at('http'), `/${i}`)));
    expect(several.map(({ body }) => body)).toEqual(Array.from({ length: 20 }, (_, i) => `app /${i}`));
  });

  it('replaces the file that a dead process left, and sets its permissions', () => {
    expect(statSync(at('http')).mode & 0o777).toBe(0o600);
  });

  it('passes bytes and half-closed connections on', async () => {
    const socket = net.connect({ path: at('tcp'), allowHalfOpen: true });
    let got = '';
    socket.on('data', (data) => (got += data));
    socket.end('hello');
    await new Promise((done) => socket.once('end', done));
    expect(got).toBe('bytes hello');
  });

  it('ends TLS, of several clients at a time', async () => {
    const secure = { protocol: 'https:', ca, servername: 'localhost' };
    const several = await Promise.all(Array.from({ length: 8 }, (_, i) => get(at('secure'), `/${i}`, secure)));
    expect(several.map(({ body }) => body)).toEqual(Array.from({ length: 8 }, (_, i) => `app /${i}`));
  });

  it('knows abstract names, which have no file', async () => {
    expect(await get(`\0${abstract}`, '/x')).toEqual({ status: 200, body: 'app /x' });
    // It is a listener of the proxy itself.
    expect((await fetch(`http://127.0.0.1:${proxy.ports['port']}/`)).status).toBe(503);
  });

  it('never calls a listener of its own', async () => {
    expect((await get(at('loop'))).status).toBe(503);
  });

  it('shows where it listens', async () => {
    const { body } = await proxy.admin('/listeners?format=json');
    const { listenerStatuses } = JSON.parse(body) as { listenerStatuses: { name: string; localAddress: object }[] };
    expect(listenerStatuses).toContainEqual({ name: 'http', localAddress: pipe(at('http')) });
  });

  it('refuses a socket that another process listens on, a file that is none, and a folder that is missing', async () => {
    writeFileSync(at('file'), 'keep');
    for (const [path, reason] of [
      [at('app'), 'another process listens there, or the file is no socket'],
      [at('file'), 'another process listens there, or the file is no socket'],
      [at('missing/app'), 'the folder does not exist, or is not writable'],
    ] as const) {
      const config = bootstrap([listenerAt('one', pipe(path), hcm('app'))], [socketCluster('app', at('app'))]);
      const other = new ProxyProcess(runtime, at('other.json'), config);
      await expect(other.ready()).rejects.toThrow(`cannot listen on unix://${path}: ${reason}`);
      await other.stop();
    }
    expect(existsSync(at('file'))).toBe(true);
    expect((await get(at('app'), '/still')).body).toBe('app /still');
  });
});
