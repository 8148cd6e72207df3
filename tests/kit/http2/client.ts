/** A raw HTTP/2 client: connects, announces its settings, then sends what a test says. */
import { connect, type Socket } from 'node:net';
import { PREFACE, SETTING, type Settings, settings, windowUpdate } from './frames.ts';
import { Http2Peer, type PeerOptions } from './peer.ts';

const LARGEST_WINDOW = 2 ** 31 - 1;
/** Windows so large that tests need not open them again. */
export const WIDE: Settings = [
  [SETTING.push, 0],
  [SETTING.window, LARGEST_WINDOW],
];
export const widenConnection = (): Buffer => windowUpdate(0, LARGEST_WINDOW - 65_535);

export interface ClientOptions extends PeerOptions {
  /** Default: the largest windows. */
  readonly settings?: Settings;
  /** Instead of preface, SETTINGS and the connection's WINDOW_UPDATE. */
  readonly opening?: Uint8Array;
}

export interface Http2Client extends Http2Peer {
  readonly localPort: number;
}

/** h2c with prior knowledge. @throws when the connection is refused */
export async function connectHttp2(port: number, options: ClientOptions = {}): Promise<Http2Client> {
  const socket: Socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  socket.setNoDelay(true);
  await new Promise<void>((done, fail) => socket.once('connect', done).once('error', fail));
  const { settings: own = WIDE, opening = Buffer.concat([PREFACE, settings(own), widenConnection()]) } = options;
  const client = Object.assign(new Http2Peer(socket, options), { localPort: socket.localPort! });
  client.send(opening);
  return client;
}
