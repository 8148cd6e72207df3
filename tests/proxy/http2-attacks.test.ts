/**
 * HTTP/2 clients that attack a proxy process on every runtime: their connection ends with the right code and is counted, memory and
 * CPU stay bounded, and a well-behaved connection beside it is answered all the time.
 */
import http2 from 'node:http2';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cpuOf, residentOf } from '../bench/process-stats.ts';
import { LINUX, RUNTIMES, temporaryFolder } from '../kit/environment.ts';
import { connectHttp2, type Http2Client } from '../kit/http2/client.ts';
import {
  CODE,
  continuation,
  data,
  FLAG,
  frame,
  headers,
  headersBegin,
  ping,
  priority,
  reset,
  SETTING,
  type Settings,
  settings,
  TYPE,
  windowUpdate,
} from '../kit/http2/frames.ts';
import { type Field, indexed, indexedLiteral, literals } from '../kit/http2/hpack.ts';
import { ProxyProcess } from '../kit/proxy.ts';
import { closeServers, listening } from '../kit/upstream.ts';
import { until } from '../kit/waiting.ts';
import { ANY, cluster, hcm, listener } from './bootstrap.ts';

const get = (path = '/'): Field[] => [
  [':method', 'GET'],
  [':scheme', 'http'],
  [':authority', 'a.test'],
  [':path', path],
];
const LARGE = 256 * 1024;

interface Attack {
  readonly name: string;
  /** The n-th batch of frames. */
  readonly batch: (n: number) => readonly Uint8Array[];
  /** At most so many. */
  readonly batches: number;
  readonly settings?: Settings;
  /** The attacker reads nothing meanwhile. */
  readonly deaf?: boolean;
  /** How its connection ends; undefined: the attacker keeps it, its streams are ended. */
  readonly code?: number;
  /** What counts it, of `http2.…`. */
  readonly counter: string;
}

const some = (count: number, make: (i: number) => Uint8Array | readonly Uint8Array[]) =>
  Array.from({ length: count }, (_, i) => make(i)).flat() as Uint8Array[];
/** The stream of the i-th of a hundred requests of a batch. */
const stream = (n: number, i: number) => 2 * (100 * n + i) + 1;
const opened = (n: number) => (n === 0 ? [headers(1, get('/silent'), false)] : []);
const bomb = Buffer.concat([literals(get()), ...Array.from({ length: 12_000 }, () => indexed(62))]);

const ATTACKS: readonly Attack[] = [
  {
    name: 'rapid reset',
    batch: (n) => some(100, (i) => [headers(stream(n, i), get('/silent'), true), reset(stream(n, i), CODE.cancel)]),
    batches: 500,
    code: CODE.calm,
    counter: 'early_ends_flood',
  },
  {
    name: 'made-you-reset by WINDOW_UPDATE of 0',
    batch: (n) => some(100, (i) => [headers(stream(n, i), get('/silent')), windowUpdate(stream(n, i), 0)]),
    batches: 500,
    code: CODE.calm,
    counter: 'early_ends_flood',
  },
  {
    name: 'made-you-reset by data that content-length does not announce',
    batch: (n) =>
      some(100, (i) => [
        headers(stream(n, i), [...get('/silent'), ['content-length', '1']]),
        data(stream(n, i), 'abc'),
      ]),
    batches: 500,
    code: CODE.calm,
    counter: 'early_ends_flood',
  },
  {
    name: 'CONTINUATION flood',
    batch: (n) => [
      ...(n === 0 ? [headersBegin(1, literals(get()))] : []),
      ...some(1000, () => continuation(1, literals([['x', 'y']]), false)),
    ],
    batches: 200,
    code: CODE.calm,
    counter: 'inbound_continuation_frames_flood',
  },
  {
    name: 'SETTINGS flood',
    batch: () => some(1000, () => settings([[SETTING.window, 65_535]])),
    batches: 200,
    deaf: true,
    code: CODE.calm,
    counter: 'outbound_control_flood',
  },
  {
    name: 'PING flood',
    batch: () => some(1000, () => ping()),
    // More acknowledgements than the 4 MiB that the kernel's send buffer grows to, where the attacker reads none.
    batches: 1000,
    deaf: true,
    code: CODE.calm,
    counter: 'outbound_control_flood',
  },
  {
    name: 'PRIORITY flood',
    batch: () => some(1000, () => priority(1, 0)),
    batches: 200,
    code: CODE.calm,
    counter: 'inbound_priority_frames_flood',
  },
  {
    name: 'empty DATA frames',
    batch: (n) => [...opened(n), ...some(1000, () => data(1, ''))],
    batches: 200,
    code: CODE.calm,
    counter: 'inbound_empty_frames_flood',
  },
  {
    name: 'WINDOW_UPDATE flood',
    batch: (n) => [...opened(n), ...some(1000, () => windowUpdate(1, 1))],
    batches: 200,
    code: CODE.calm,
    counter: 'inbound_window_update_frames_flood',
  },
  {
    name: 'HPACK bomb',
    batch: (n) => [
      frame(
        TYPE.headers,
        FLAG.endHeaders | FLAG.end,
        2 * n + 1,
        n === 0 ? Buffer.concat([literals(get()), indexedLiteral(['x-bomb', 'x'.repeat(4000)])]) : bomb,
      ),
    ],
    batches: 150,
    counter: 'header_overflow',
  },
  {
    name: 'cookies of one byte',
    batch: (n) => [headers(2 * n + 1, [...get(), ...some1500(['cookie', 'a'])], true)],
    batches: 150,
    counter: 'header_overflow',
  },
  {
    name: 'Host again and again',
    batch: (n) => [headers(2 * n + 1, [...get(), ...some1500(['host', 'a'])], true)],
    batches: 150,
    code: CODE.protocol,
    counter: 'rx_messaging_error',
  },
  {
    name: 'windows that stay closed',
    batch: (n) => some(10, (i) => headers(stream(n, i), get('/large'), true)),
    batches: 10,
    settings: [[SETTING.window, 0]],
    counter: 'tx_flush_timeout',
  },
];

