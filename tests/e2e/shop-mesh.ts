/** The mesh the end-to-end tests share: a client, details, ratings, reviews v1 to v3, and an echo, all on one runtime. */

import { statSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { connect } from 'node:tls';
import type { RuntimeName } from '../../control/cli/runtimes.mjs';
import { ROOT } from '../kit/environment.ts';
import { LoopbackMesh, type Workload } from '../kit/mesh.ts';
import type { Program } from '../kit/process.ts';
import {
  ACCESS_LOGS,
  authorizationPolicy,
  meshService,
  peerAuthentication,
  versions,
  workloadEntry,
  yaml,
} from '../kit/resources.ts';
import { until } from '../kit/waiting.ts';

const SHOP = `${ROOT}/deploy/demo/shop.ts`;
const ECHO = `${ROOT}/tests/e2e/echo.ts`;
export const PRINCIPAL = 'spiffe://cluster.local/ns/default/sa/';

export interface Answer {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  body: string;
  /** The body as JSON. */
  json<T = Record<string, unknown>>(): T;
}

interface Call {
  host: string;
  port: number;
  path: string;
  /** GET unless it says otherwise. */
  method?: string;
  headers?: Record<string, string>;
}

/** One request on a connection of its own. @throws when there is no HTTP answer within 15 s */
export function get(call: Call): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const outgoing = request({ ...call, agent: false, timeout: 15_000 }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () => {
        const body = Buffer.concat(chunks).toString();
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body, json: () => JSON.parse(body) });
      });
    });
    outgoing.on('timeout', () => outgoing.destroy(new Error('no answer within 15 s')));
    outgoing.on('error', reject).end();
  });
}

const RESOURCES = [
  ...['details', 'ratings', 'reviews', 'echo'].flatMap((name) => [meshService(name), versions(name, 'v1', 'v2', 'v3')]),
  peerAuthentication('STRICT'),
  authorizationPolicy('ratings-for-reviews', 'ratings', {
    rules: [{ from: [{ source: { principals: ['cluster.local/ns/default/sa/reviews'] } }] }],
  }),
];

export class ShopMesh {
  readonly mesh = new LoopbackMesh();
  readonly runtime: RuntimeName;
  private rules = 0;

  constructor(runtime: RuntimeName) {
    this.runtime = runtime;
  }

  async start(svidTtl: string): Promise<void> {
    await this.mesh.startControl({ svidTtl });
    await this.mesh.apply(yaml(ACCESS_LOGS, ...RESOURCES));
    await Promise.all([
      this.add('client', 'front', 'v1'),
      this.add('details', 'details', 'v1', [SHOP, 'details', '{port}']),
      this.add('ratings', 'ratings', 'v1', [SHOP, 'ratings', '{port}']),
      this.add('echo', 'echo', 'v1', [ECHO, '{port}']),
      ...['v1', 'v2', 'v3'].map((version) =>
        this.add(`reviews-${version}`, 'reviews', version, [SHOP, 'reviews', '{port}', version]),
      ),
    ]);
    for (const path of ['details', 'reviews', 'echo'])
      await until(`${path} answers`, async () => (await this.call(path, '/')).status === 200);
    await until('all reviews answer', async () => (await this.versions(20)).size === 3);
  }

  private async add(name: string, app: string, version: string, command?: readonly string[]): Promise<void> {
    const address = this.mesh.address();
    const labels = { app, version };
    await this.mesh.apply(yaml(workloadEntry(name, address, { app, labels })));
    const options = { name, serviceAccount: app, labels, runtime: this.runtime };
    await this.mesh.start(command ? { ...options, app: command } : options, address);
  }

  workload(name: string): Workload {
    const found = this.mesh.workloads.get(name);
    if (!found) throw new Error(`no workload "${name}"`);
    return found;
  }

  /** What the client gets through its sidecar. */
  call(service: string, path: string, headers: Record<string, string> = {}): Promise<Answer> {
    const { httpProxyPort } = this.workload('client');
    const host = `${service}:9080`;
    return get({
      host: '127.0.0.1',
      port: httpProxyPort,
      path: `http://${host}${path}`,
      headers: { host, ...headers },
    });
  }

