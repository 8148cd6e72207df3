/** A control API with discovery alone, over real TLS, and gRPC clients of it. */
import { mkdtempSync, rmSync } from 'node:fs';
import { type ClientHttp2Session, type ClientHttp2Stream, connect, type IncomingHttpHeaders } from 'node:http2';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Hono } from 'hono';
import { createCsr } from '../../../../shared/identity/csr.ts';
import { exportPrivateKey, generateKeys } from '../../../../shared/identity/keys.ts';
import { type Snapshot, TYPE_URLS } from '../../../../shared/xds/discovery.ts';
import { openAuthority } from '../../../ca/authority.ts';
import { fixedCompile } from '../../../compile/testing/fixed-compile.ts';
import { DiscoveryService } from '../../../discovery/service.ts';
import { jsonOf, readMessage, toBytes } from '../../../envoy-api/envoy-api.ts';
import type { MeshListener } from '../../../mesh/follow-store.ts';
import { meshChange } from '../../../mesh/testing/mesh-change.ts';
import type { MeshView } from '../../../mesh/view.ts';
import { authenticate } from '../../auth.ts';
import type { ApiEnv } from '../../caller.ts';
import { OpenWatches } from '../../resources/open-watches.ts';
import { startTlsServer, type TlsServerOptions } from '../../server/tls-server.ts';
import { discoveryStreams } from '../discovery-streams.ts';

export const NODE = {
  id: 'sidecar~10.0.0.1~n.default~default.svc.cluster.local',
  cluster: 'n',
  metadata: { NAMESPACE: 'default', SERVICE_ACCOUNT: 'a' },
};
const ADS = '/envoy.service.discovery.v3.AggregatedDiscoveryService';
export const DELTA = `${ADS}/DeltaAggregatedResources`;
export const WORLD = `${ADS}/StreamAggregatedResources`;

export interface StreamServerOptions {
  readonly snapshot: Snapshot;
  readonly maxAgeMs?: number;
  readonly tls?: Partial<TlsServerOptions>;
  /** Tokens of users, by their names. */
  readonly users?: Readonly<Record<string, string>>;
  readonly times?: { readonly tokenAgeMs?: number };
}

