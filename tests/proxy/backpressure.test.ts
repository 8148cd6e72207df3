/**
 * A slow reader never grows the proxy's memory: HTTP both directions and byte streams, on every runtime.
 * `TULLE_BULK_MB=1024 npm test -- tests/proxy/backpressure` moves a gigabyte each way.
 */
import http from 'node:http';
import net from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RUNTIMES, UPSTREAM, until } from '../harness.ts';
import { cluster, hcm, listener, tcp } from './bootstrap.ts';
import { DrivenProxy } from './driven.ts';
import { listening } from './proxy-process.ts';

const MB = 1024 * 1024;
const BULK = Number(process.env['TULLE_BULK_MB'] ?? 96) * MB;
/** What may lie between a writer and a reader that reads nothing: the proxy's buffers and the kernel's, on four sockets. */
const IN_BETWEEN = 64 * MB;
/** Above the idle proxy: what is garbage until the runtime collects it is in it. */
const MEMORY = 64 * MB;
const WARM_UP = 48 * MB;
const LIMIT = 60_000 + BULK / 2000;
const chunk = Buffer.alloc(256 * 1024, 'tulle');

/** Writes BULK bytes as fast as they are taken. */
class Source {
  sent = 0;
  private readonly size: number;
  private readonly to: {
    write(bytes: Buffer): boolean;
    once(event: 'drain', then: () => void): unknown;
    end(): unknown;
  };

  constructor(to: Source['to'], size = BULK) {
    this.to = to;
    this.size = size;
    this.run();
  }

  private run(): void {
    while (this.sent < this.size) {
      const bytes = this.sent + chunk.length > this.size ? chunk.subarray(0, this.size - this.sent) : chunk;
      this.sent += bytes.length;
      if (this.to.write(bytes)) continue;
      this.to.once('drain', () => this.run());
      return;
    }
    this.to.end();
  }
}

describe.each(RUNTIMES)('a slow reader on %s', (runtime) => {
  let proxy: DrivenProxy;
  let app: http.Server;
  let sink: net.Server;
  let ports: Record<string, number>;
  /** What the application sends, and the request or stream it reads slowly. */
  let source: Source | undefined;
  let reading: { received: number; resume(): void } | undefined;
  let highest = 0;
  let idle = 0;

  const slowly = (stream: NodeJS.ReadableStream & { pause(): unknown; resume(): unknown }, done?: () => void) => {
    const reader = { received: 0, resume: () => void stream.resume() };
    stream.on('data', (bytes: Buffer) => (reader.received += bytes.length));
    stream.on('end', () => done?.());
    stream.pause();
    return reader;
  };
  const watch = async () => {
    highest = Math.max(highest, (await proxy.ask()).rss);
  };
  /** The writer stands still: nothing more is taken. */
  const stalled = async (writer: () => number) => {
    let before = -1;
    await until('the writer is held back', async () => {
      await watch();
      const now = writer();
      const still = now === before && now > 0;
      before = now;
      if (!still) await new Promise((resolve) => setTimeout(resolve, 300));
      return still;
    });
  };
  const whole = (reader: { received: number }) =>
    until(
      'all has arrived',
      async () => {
        await watch();
        return reader.received === BULK;
      },
      LIMIT,
    );

  beforeAll(async () => {
    app = http.createServer(UPSTREAM, (request, response) => {
      response.on('error', () => {});
      if (request.method === 'GET') source = new Source(response, request.url === '/warm' ? WARM_UP : BULK);
      else reading = slowly(request, () => response.end('taken'));
    });
    sink = net.createServer({ allowHalfOpen: true }, (socket) => {
      socket.on('error', () => {});
      socket.once('data', (bytes) => {
        if (bytes.toString('latin1', 0, 4) === 'send') source = new Source(socket);
        else {
          reading = slowly(socket, () => socket.end());
          reading.received += bytes.length;
        }
      });
    });
    proxy = new DrivenProxy(runtime, 1000);
    ({ ports } = await proxy.apply({
      clusters: { upsert: [cluster('app', await listening(app)), cluster('sink', await listening(sink))], remove: [] },
      listeners: { upsert: [listener('web', [hcm('app')]), listener('raw', [tcp('sink')])], remove: [] },
    }));
    // A first transfer each way, so that code is compiled and buffers have their size.
    for (let round = 0; round < 4; round++) {
      await download(() => {});
      // What the runtime keeps for itself once it has worked, not what it happens to have given back.
      idle = Math.max(idle, (await proxy.ask()).rss);
    }
  });

  afterAll(() => {
    proxy?.end();
    app.closeAllConnections();
    app.close();
    sink.close();
  });

  const download = (paused: (reader: ReturnType<typeof slowly>) => void) =>
    new Promise<void>((resolve, reject) => {
      const asked = http.get({ port: ports['web'], host: '127.0.0.1', path: '/warm', agent: false }, (response) => {
        const reader = slowly(response, resolve);
        paused(reader);
        reader.resume();
      });
      asked.on('error', reject);
    });

  it(
    'of a response',
    async () => {
      highest = 0;
      const response = await new Promise<http.IncomingMessage>((resolve) =>
        http.get({ port: ports['web'], host: '127.0.0.1', agent: false }, resolve),
      );
      const reader = slowly(response);
      await stalled(() => source!.sent);
      expect(source!.sent).toBeLessThan(IN_BETWEEN);
      reader.resume();
      await whole(reader);
      console.info(`${runtime}: idle ${(idle / MB).toFixed(1)} MB, highest ${(highest / MB).toFixed(1)} MB`);
      expect(highest - idle).toBeLessThan(MEMORY);
    },
    LIMIT,
  );

  it(
    'of a request',
    async () => {
      highest = 0;
      reading = undefined;
      const asked = http.request({ port: ports['web'], host: '127.0.0.1', method: 'POST', agent: false });
      const answered = new Promise<http.IncomingMessage>((resolve) => asked.on('response', resolve));
      const writer = new Source(asked);
      await stalled(() => writer.sent);
      expect(writer.sent).toBeLessThan(IN_BETWEEN);
      reading!.resume();
      await whole(reading!);
      expect((await answered).statusCode).toBe(200);
      console.info(`${runtime}: idle ${(idle / MB).toFixed(1)} MB, highest ${(highest / MB).toFixed(1)} MB`);
      expect(highest - idle).toBeLessThan(MEMORY);
    },
    LIMIT,
  );

  it(
    'of a byte stream, either way',
    async () => {
      highest = 0;
      const down = net.connect({ port: ports['raw']!, host: '127.0.0.1' }, () => down.write('send'));
      const reader = slowly(down);
      await until('the stream begins', () => source !== undefined && source.sent > 0);
      await stalled(() => source!.sent);
      expect(source!.sent).toBeLessThan(IN_BETWEEN);
      reader.resume();
      await whole(reader);
      down.destroy();
      reading = undefined;
      const up = net.connect({ port: ports['raw']!, host: '127.0.0.1' });
      up.on('error', () => {});
      const writer = new Source(up);
      await stalled(() => writer.sent);
      expect(writer.sent).toBeLessThan(IN_BETWEEN);
      reading!.resume();
      await whole(reading!);
      console.info(`${runtime}: idle ${(idle / MB).toFixed(1)} MB, highest ${(highest / MB).toFixed(1)} MB`);
      expect(highest - idle).toBeLessThan(MEMORY);
    },
    LIMIT,
  );
});
