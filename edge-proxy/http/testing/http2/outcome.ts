/** What a connection of ours sends when its peer sends given bytes: the frames of both directions on a connection in memory. */
import type { ConnectionHandler } from '../../../runtime/runtime.ts';
import { concat } from '../../codec/bytes.ts';
import type { Http2Counters } from '../../codec/h2/counters.ts';
import { uncounted } from '../../codec/h2/counters.ts';
import { Http2DownstreamConnection, type Http2DownstreamOptions } from '../../codec/h2/downstream-connection.ts';
import { FLAG, FRAME } from '../../codec/h2/frames.ts';
import { defaultHttp2Options, type Http2Options } from '../../codec/h2/options.ts';
import { Http2UpstreamConnection } from '../../codec/h2/upstream-connection.ts';
import { HeaderMap } from '../../message/header-map.ts';
import type { DownstreamStream, ResponseSink } from '../../message/stream.ts';
import { memoryPair } from '../memory-network.ts';

export interface Outcome {
  /** The code of the last GOAWAY. */
  goaway: number | undefined;
  /** The last streams that GOAWAY frames named, in their order. */
  lastStreams: number[];
  /** `stream: code` of each RST_STREAM. */
  resets: Record<number, number>;
  /** Streams that this side has ended with END_STREAM. */
  ended: number[];
  /** Bytes of DATA, by stream. */
  data: Record<number, number>;
  /** Sum of the increments, by stream. */
  windows: Record<number, number>;
  /** Acknowledged. */
  pings: number;
  settingsAcks: number;
  closed: boolean;
  /** What reached the owner or the sinks. */
  events: string[];
  counters: Http2Counters;
}

/** The peer of a connection: gathers what comes. */
export class FramePeer implements ConnectionHandler {
  readonly outcome: Outcome = {
    goaway: undefined,
    lastStreams: [],
    resets: {},
    ended: [],
    data: {},
    windows: {},
    pings: 0,
    settingsAcks: 0,
    closed: false,
    events: [],
    counters: uncounted(),
  };
  private rest: Uint8Array = new Uint8Array(0);
  private skip: number;

  /** @param preface bytes that come before the first frame */
  constructor(preface: number) {
    this.skip = preface;
  }

  onData(bytes: Uint8Array): void {
    const skipped = Math.min(this.skip, bytes.length);
    this.skip -= skipped;
    this.rest = concat(this.rest, bytes.subarray(skipped));
    for (let length = this.frameLength; length > 0; length = this.frameLength) {
      this.take(this.rest.subarray(0, length));
      this.rest = this.rest.subarray(length);
    }
  }

  private get frameLength(): number {
    const { rest } = this;
    if (rest.length < 9) return 0;
    const length = 9 + rest[0]! * 65_536 + rest[1]! * 256 + rest[2]!;
    return rest.length >= length ? length : 0;
  }

  private take(frame: Uint8Array): void {
    const { outcome } = this;
    const word = (at: number) =>
      frame[at]! * 0x1000000 + frame[at + 1]! * 0x10000 + frame[at + 2]! * 0x100 + frame[at + 3]!;
    const [type, flags, stream] = [frame[3]!, frame[4]!, word(5)];
    const length = frame.length - 9;
    if (type === FRAME.RST_STREAM) outcome.resets[stream] = word(9);
    else if (type === FRAME.GOAWAY) {
      outcome.goaway = word(13);
      outcome.lastStreams.push(word(9));
    }
    if (type === FRAME.WINDOW_UPDATE) outcome.windows[stream] = (outcome.windows[stream] ?? 0) + word(9);
    else if (type === FRAME.PING && flags === FLAG.ACK) outcome.pings++;
    else if (type === FRAME.SETTINGS && flags === FLAG.ACK) outcome.settingsAcks++;
    else if (type === FRAME.DATA) outcome.data[stream] = (outcome.data[stream] ?? 0) + length;
    if ((type === FRAME.DATA || type === FRAME.HEADERS) && (flags & FLAG.END_STREAM) !== 0) outcome.ended.push(stream);
  }

  onDrain(): void {}

  onEnd(): void {
    this.outcome.closed = true;
  }

  onClose(): void {
    this.outcome.closed = true;
  }
}

const settled = (ms = 0) => new Promise((done) => void (ms > 0 ? setTimeout(done, ms) : setImmediate(done)));

const BODY = new Uint8Array(10);

export interface ServerBehaviour {
  readonly options?: Partial<Http2DownstreamOptions>;
  /** Requests are answered only with `answer`, else as soon as they are whole. */
  readonly waits?: boolean;
  /** Requests are paused as they come. */
  readonly pauses?: boolean;
  readonly body?: Uint8Array;
  /** Responses end with trailers. */
  readonly trailers?: boolean;
  /** The client reads nothing before it has sent everything. */
  readonly deaf?: boolean;
  /** Called before each piece. */
  readonly before?: (piece: number, connection: Http2DownstreamConnection) => void;
  /** How long what the server does at last is waited for, in milliseconds. */
  readonly lastMs?: number;
}

