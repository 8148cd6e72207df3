/** What the proxies under measure forward to: nginx where installed, else our own server. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { ROOT } from '../kit/environment.ts';
import type { Program } from '../kit/process.ts';
import { until } from '../kit/waiting.ts';
import { freePort, installed, LOAD_CORE, ownProgram, start } from './parts.ts';

/** Behind `source` all are HTTP/2. */
export type Kind = 'http' | 'websocket' | 'source' | 'h2' | 'grpc' | 'grpc-stream' | 'h2-source' | 'h2-sink';

export interface TlsFiles {
  readonly cert: string;
  readonly key: string;
  readonly roots: string;
}

export interface UpstreamOptions {
  readonly kind: Kind;
  /** Of an answer's body, or a message. */
  readonly bytes: number;
  /** mTLS: a client must present a certificate of these roots. */
  readonly tls?: TlsFiles;
}

/** @param folder scratch @returns its port */
export async function startUpstream(options: UpstreamOptions, folder: string): Promise<number> {
  const nginx = options.kind === 'http' || options.kind === 'h2' ? installed('nginx') : undefined;
  const port = await freePort();
  const part = nginx
    ? start('upstream', LOAD_CORE, nginxUpstream(nginx, port, options, folder))
    : start('upstream', LOAD_CORE, [
        ...ownProgram(join(ROOT, 'tests/bench/upstream-server.ts')),
        JSON.stringify({ ...options, port }),
      ]);
  await listening(port, part);
  return port;
}

/** Waits until something accepts on a port. @throws when the process ended first */
export async function listening(port: number, part: Program): Promise<void> {
  await until(
    `${part.name} listens on ${port}`,
    () => {
      if (part.process.exitCode !== null) throw new Error(`${part.name} ended:\n${part.lines.slice(-10).join('\n')}`);
      const { promise, resolve } = Promise.withResolvers<boolean>();
      const socket = connect(port, '127.0.0.1');
      socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
      return promise.finally(() => socket.destroy());
    },
    20_000,
  );
}

/** What every nginx here begins with. */
export const nginxMain = (folder: string) =>
  `${process.getuid?.() === 0 ? 'user root; ' : ''}worker_processes 1; daemon off; pid ${folder}/nginx.pid; error_log stderr crit;\nevents { worker_connections 8192; }\n`;
export const nginxTemp = (folder: string) =>
  ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((kind) => `${kind}_temp_path ${folder}/${kind};`).join(' ');

function nginxUpstream(nginx: string, port: number, { kind, bytes, tls }: UpstreamOptions, folder: string): string[] {
  const own = join(folder, 'upstream');
  mkdirSync(own, { recursive: true });
  writeFileSync(join(own, 'body'), 'x'.repeat(bytes));
  const security = tls
    ? `ssl_certificate ${tls.cert}; ssl_certificate_key ${tls.key}; ssl_client_certificate ${tls.roots}; ssl_verify_client on; ssl_verify_depth 4;`
    : '';
  // A file that stays open costs one sendfile; small bodies come from the config, as cheap as an answer can be.
  const answer =
    bytes <= 4096
      ? `location / { default_type text/plain; return 200 "${'x'.repeat(bytes)}"; }`
      : `location / { root ${own}; try_files /body =404; }`;
  const file = join(own, 'nginx.conf');
  writeFileSync(
    file,
    `${nginxMain(own)}http { ${nginxTemp(own)} access_log off; keepalive_requests 1000000000; keepalive_timeout 3600s; sendfile on; open_file_cache max=10; http2_max_concurrent_streams 100000;
 server { listen 127.0.0.1:${port}${tls ? ' ssl' : ''}${kind === 'h2' ? ' http2' : ''} backlog=4096; ${security} ${answer} } }\n`,
  );
  return [nginx, '-p', own, '-c', file];
}
