/**
 * A slow reader of one HTTP/2 stream neither grows the proxy's memory nor stops the other streams of its connection, both
 * ways, on every runtime. `TULLE_BULK_MB=1024 npm test -- tests/proxy/backpressure-http2` moves a gigabyte each time.
 */
import { readFileSync } from 'node:fs';
import http2 from 'node:http2';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RUNTIMES, temporaryFolder } from '../kit/environment.ts';
import { ProxyProcess } from '../kit/proxy.ts';
import { until } from '../kit/waiting.ts';
import { ANY, cluster, hcm, listener } from './bootstrap.ts';

const MB = 1024 * 1024;
const BULK_MB = Number(process.env['TULLE_BULK_MB'] ?? 48);
/** What may lie between a writer and a reader that reads nothing: the windows and queues of two hops. Measured: 0.4 MB. */
const IN_BETWEEN = MB;
/**
 * Limit on the proxy's resident memory above its idle value, for a transfer of any size: receive windows that have grown,
 * and garbage that is not yet collected. Measured with a gigabyte: at most 2 MB on Node, 2 MB on Deno, 6 MB on Bun.
 */
const MEMORY = 32 * MB;
const WARM_UP_MB = 16;
/** A writer that has written nothing for so long is held back. */
const STILL_MS = 500;
const SAMPLE_MS = 20;
const LIMIT = 180_000 + BULK_MB * 2000;
const CHUNK = Buffer.alloc(64 * 1024, 'x');
/** Large, so that the streams of a connection wait for each other neither at the client nor at the server. */
const CONNECTION_WINDOW = 64 * MB;

const overHttp2 = {
  typed_extension_protocol_options: {
    'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
      '@type': `${ANY}envoy.extensions.upstreams.http.v3.HttpProtocolOptions`,
      explicit_http_config: { http2_protocol_options: {} },
    },
  },
};
/** No time of a route ends a transfer. */
const patient = () => {
  const manager = hcm('two');
  const [host] = manager.typed_config.route_config.virtual_hosts;
  Object.assign(host!.routes[0]!.route, { timeout: '0s' });
  return manager;
};

/** Bytes of the present transfer. */
interface Transfer {
  sent: number;
  received: number;
}

/** Writes so many bytes as fast as the stream takes them. */
function pour(into: http2.Http2Stream, bytes: number, transfer: Transfer): void {
  const more = () => {
    while (transfer.sent < bytes) {
      transfer.sent += CHUNK.length;
      if (!into.write(CHUNK)) return;
    }
    into.end();
  };
  into.on('drain', more);
  more();
}

describe.each(RUNTIMES)('a slow reader of one stream on %s', (runtime) => {
  const folder = temporaryFolder();
  const server = http2.createServer();
  const sessions: http2.ServerHttp2Session[] = [];
  let proxy: ProxyProcess;
  let client: http2.ClientHttp2Session;
  let transfer: Transfer = { sent: 0, received: 0 };
  let bytes = 0;
  /** Lets the server read an upload. */
  let readUpload = () => {};

  beforeAll(async () => {
    server.on('session', (session) => {
      sessions.push(session);
      session.setLocalWindowSize(CONNECTION_WINDOW);
    });
    server.on('stream', (stream, headers) => {
      stream.on('error', () => {});
      const path = headers[':path'];
      if (path === '/down') {
        // For a request that is not read, node:http2 sends RST_STREAM once all data is written; where the window is used up,
        // that is before END_STREAM.
        stream.resume();
        stream.respond({ ':status': 200 });
        pour(stream, bytes, transfer);
      } else if (path === '/up') {
        readUpload = () => {
          stream.on('data', (chunk: Buffer) => {
            transfer.received += chunk.length;
          });
          stream.on('end', () => {
            stream.respond({ ':status': 200 });
            stream.end(String(transfer.received));
          });
        };
      } else {
        stream.respond({ ':status': 200 });
        stream.end('small');
      }
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    proxy = new ProxyProcess(runtime, join(folder.path, 'proxy.json'), {
      static_resources: {
        listeners: [listener('http', [patient()])],
        clusters: [{ ...cluster('two', port), ...overHttp2 }],
      },
    });
    await proxy.ready();
    client = http2.connect(`http://127.0.0.1:${proxy.ports['http']}`);
    client.on('error', () => {});
    await new Promise((resolve) => client.once('connect', resolve));
    client.setLocalWindowSize(CONNECTION_WINDOW);
  });
  afterAll(async () => {
    client?.destroy();
    for (const session of sessions) session.destroy();
    server.close();
    await proxy?.stop('SIGKILL');
    folder.dispose();
  });

  const resident = () =>
    Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${proxy.process.pid}/status`, 'latin1'))![1]) * 1024;

  const small = async (): Promise<string> => {
    const stream = client.request({ ':path': '/small' });
    let text = '';
    for await (const chunk of stream) text += String(chunk);
    return text;
  };

  const standsStill = async (): Promise<void> => {
    let [before, since] = [-1, Date.now()];
    await until('the writer is held back', () => {
      if (transfer.sent !== before) [before, since] = [transfer.sent, Date.now()];
      return transfer.sent > 0 && Date.now() - since > STILL_MS;
    });
  };

  /** One transfer: the writer is held back, others pass, then all of it is read. @returns bytes that lay in between */
  const move = async (way: 'down' | 'up', megabytes: number): Promise<number> => {
    bytes = megabytes * MB;
    transfer = { sent: 0, received: 0 };
    readUpload = () => {};
    const stream = client.request({ ':path': `/${way}`, ':method': way === 'up' ? 'POST' : 'GET' });
    const whole = new Promise<void>((resolve, reject) => {
      stream.on('close', resolve);
      stream.on('error', reject);
    });
    whole.catch(() => {});
    if (way === 'up') pour(stream, bytes, transfer);
    await standsStill();
    const inBetween = transfer.sent;
    const others = await Promise.all(Array.from({ length: 20 }, small));
    expect(others).toEqual(Array.from({ length: 20 }, () => 'small'));
    if (way === 'up') {
      readUpload();
      stream.resume();
    } else {
      stream.on('data', (chunk: Buffer) => {
        transfer.received += chunk.length;
      });
    }
    await whole;
    expect(transfer.received).toBe(bytes);
    return inBetween;
  };

  it.each(['down', 'up'] as const)(
    '%s: holds its writer back, and stops no other',
    async (way) => {
      await move(way, WARM_UP_MB);
      const idle = resident();
      let highest = idle;
      const sampler = setInterval(() => {
        highest = Math.max(highest, resident());
      }, SAMPLE_MS);
      let inBetween: number;
      const began = Date.now();
      try {
        inBetween = await move(way, BULK_MB);
      } finally {
        clearInterval(sampler);
      }
      console.info(
        `${runtime} HTTP/2 ${way}: held back at ${(inBetween / MB).toFixed(1)} MB; resident idle ${(idle / MB).toFixed(1)} MB, ` +
          `highest +${((highest - idle) / MB).toFixed(1)} MB; ${(BULK_MB / ((Date.now() - began) / 1000)).toFixed(0)} MB/s`,
      );
      expect(inBetween).toBeLessThan(IN_BETWEEN);
      expect(highest - idle).toBeLessThan(MEMORY);
    },
    LIMIT,
  );
});