  /** Straight to a workload's address, in plaintext, past the client's sidecar. */
  plaintext(name: string): Promise<Answer> {
    return get({ host: this.workload(name).address, port: 9080, path: '/', headers: { host: 'details:9080' } });
  }

  /** Permissions of what a workload's proxy keeps on disk, as `600`. @throws Error when it is not there */
  mode(name: string, file: string): string {
    return (statSync(join(this.mesh.folder, 'proxies', name, file)).mode & 0o777).toString(8);
  }

  admin(name: string, path: string): Promise<Answer> {
    return get({ host: '127.0.0.1', port: this.workload(name).adminPort, path });
  }

  /** Which versions of reviews answer `calls` calls, and how often; throws on an answer that is not 200. */
  async versions(calls: number, headers?: Record<string, string>): Promise<Map<string, number>> {
    const counts = new Map<string, number>();
    for (let left = calls; left > 0; left -= 8)
      await Promise.all(
        Array.from({ length: Math.min(left, 8) }, async () => {
          const answer = await this.call('reviews', '/reviews/0', headers);
          if (answer.status !== 200) throw new Error(`reviews answered ${answer.status}: ${answer.body}`);
          const { version } = answer.json<{ version: string }>();
          counts.set(version, (counts.get(version) ?? 0) + 1);
        }),
      );
    return counts;
  }

  /** Puts `http` routes (YAML, flow style) in force for `host`; resolves once the client's sidecar runs them. */
  async route(host: string, http: string): Promise<void> {
    const marker = `e2e-${++this.rules}`;
    await this.mesh.apply(`
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: ${host} }
spec: { hosts: [${host}], http: [{ name: ${marker}-marker, match: [{ uri: { exact: /${marker} } }], route: [{ destination: { host: ${host} } }] }, ${http}] }
`);
    await this.use(host);
    await this.runs('client', `${marker}-marker`);
  }

  /** Has the client's sidecar fetch a host, whatever it answers. */
  async use(host: string): Promise<void> {
    await this.call(host, '/unused');
  }

  /** Waits until a workload's proxy runs config with `text` in it. */
  async runs(name: string, text: string): Promise<void> {
    await until(`${name} runs ${text}`, async () => (await this.admin(name, '/config_dump')).body.includes(text));
  }

  unroute(host: string): Promise<void> {
    return this.mesh.remove(`
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: ${host} }
`);
  }

  /** The serial number of the certificate a workload presents. */
  serial(name: string): Promise<string> {
    return new Promise((resolve, reject) => {
      const options = {
        host: this.workload(name).address,
        port: 9080,
        rejectUnauthorized: false,
        ALPNProtocols: ['istio'],
      };
      const socket = connect(options, () => {
        resolve(socket.getPeerCertificate().serialNumber);
        socket.destroy();
      });
      socket.on('error', reject);
    });
  }

  /** The first access log entry that `pick` accepts. */
  logged(name: string, pick: (entry: Record<string, unknown>) => boolean): Promise<Record<string, unknown>> {
    return entryOf(this.workload(name).proxy, pick);
  }
}

function entryOf(part: Program, pick: (entry: Record<string, unknown>) => boolean): Promise<Record<string, unknown>> {
  return part.line((line) => {
    if (!line.startsWith('{') || !line.includes('"start_time":')) return undefined;
    const entry = JSON.parse(line) as Record<string, unknown>;
    return pick(entry) ? entry : undefined;
  });
}

/** Calls over and over until stopped; answers how many went well, and every failure. */
export class Traffic {
  readonly failures: string[] = [];
  good = 0;
  private stopped = false;
  private readonly done: Promise<unknown>;

  constructor(call: () => Promise<Answer>, workers = 2) {
    const work = async () => {
      while (!this.stopped) {
        const outcome = await call().then(
          ({ status, body }) => (status === 200 ? undefined : `${status} ${body.slice(0, 200)}`),
          (error: Error) => error.message,
        );
        if (outcome === undefined) this.good++;
        else this.failures.push(`${new Date().toISOString()} ${outcome}`);
        await new Promise((next) => setTimeout(next, 5));
      }
    };
    this.done = Promise.all(Array.from({ length: workers }, work));
  }

  async stop(): Promise<void> {
    this.stopped = true;
    await this.done;
  }
}