/** Everything it starts ends with `close`. */
export async function startStreamServer(options: StreamServerOptions) {
  const folder = mkdtempSync(join(tmpdir(), 'tulle-streams-'));
  const authority = await openAuthority({ folder, trustDomain: 'td' });
  let { snapshot } = options;
  let view = { revision: 1 } as MeshView;
  let listener: MeshListener = () => {};
  const rejected: string[] = [];
  const lines: string[] = [];
  const discovery = new DiscoveryService({
    compile: fixedCompile(() => snapshot),
    mesh: {
      current: () => view,
      onChange: (added) => {
        listener = added;
        return () => {};
      },
    },
    events: {
      ...Object.fromEntries(['connected', 'disconnected', 'pushed', 'converged'].map((name) => [name, () => {}])),
      rejected: ({ type, reason }: { type: string; reason: string }) => rejected.push(`${type}: ${reason}`),
    } as never,
  });
  const watches = new OpenWatches();
  const app = new Hono<ApiEnv>();
  app.use(
    authenticate({
      isAdmin: () => false,
      userOf: async (token) => {
        const name = options.users?.[token];
        return name === undefined ? undefined : { name, groups: [] };
      },
    }),
  );
  app.route(
    '/',
    discoveryStreams({
      discovery,
      trustDomain: 'td',
      streams: watches,
      log: (line) => lines.push(line),
      report: (error) => lines.push(String(error)),
      ...options.times,
      ...(options.maxAgeMs !== undefined && { maxAgeMs: options.maxAgeMs }),
    }),
  );
  const server = await startTlsServer({
    listen: { address: '127.0.0.1', port: 0 },
    authority,
    fetch: app.fetch,
    log: (line) => lines.push(line),
    ...options.tls,
  });
  const sessions: ClientHttp2Session[] = [];
  return {
    ...{ server, discovery, watches, rejected, lines },
    /** The mesh becomes another one. */
    change(next: Partial<Snapshot>) {
      snapshot = { ...snapshot, ...next };
      view = { revision: (view.revision ?? 0) + 1 } as MeshView;
      listener(view, meshChange({ ServiceEntry: ['default/a'] }));
    },
    /** A connection with the certificate of an account of namespace `default`; `undefined`: without one. */
    async connect(account: string | undefined = 'a', ttl = 3600) {
      const keys = await generateKeys();
      const id = `spiffe://td/ns/default/sa/${account}`;
      const own = account && (await authority.issue(await createCsr(keys), id, ttl));
      const key = own && { cert: own.certificateChain, key: await exportPrivateKey(keys.privateKey) };
      const session = connect(server.url, { ca: authority.trustBundle, ...key });
      session.on('error', () => {});
      sessions.push(session);
      return session;
    },
    trustBundle: authority.trustBundle,
    async close() {
      for (const session of sessions) session.destroy();
      discovery.close();
      await server.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
export type StreamServer = Awaited<ReturnType<typeof startStreamServer>>;

interface Ended {
  readonly status: number;
  readonly message: string;
}

/** A call of one method; what it is answered is read message by message. */
export class Call {
  readonly stream: ClientHttp2Stream;
  readonly ended: Promise<Ended>;
  private readonly type: string;
  private readonly messages: Record<string, unknown>[] = [];
  private waiting: ((message: Record<string, unknown>) => void) | undefined;
  private bytes = Buffer.alloc(0);

  constructor(session: ClientHttp2Session, path: string, headers: Record<string, string> = {}) {
    this.type = /Delta/.test(path) ? 'Delta' : '';
    const own = { 'content-type': 'application/grpc', te: 'trailers' };
    this.stream = session.request({ ':method': 'POST', ':path': path, ...own, ...headers });
    let fields: IncomingHttpHeaders = {};
    this.stream.on('response', (head) => (fields = { ...fields, ...head }));
    this.stream.on('trailers', (trailers) => (fields = { ...fields, ...trailers }));
    this.stream.on('data', (chunk: Buffer) => this.take(chunk));
    this.stream.on('error', () => {});
    this.stream.on('end', () => this.stream.end());
    this.ended = new Promise((resolve) =>
      this.stream.once('close', () =>
        resolve({
          status: Number(fields['grpc-status'] ?? -Number(fields[':status'])),
          message: decodeURIComponent(String(fields['grpc-message'] ?? '')),
        }),
      ),
    );
  }

  /** Of the type that a method takes, in JSON. */
  send(request: object): void {
    this.sendBytes(toBytes(`envoy.service.discovery.v3.${this.type}DiscoveryRequest`, request));
  }

  sendBytes(message: Uint8Array, flag = 0, length = message.length): void {
    const head = Buffer.alloc(5);
    head.writeUInt8(flag, 0);
    head.writeUInt32BE(length, 1);
    this.stream.write(Buffer.concat([head, message]));
  }

  async next(): Promise<Record<string, unknown>> {
    const known = this.messages.shift();
    if (known) return known;
    return new Promise((resolve) => {
      this.waiting = resolve;
    });
  }

  /** What has come and was not read. */
  get unread(): number {
    return this.messages.length;
  }

  /** Subscribes, and acknowledges the answer. @returns its resources by name, and what is removed */
  async take1(request: object = {}): Promise<{ got: Record<string, unknown>; removed: unknown; typeUrl: string }> {
    if (Object.keys(request).length > 0) this.send(request);
    const {
      typeUrl,
      nonce,
      resources = [],
      removedResources,
    } = (await this.next()) as {
      typeUrl: string;
      nonce: string;
      resources?: { name: string; resource: unknown }[];
      removedResources?: unknown;
    };
    this.send({ typeUrl, responseNonce: nonce });
    const got = Object.fromEntries(resources.map(({ name, resource }) => [name, resource]));
    return { got, removed: removedResources, typeUrl };
  }

  private take(chunk: Buffer): void {
    this.bytes = Buffer.concat([this.bytes, chunk]);
    while (this.bytes.length >= 5) {
      const length = this.bytes.readUInt32BE(1);
      if (this.bytes.length < length + 5) return;
      const message = this.bytes.subarray(5, length + 5);
      this.bytes = this.bytes.subarray(length + 5);
      const json = jsonOf(readMessage(`envoy.service.discovery.v3.${this.type}DiscoveryResponse`, message));
      const { waiting } = this;
      this.waiting = undefined;
      if (waiting) waiting(json);
      else this.messages.push(json);
    }
  }
}

export const typed = (type: keyof typeof TYPE_URLS, resource: object) => ({ '@type': TYPE_URLS[type], ...resource });
