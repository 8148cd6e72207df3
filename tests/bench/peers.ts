/** What is measured: Tulle on its runtimes, and nginx, haproxy, Envoy and the raw floor beside it. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { bunBinary, denoBinary, type RuntimeName, runtimeCommand } from '../../control/cli/runtimes.mjs';
import { buildPackage } from '../../deploy/build.ts';
import { ROOT } from '../kit/environment.ts';
import { ENVOY } from '../kit/envoy.ts';
import { until } from '../kit/waiting.ts';
import { freePort, installed, PROXY_CORE, start } from './parts.ts';
import { listening, nginxMain, nginxTemp, type TlsFiles } from './upstreams.ts';

/** What a scenario gives every peer. */
export interface Setting {
  /** Envoy's and Tulle's config, the very same file. */
  readonly bootstrap: object;
  readonly upstreamPort: number;
  readonly tls: TlsFiles | undefined;
  /** Bytes pass through without HTTP. */
  readonly tcp: boolean;
  readonly webSocket: boolean;
  /** HTTP/2 on both hops. */
  readonly http2: boolean;
  readonly folder: string;
}

/** A proxy under measure. */
export interface Measured {
  readonly name: string;
  readonly pid: number;
  readonly port: number;
}

export type PeerName = 'nginx' | 'haproxy' | 'envoy' | `tulle-${RuntimeName}` | `floor-${RuntimeName}`;

export const RUNTIMES: readonly RuntimeName[] = ['bun', 'node', 'deno'];

/** Why a peer cannot be measured here; undefined when it can. */
export function absent(name: PeerName): string | undefined {
  if (name === 'envoy') return ENVOY ? undefined : 'no Envoy: set TULLE_ENVOY, or put envoy on the PATH';
  if (name === 'nginx' || name === 'haproxy') return installed(name) ? undefined : `${name} is not installed`;
  const runtime = name.slice(6);
  const there = runtime === 'node' || (runtime === 'bun' ? bunBinary() : denoBinary()) !== undefined;
  return there ? undefined : `${runtime} is not installed`;
}

export async function startPeer(name: PeerName, setting: Setting): Promise<Measured> {
  const folder = join(setting.folder, name);
  mkdirSync(folder, { recursive: true });
  if (name === 'nginx') return startNginx(setting, folder);
  if (name === 'haproxy') return startHaproxy(setting, folder);
  if (name === 'envoy') return startEnvoy(setting, folder);
  const runtime = name.slice(6) as RuntimeName;
  return name.startsWith('floor-') ? startFloor(name, runtime, setting) : startTulle(name, runtime, setting, folder);
}

function pidOf(part: { process: { pid?: number | undefined } }): number {
  if (part.process.pid === undefined) throw new Error('a process has no id');
  return part.process.pid;
}

function bootstrapFile(setting: Setting, folder: string): string {
  const file = join(folder, 'bootstrap.json');
  writeFileSync(file, JSON.stringify(setting.bootstrap));
  return file;
}

let built: Promise<typeof import('../../control/cli/runtimes.mjs')> | undefined;

/** What ships is what is measured: the package, rebuilt. */
async function launcher() {
  const folder = join(ROOT, 'dist');
  built ??= buildPackage(folder).then(() => import(join(folder, 'control/cli/runtimes.mjs')));
  return built;
}

async function startTulle(name: string, runtime: RuntimeName, setting: Setting, folder: string): Promise<Measured> {
  const main = (await launcher()).proxyCommand(runtime);
  const part = start(name, PROXY_CORE, [...main, '-c', bootstrapFile(setting, folder), '--announce']);
  const { ports } = await part.announcement<{ ports: Record<string, number> }>();
  return { name, pid: pidOf(part), port: ports['http']! };
}

