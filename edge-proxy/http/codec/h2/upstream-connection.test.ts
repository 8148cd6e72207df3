import { expect, it } from 'vitest';
import { HeaderMap } from '../../message/header-map.ts';
import type { ResponseSink, StreamReset } from '../../message/stream.ts';
import { memoryPair } from '../../testing/memory-network.ts';
import { defaultHttp2Options } from './options.ts';
import { Http2UpstreamConnection } from './upstream-connection.ts';

const LAST_STREAM = 0x7fffffff;

it('takes no stream behind the last identifier, and closes once the last stream has ended', async () => {
  const [client] = memoryPair();
  const events: string[] = [];
  const connection: Http2UpstreamConnection = new Http2UpstreamConnection(client, defaultHttp2Options, {
    onCapacity: () => void events.push(`${connection.maxStreams} streams`),
    onClosed: () => void events.push('closed'),
  });
  connection['nextStream'] = LAST_STREAM;
  const open = (name: string) => {
    const sink: ResponseSink = {
      onHead() {},
      onInterim() {},
      onData() {},
      onTrailers() {},
      onWritable() {},
      onReset: ({ reason }: StreamReset) => void events.push(`${name}: ${reason}`),
      onInternalError: (error) => void events.push(String(error)),
    };
    return connection.open(sink);
  };
  const named = { method: 'GET', scheme: 'http', authority: 'h', path: '/' } as const;
  const head = { ...named, upgrade: '', wantsContinue: false, bodySize: 0, version: 'HTTP/2' } as const;
  const [last, further] = [open('last'), open('further')];
  last.head({ ...head, headers: new HeaderMap() }, true);
  further.head({ ...head, headers: new HeaderMap() }, true);
  await Promise.resolve();
  expect(events).toEqual(['0 streams', 'further: refused_stream']);
  last.reset('local_reset');
  expect(events.at(-1)).toBe('closed');
});