/** A head as large as one frame takes. */
function some1500(field: Field): Field[] {
  return Array.from({ length: 1500 }, () => field);
}

describe.skipIf(!LINUX).each(RUNTIMES)('HTTP/2 attacks on a proxy on %s', (runtime) => {
  const folder = temporaryFolder();
  let app: http2.Http2Server;
  let proxy: ProxyProcess;
  let innocent: Http2Client;
  let next = 1;

  const counted = async (name: string): Promise<number> => {
    const { body } = await proxy.admin(`/stats?filter=^http2\\.${name}$`);
    return Number(/: (\d+)\n$/.exec(body)?.[1] ?? 'NaN');
  };
  /** The well-behaved client's next request. @throws when it is not answered in time */
  const answered = async (): Promise<void> => {
    const own = next;
    next += 2;
    innocent.send(headers(own, get(), true));
    await innocent.until('the answer', () => innocent.ended(own), 10_000);
    expect(innocent.first('head', own)?.fields[0]).toEqual([':status', '200']);
  };

  beforeAll(async () => {
    app = http2.createServer();
    app.on('sessionError', () => {});
    app.on('stream', (one, head) => {
      one.on('error', () => {});
      if (head[':path'] === '/silent') return;
      one.respond({ ':status': 200 });
      one.end(head[':path'] === '/large' ? Buffer.alloc(LARGE) : 'app');
    });
    const filter = hcm('app');
    const options = `${ANY}envoy.extensions.upstreams.http.v3.HttpProtocolOptions`;
    proxy = new ProxyProcess(runtime, join(folder.path, 'proxy.json'), {
      static_resources: {
        listeners: [
          listener('web', [{ ...filter, typed_config: { ...filter.typed_config, stream_idle_timeout: '2s' } }]),
        ],
        clusters: [
          {
            ...cluster('app', await listening(app)),
            circuit_breakers: { thresholds: [{ max_requests: 100_000 }] },
            typed_extension_protocol_options: {
              'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
                '@type': options,
                explicit_http_config: { http2_protocol_options: {} },
              },
            },
          },
        ],
      },
    });
    await proxy.ready();
    innocent = await connectHttp2(proxy.ports['web']!);
    await answered();
  });
  afterAll(async () => {
    innocent?.destroy();
    await proxy?.stop();
    closeServers(app);
    folder.dispose();
  });

  it.each(ATTACKS)('$name', async (attack) => {
    const pid = proxy.process.pid!;
    const before = { counted: await counted(attack.counter), memory: residentOf(pid), cpu: cpuOf(pid) };
    const attacker = await connectHttp2(proxy.ports['web']!, { ...(attack.settings && { settings: attack.settings }) });
    if (attack.deaf) attacker.socket.pause();
    let most = 0;
    for (let n = 0; n < attack.batches && !attacker.closed; n++) {
      if (attacker.events.some(({ kind }) => kind === 'goaway')) break;
      attacker.send(...attack.batch(n));
      if (n % 10 === 0) {
        await answered();
        most = Math.max(most, residentOf(pid));
      }
      // What the kernel takes no more of is not sent: a proxy that has stopped reading has ended the attack.
      if (attacker.socket.writableNeedDrain) await writable(attacker);
    }
    attacker.socket.resume();
    if (attack.code !== undefined) {
      await attacker.until('the proxy ends the connection', () => attacker.closed);
      // The kernel drops a GOAWAY that was not read when frames sent later reset the connection; the counter below gives the reason.
      expect(attacker.first('goaway')?.code ?? attack.code).toBe(attack.code);
    }
    await until('it is counted', async () => (await counted(attack.counter)) > before.counted);
    await answered();
    attacker.destroy();
    most = Math.max(most, residentOf(pid));
    expect((most - before.memory) / 2 ** 20, 'MB').toBeLessThan(64);
    expect((cpuOf(pid) - before.cpu) / 1e6, 's of CPU').toBeLessThan(10);
  });
});

/** Waits until more can be written, the connection has closed, or a second is over. */
function writable({ socket }: Http2Client): Promise<void> {
  return new Promise((done) => {
    const timer = setTimeout(done, 1000);
    const finish = () => {
      clearTimeout(timer);
      done();
    };
    socket.once('drain', finish).once('close', finish);
  });
}