async function startEnvoy(setting: Setting, folder: string): Promise<Measured> {
  const admin = join(folder, 'admin');
  const part = start('envoy', PROXY_CORE, [
    ...[ENVOY!, '-c', bootstrapFile(setting, folder), '--concurrency', '1', '--disable-hot-restart', '-l', 'error'],
    ...['--admin-address-path', admin],
  ]);
  interface Listeners {
    listener_statuses: { local_address: { socket_address: { port_value: number } } }[];
  }
  const port = await until('envoy is ready', async () => {
    if (part.process.exitCode !== null) return -1;
    const at = readFileSync(admin, 'utf8').trim();
    if ((await fetch(`http://${at}/ready`)).status !== 200) return undefined;
    const { listener_statuses: found } = (await (
      await fetch(`http://${at}/listeners?format=json`)
    ).json()) as Listeners;
    return found[0]?.local_address.socket_address.port_value;
  });
  if (port < 0) throw new Error(`envoy ended:\n${part.lines.slice(-10).join('\n')}`);
  return { name: 'envoy', pid: pidOf(part), port };
}

async function startFloor(name: string, runtime: RuntimeName, setting: Setting): Promise<Measured> {
  const port = await freePort();
  const main = runtimeCommand(runtime, join(ROOT, 'tests/bench/floor.ts'));
  const part = start(name, PROXY_CORE, [...main, String(port), String(setting.upstreamPort)]);
  await listening(port, part);
  return { name, pid: pidOf(part), port };
}

async function startNginx(setting: Setting, folder: string): Promise<Measured> {
  const { tls, upstreamPort, http2 } = setting;
  const port = await freePort();
  const ssl = http2 ? 'grpc_ssl' : 'proxy_ssl';
  const down = tls
    ? `ssl_certificate ${tls.cert}; ssl_certificate_key ${tls.key}; ssl_client_certificate ${tls.roots}; ssl_verify_client on; ssl_verify_depth 4;`
    : '';
  const up = tls
    ? `${ssl}_certificate ${tls.cert}; ${ssl}_certificate_key ${tls.key}; ${ssl}_trusted_certificate ${tls.roots}; ${ssl}_session_reuse on;`
    : '';
  const upgrade = setting.webSocket
    ? 'proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;'
    : 'proxy_set_header Connection "";';
  const pass = http2
    ? `client_max_body_size 0; grpc_read_timeout 3600s; grpc_send_timeout 3600s; grpc_pass grpc${tls ? 's' : ''}://u; ${up}`
    : `proxy_pass http${tls ? 's' : ''}://u; proxy_http_version 1.1; ${up} ${upgrade} proxy_set_header Host $host;`;
  const file = join(folder, 'nginx.conf');
  writeFileSync(
    file,
    `${nginxMain(folder)}http { ${nginxTemp(folder)} access_log off; keepalive_requests 1000000000; keepalive_timeout 3600s;
 upstream u { server 127.0.0.1:${upstreamPort}; keepalive 256; keepalive_requests 1000000000; }
 server { listen 127.0.0.1:${port}${tls ? ' ssl' : ''}${http2 ? ' http2' : ''} backlog=4096; ${down}
  location / { ${pass} } } }\n`,
  );
  const part = start('nginx', PROXY_CORE, [installed('nginx')!, '-p', folder, '-c', file]);
  await listening(port, part);
  return { name: 'nginx', pid: pidOf(part), port };
}

async function startHaproxy(setting: Setting, folder: string): Promise<Measured> {
  const port = await freePort();
  const mode = setting.tcp ? 'tcp' : 'http';
  const file = join(folder, 'haproxy.cfg');
  writeFileSync(
    file,
    `global
  nbthread 1
  maxconn 8192
defaults
  mode ${mode}
  timeout connect 5s
  timeout client 3600s
  timeout server 3600s
  timeout tunnel 3600s
${setting.tcp ? '' : '  http-reuse always\n'}frontend f
  bind 127.0.0.1:${port}
  default_backend b
backend b
  server s 127.0.0.1:${setting.upstreamPort}${setting.tcp ? '' : ' pool-max-conn 256'}
`,
  );
  const part = start('haproxy', PROXY_CORE, [installed('haproxy')!, '-db', '-f', file]);
  await listening(port, part);
  return { name: 'haproxy', pid: pidOf(part), port };
}
