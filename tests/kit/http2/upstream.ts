/** A raw HTTP/2 upstream: hands every request to a script that sends exactly the frames it wants. */
import { createServer, type Socket } from 'node:net';
import { listening } from '../upstream.ts';
import { WIDE, widenConnection } from './client.ts';
import { SETTING, type Settings, settings } from './frames.ts';
import type { Field } from './hpack.ts';
import { type Event, Http2Peer } from './peer.ts';

export interface UpstreamRequest {
  readonly peer: Http2Peer;
  readonly stream: number;
  readonly fields: readonly Field[];
}

export interface Http2Upstream {
  readonly port: number;
  /** Of connections, in the order in which they were made. */
  readonly peers: readonly Http2Peer[];
  stop(): void;
}

const TUNNELLING: Settings = [...WIDE.filter(([id]) => id !== SETTING.push), [SETTING.connectProtocol, 1]];

/**
 * @param onRequest called with each request's head
 * @param own settings that are announced; default: the largest windows, and extended CONNECT
 */
export async function startHttp2Upstream(
  onRequest: (request: UpstreamRequest) => void,
  own: Settings = TUNNELLING,
): Promise<Http2Upstream> {
  const peers: Http2Peer[] = [];
  const server = createServer({ allowHalfOpen: true }, (socket: Socket) => {
    socket.setNoDelay(true);
    const peer = new Http2Peer(socket, { awaitsPreface: true });
    peers.push(peer);
    peer.send(settings(own), widenConnection());
    const seen = new Set<number>();
    let read = 0;
    // Registered behind the peer's own listener: the events of these bytes are there.
    socket.on('data', () => {
      for (; read < peer.events.length; read++) {
        const event: Event = peer.events[read]!;
        if (event.kind !== 'head' || seen.has(event.stream)) continue;
        seen.add(event.stream);
        onRequest({ peer, stream: event.stream, fields: event.fields });
      }
    });
  });
  const port = await listening(server);
  const stop = () => {
    server.close();
    for (const peer of peers) peer.destroy();
  };
  return { port, peers, stop };
}