/** A server of ours, and what a client that sends these pieces sees. The server answers each request when it is whole. */
export async function serverOutcome(pieces: readonly Uint8Array[], behaviour: ServerBehaviour = {}): Promise<Outcome> {
  const { waits = false, pauses = false, body = BODY, trailers = false } = behaviour;
  const [client, server] = memoryPair();
  const peer = new FramePeer(0);
  client.handler = peer;
  const { events, counters } = peer.outcome;
  const answer = (stream: DownstreamStream) => {
    if (waits) return;
    const headers = new HeaderMap();
    stream.head({ status: 200, headers, bodySize: undefined, upgrade: '', version: 'HTTP/2' }, false);
    stream.data(body, !trailers);
    if (trailers) stream.trailers(new HeaderMap());
  };
  const options = {
    ...defaultHttp2Options,
    resetsStreamOnMalformed: true,
    delayedCloseMs: 1000,
    drainMs: 1000,
    counters,
    ...behaviour.options,
  };
  const connection = new Http2DownstreamConnection(server, options, {
    admitsFirstBytes: () => true,
    onRequest: (stream, head, end) => {
      events.push(`request ${head.method} ${head.path}`);
      if (pauses) stream.pause();
      if (end) answer(stream);
      return {
        onData: (bytes, last) => {
          events.push(`data ${bytes.length}`);
          if (last) answer(stream);
        },
        onTrailers: () => {
          events.push('trailers');
          answer(stream);
        },
        onWritable: () => void events.push('writable'),
        onReset: ({ reason, detail }) => void events.push(`reset ${reason} ${detail}`.trim()),
        onMalformed: () => void events.push('malformed'),
      };
    },
    onMalformed: ({ details }, stream) => {
      events.push(`malformed ${details}`);
      stream.reset('protocol_error');
    },
    onUnanswered: (details) => void events.push(`unanswered ${details}`),
    onInternalError: (error) => void events.push(`internal ${String(error)}`),
    onPartialHead: () => void events.push('partial head'),
    onPartialHeadOver: () => void events.push('partial head over'),
    endsConnection: () => false,
    onIdle: () => {},
    onClosing: () => {},
    onClosed: () => {},
  });
  if (behaviour.deaf) client.pause();
  for (let i = 0; i < pieces.length; i++) {
    behaviour.before?.(i, connection);
    client.write(pieces[i]!);
    await settled();
  }
  client.resume();
  await settled(behaviour.lastMs);
  connection.destroy();
  return peer.outcome;
}

export interface ClientBehaviour {
  readonly options?: Partial<Http2Options>;
  /** Requests that are under way. */
  readonly streams?: number;
  /** Responses are paused from the first. */
  readonly pauses?: boolean;
}

/** A client of ours, and what a server that sends these pieces sees. */
export async function clientOutcome(
  pieces: readonly Uint8Array[],
  { streams = 1, pauses = false, options: over = {} }: ClientBehaviour = {},
): Promise<Outcome> {
  const [client, server] = memoryPair();
  const peer = new FramePeer(24);
  server.handler = peer;
  const { events, counters } = peer.outcome;
  const options = { ...defaultHttp2Options, resetsStreamOnMalformed: true, counters, ...over };
  const connection = new Http2UpstreamConnection(client, options, {
    onCapacity: () => {},
    onClosed: () => void events.push('closed'),
  });
  for (let i = 0; i < streams; i++) ask(connection, 2 * i + 1, events, pauses);
  for (const piece of pieces) {
    server.write(piece);
    await settled();
  }
  await settled();
  events.push(`streams ${connection.streams} of ${connection.maxStreams}`);
  connection.destroy();
  return peer.outcome;
}

function ask(connection: Http2UpstreamConnection, id: number, events: string[], pauses: boolean): void {
  const sink: ResponseSink = {
    onHead: ({ status }, end) => void events.push(`${id}: ${status}${end ? ' end' : ''}`),
    onInterim: ({ status }) => void events.push(`${id}: interim ${status}`),
    onData: (bytes, end) => void events.push(`${id}: data ${bytes.length}${end ? ' end' : ''}`),
    onTrailers: (trailers) => void events.push(`${id}: trailers ${trailers.keys}`),
    onWritable: () => void events.push(`${id}: writable`),
    onReset: ({ reason, sent }) => void events.push(`${id}: ${reason} sent ${sent}`),
    onInternalError: (error) => void events.push(`${id}: internal ${String(error)}`),
  };
  const head = { method: 'GET', scheme: 'http', authority: 'h', path: '/', upgrade: '', wantsContinue: false } as const;
  const stream = connection.open(sink);
  stream.head({ ...head, headers: new HeaderMap(), bodySize: 0, version: 'HTTP/2' }, true);
  if (pauses) stream.pause();
}
