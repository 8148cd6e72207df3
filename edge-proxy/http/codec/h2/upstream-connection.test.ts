import { expect, it } from 'vitest';
import { HeaderMap } from '../../message/header-map.ts';
import type { ResponseSink, StreamReset } from '../../message/stream.ts';
import { memoryPair } from '../../testing/memory-network.ts';
import { FRAME, frame } from './frames.ts';
import { defaultHttp2Options } from './options.ts';
import { Http2UpstreamConnection } from './upstream-connection.ts';
import { UpstreamHttp2Stats } from './upstream-stats.ts';

const LAST_STREAM = 0x7fffffff;

const named = { method: 'GET', scheme: 'http', authority: 'h', path: '/' } as const;
const head = { ...named, upgrade: '', wantsContinue: false, bodySize: 0, version: 'HTTP/2' } as const;

const sinkOf = (name: string, events: string[]): ResponseSink => ({
  onHead() {},
  onInterim() {},
  onData() {},
  onTrailers() {},
  onWritable() {},
  onReset: ({ reason }: StreamReset) => void events.push(`${name}: ${reason}`),
  onInternalError: (error) => void events.push(`${name}: ${String(error)}`),
});

it('reports an exception of its own to every stream that it ends', () => {
  const [client] = memoryPair();
  const events: string[] = [];
  let fails = false;
  const connection = new Http2UpstreamConnection(client, defaultHttp2Options, {
    onCapacity() {
      if (fails) throw new Error('broken');
    },
    onClosed: () => void events.push('closed'),
  });
  for (const name of ['mirror', 'request'])
    connection.open(sinkOf(name, events)).head({ ...head, headers: new HeaderMap() }, false);
  fails = true;
  connection.onData(frame(FRAME.SETTINGS, 0, 0));
  const expected = ['mirror: Error: broken', 'request: Error: broken', 'closed'];
  expect(events).toEqual([...expected, 'mirror: protocol_error', 'request: protocol_error']);
});

it('takes no stream behind the last identifier, and closes once the last stream has ended', async () => {
  const [client] = memoryPair();
  const events: string[] = [];
  const connection: Http2UpstreamConnection = new Http2UpstreamConnection(client, defaultHttp2Options, {
    onCapacity: () => void events.push(`${connection.maxStreams} streams`),
    onClosed: () => void events.push('closed'),
  });
  connection['nextStream'] = LAST_STREAM;
  const open = (name: string) => connection.open(sinkOf(name, events));
  const [last, further] = [open('last'), open('further')];
  last.head({ ...head, headers: new HeaderMap() }, true);
  further.head({ ...head, headers: new HeaderMap() }, true);
  await Promise.resolve();
  expect(events).toEqual(['0 streams', 'further: refused_stream']);
  last.reset('local_reset');
  expect(events.at(-1)).toBe('closed');
});

it('counts for its cluster what its streams do, and what waits now', () => {
  const stats = new UpstreamHttp2Stats();
  expect(stats.unused).toBe(true);
  const made = () => {
    const [client] = memoryPair();
    return new Http2UpstreamConnection(client, defaultHttp2Options, { onCapacity() {}, onClosed() {}, http2: stats });
  };
  const [one, other] = [made(), made()];
  const open = (connection: Http2UpstreamConnection) => {
    const stream = connection.open(sinkOf('stream', []));
    stream.head({ ...head, headers: new HeaderMap() }, false);
    return stream;
  };
  open(one).data(new Uint8Array(65_535 + 1000), false);
  const reset = open(other);
  open(other);
  expect([stats.streamsActive, stats.pendingSendBytes]).toEqual([3, 1000]);
  reset.reset('local_reset');
  one.onReset(1, 8);
  const { tx_reset, rx_reset } = stats.counters;
  expect([tx_reset.value, rx_reset.value, stats.streamsActive, stats.pendingSendBytes]).toEqual([1, 1, 1, 0]);
  other.destroy();
  one.onClose();
  expect([stats.unused, stats.streamsActive]).toEqual([false, 0]);
});
