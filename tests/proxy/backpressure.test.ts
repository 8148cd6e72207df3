/**
 * A slow reader never grows the proxy's memory: requests and responses with a length and in chunks, mTLS on both hops,
 * upgraded connections and byte streams, both ways, on every runtime.
 * `TULLE_BULK_MB=1024 npm test -- tests/proxy/backpressure` moves a gigabyte each time and tells how it gets on.
 */
import { readFileSync } from 'node:fs';
import net from 'node:net';
import { join } from 'node:path';
import tls from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RUNTIMES, temporaryFolder } from '../kit/environment.ts';
import { ProxyProcess } from '../kit/proxy.ts';
import { listening } from '../kit/upstream.ts';
import { until } from '../kit/waiting.ts';
import { type Leaf, leaf, pem, rootAuthority } from '../mtls/certificates.ts';
import { clientTls, cluster, hcm, listener, secretOf, serverTls, tcp } from './bootstrap.ts';
import { ask, BulkApp, KINDS, type Kind, MB, type Transfer, type Way } from './bulk.ts';

const BULK_MB = Number(process.env['TULLE_BULK_MB'] ?? 48);
/** What may lie between a writer and a reader that reads nothing: the proxy's buffers and the kernel's, on four sockets. */
const IN_BETWEEN = 40 * MB;
/** Above the idle proxy, whatever the size of the transfer. */
const MEMORY = 32 * MB;
/** The proxy is idle, and its code compiled, once it has moved this much of the kind. */
const WARM_UP_MB = 16;
const SAMPLE_MS = 20;
/** A writer that has written nothing for so long is held back. */
const STILL_MS = 300;
const PROGRESS_MS = 5000;
/** A transfer in which nothing moves for so long has failed, however slow the machine. */
const STALL_MS = 60_000;
const LIMIT = 120_000 + BULK_MB * 1000;

const upgrading = (filter: ReturnType<typeof hcm>) => ({
  ...filter,
  typed_config: { ...filter.typed_config, upgrade_configs: [{ upgrade_type: 'bulk' }] },
});

describe.each(RUNTIMES)('a slow reader on %s', (runtime) => {
  const folder = temporaryFolder();
  let proxy: ProxyProcess;
  let app: BulkApp;
  let client: Leaf;

  beforeAll(async () => {
    const root = await rootAuthority('root');
    const identity = (name: string) => leaf(root, { uri: `spiffe://cluster.local/ns/default/sa/${name}` });
    client = await identity('client');
    app = new BulkApp(await identity('app'), pem(root));
    proxy = new ProxyProcess(runtime, join(folder.path, 'proxy.json'), {
      static_resources: {
        listeners: [
          listener('http', [upgrading(hcm('plain'))]),
          listener('mtls', [hcm('secure')], serverTls),
          listener('tcp', [tcp('plain')]),
        ],
        clusters: [
          cluster('plain', await listening(app.plain)),
          cluster('secure', await listening(app.secure), clientTls),
        ],
        secrets: [
          secretOf(await identity('proxy')),
          { name: 'ROOTCA', validation_context: { trusted_ca: { inline_string: pem(root) } } },
        ],
      },
    });
    await proxy.ready();
  });
  afterAll(async () => {
    await proxy?.stop('SIGKILL');
    app.close();
    folder.dispose();
  });

  /** Resident bytes, without asking the proxy: asking is work. */
  const resident = () =>
    Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${proxy.process.pid}/status`, 'latin1'))![1]) * 1024;

  const connect = async (kind: Kind): Promise<net.Socket> => {
    const port = proxy.ports[kind === 'mtls' || kind === 'tcp' ? kind : 'http']!;
    const socket =
      kind === 'mtls'
        ? tls.connect({
            port,
            host: '127.0.0.1',
            cert: client.cert,
            key: client.key,
            rejectUnauthorized: false,
            ALPNProtocols: ['istio'],
          })
        : net.connect({ port, host: '127.0.0.1' });
    await new Promise((resolve, reject) => {
      socket.once(kind === 'mtls' ? 'secureConnect' : 'connect', resolve).once('error', reject);
    });
    return socket;
  };

  /** Begins a transfer, waits until its writer is held back where that is requested, then reads it all. */
  const transfer = async (kind: Kind, way: Way, megabytes: number, held?: (sent: number) => void) => {
    const socket = await connect(kind);
    const done = ask(app, socket, kind, way, megabytes);
    done.catch(() => {});
    const { current } = app;
    await until('the transfer begins', () => current.source && current.reader);
    if (held) held(await standsStill(current));
    current.reader!.go();
    await Promise.race([done, moving(current, `${runtime} ${kind} ${way}`)]);
    socket.destroy();
    expect(current.reader!.wrongAt).toBeUndefined();
  };

  /** The writer takes no more. @returns what it has written */
  const standsStill = async (current: Transfer): Promise<number> => {
    let before = -1;
    let since = Date.now();
    return until('the writer is held back', () => {
      const { sent } = current.source!;
      if (sent !== before) [before, since] = [sent, Date.now()];
      return Date.now() - since > STILL_MS && sent;
    });
  };

  /** Tells how far a transfer has come; rejects when it stands still. */
  const moving = (current: Transfer, name: string): Promise<never> =>
    new Promise((_, reject) => {
      let [last, at, reported] = [0, Date.now(), Date.now()];
      const timer = setInterval(() => {
        const now = Date.now();
        const { received, whole } = current.reader!;
        if (received !== last) [last, at] = [received, now];
        if (now - reported > PROGRESS_MS) {
          reported = now;
          process.stderr.write(`${name}: ${Math.round(received / MB)} of ${BULK_MB} MB\n`);
        }
        if (!whole && now - at < STALL_MS) return;
        clearInterval(timer);
        if (!whole) reject(new Error(`${name}: stands still at ${received} bytes`));
      }, 250);
    });

  it.each(KINDS.flatMap((kind) => [[kind, 'down'] as const, [kind, 'up'] as const]))(
    '%s, %s',
    async (kind, way) => {
      await transfer(kind, way, WARM_UP_MB);
      const idle = resident();
      let highest = idle;
      const sampler = setInterval(() => (highest = Math.max(highest, resident())), SAMPLE_MS);
      try {
        const began = Date.now();
        let inBetween = 0;
        await transfer(kind, way, BULK_MB, (sent) => (inBetween = sent));
        const rate = BULK_MB / ((Date.now() - began) / 1000);
        console.info(
          `${runtime} ${kind} ${way}: held back at ${(inBetween / MB).toFixed(1)} MB; resident idle ${(idle / MB).toFixed(1)} MB, ` +
            `highest +${((highest - idle) / MB).toFixed(1)} MB; ${rate.toFixed(0)} MB/s`,
        );
        expect(inBetween).toBeLessThan(IN_BETWEEN);
      } finally {
        clearInterval(sampler);
      }
      expect(highest - idle).toBeLessThan(MEMORY);
    },
    LIMIT,
  );
});
