/**
 * http2KeepAlive of a DestinationRule against a peer that stops reading and answering, on every runtime: the connection ends, and
 * its requests are sent to another endpoint.
 */
import { writeFileSync } from 'node:fs';
import http from 'node:http';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { bootstrapOf, compile } from '../interop/compiled/compiled.ts';
import { RUNTIMES, temporaryFolder } from '../kit/environment.ts';
import { data, headers } from '../kit/http2/frames.ts';
import type { Http2Peer } from '../kit/http2/peer.ts';
import { type Http2Upstream, startHttp2Upstream } from '../kit/http2/upstream.ts';
import { freePorts } from '../kit/ports.ts';
import { type ProxyProcess, startTulle } from '../kit/proxy.ts';
import { until } from '../kit/waiting.ts';

const HOST = 'calls.example';
const PORT = 8080;
/** Far less than a request may take. */
const LIMIT_MS = 15_000;

const resource = (kind: string, spec: object) => ({
  apiVersion: 'networking.istio.io/v1',
  kind,
  metadata: { name: 'calls', namespace: 'default' },
  spec,
});
const resources = (ports: readonly number[]) => [
  resource('ServiceEntry', {
    hosts: [HOST],
    ports: [{ number: PORT, name: 'http2', protocol: 'HTTP2' }],
    resolution: 'STATIC',
    endpoints: ports.map((port) => ({ address: '127.0.0.1', ports: { http2: port } })),
  }),
  resource('DestinationRule', {
    host: HOST,
    trafficPolicy: {
      loadBalancer: { simple: 'ROUND_ROBIN' },
      connectionPool: { http: { http2KeepAlive: { interval: '0.5s', timeout: '1s' } } },
    },
  }),
  resource('VirtualService', {
    hosts: [HOST],
    http: [{ route: [{ destination: { host: HOST } }], retries: { attempts: 2, retryOn: 'reset' } }],
  }),
];

function call(port: number, path: string): Promise<string> {
  return new Promise((done, fail) => {
    const options = { host: '127.0.0.1', port, path, headers: { host: `${HOST}:${PORT}` }, timeout: LIMIT_MS };
    http
      .get(options, (response) => {
        let text = `${response.statusCode} `;
        response.setEncoding('latin1').on('data', (part: string) => (text += part));
        response.on('end', () => done(text)).on('error', fail);
      })
      .on('timeout', function (this: http.ClientRequest) {
        this.destroy(new Error(`${path} is not answered within ${LIMIT_MS} ms`));
      })
      .on('error', fail);
  });
}

describe.each(RUNTIMES)('PING keepalive on %s', (runtime) => {
  const folder = temporaryFolder();
  const upstreams: Http2Upstream[] = [];
  let proxy: ProxyProcess;
  let port: number;
  /** The peer that got `/silence`: it reads nothing more. */
  let silent: Http2Peer | undefined;

  beforeAll(async () => {
    for (const name of ['one', 'other'])
      upstreams.push(
        await startHttp2Upstream(({ peer, stream, fields }) => {
          const path = fields.find(([field]) => field === ':path')?.[1];
          if (path === '/silence' && !silent) {
            silent = peer;
            peer.socket.pause();
          } else peer.send(headers(stream, [[':status', '200']]), data(stream, name, true));
        }),
      );
    const file = join(folder.path, 'mesh.yaml');
    writeFileSync(
      file,
      resources(upstreams.map((one) => one.port))
        .map((one) => stringify(one))
        .join('---\n'),
    );
    [port] = (await freePorts(1)) as [number];
    const node = {
      id: 'sidecar~127.0.0.9~front.default~default.svc.cluster.local',
      metadata: { NAMESPACE: 'default', INTERCEPTION_MODE: 'NONE', HTTP_PROXY_PORT: String(port) },
    };
    const own = { id: '', cert: '', key: '', roots: '' };
    proxy = await startTulle(runtime, bootstrapOf(compile([file], node, folder.path), own), folder.path);
  });
  afterAll(async () => {
    await proxy?.stop();
    for (const upstream of upstreams) upstream.stop();
    folder.dispose();
  });

  it('leaves a connection whose peer answers', async () => {
    for (let n = 0; n < 4; n++) expect(await call(port, `/${n}`)).toMatch(/^200 (one|other)$/);
    const peers = upstreams.flatMap((upstream) => upstream.peers);
    const pinged = (peer: Http2Peer) => peer.events.filter(({ kind }) => kind === 'ping').length >= 3;
    await until('every peer acknowledged PING frames', () => peers.every(pinged));
    expect(peers.some((peer) => peer.closed)).toBe(false);
  });

  it('ends a connection whose peer is silent, and sends its request elsewhere', async () => {
    const began = performance.now();
    const reached = await call(port, '/silence');
    // A PING has this time to be acknowledged.
    expect(performance.now() - began).toBeGreaterThan(990);
    const [deaf] = upstreams.filter(({ peers }) => peers.some((peer) => peer === silent));
    expect(reached).toBe(`200 ${deaf === upstreams[0] ? 'other' : 'one'}`);
    silent!.socket.resume();
    await until('the connection to the silent peer has ended', () => silent!.closed);
    // The endpoint is used again, by another connection.
    const answers = new Set<string>();
    for (let n = 0; n < 6; n++) answers.add(await call(port, `/again-${n}`));
    expect([...answers].sort()).toEqual(['200 one', '200 other']);
    expect(deaf!.peers.length).toBeGreaterThan(1);
  });
});
