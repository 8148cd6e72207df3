/** The upstreams of the comparison: they record what they are sent and follow the script of the case that `x-case` names. */
import { createServer, type Socket } from 'node:net';
import { FLAG, headers, TYPE } from '../../kit/http2/frames.ts';
import type { Field } from '../../kit/http2/hpack.ts';
import type { Http2Peer } from '../../kit/http2/peer.ts';
import { type Http2Upstream, startHttp2Upstream, type UpstreamRequest } from '../../kit/http2/upstream.ts';
import { listening } from '../../kit/upstream.ts';
import { type Case, ok, poll } from './case.ts';

/** One sending of a case's request to an upstream. */
export interface Attempt {
  /** From 1 on. */
  readonly number: number;
  readonly body: string;
  /** Both directions have ended, or the proxy gave it up. */
  readonly over: boolean;
  /** What two proxies must agree on. */
  outcome(): object;
}

/** Without the key that a proxy makes for a WebSocket that came by extended CONNECT. */
const sorted = (fields: readonly Field[]): Field[] =>
  fields.filter(([name]) => name !== 'sec-websocket-key').sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));

type GoAway = Extract<Http2Peer['events'][number], { kind: 'goaway' }>;

export class Http2Attempt implements Attempt {
  readonly number: number;
  readonly peer: Http2Peer;
  readonly stream: number;
  private readonly fields: readonly Field[];
  /** The proxy's settings are compared. */
  private readonly announced: boolean;
  private answered = false;

  constructor(number: number, { peer, stream, fields }: UpstreamRequest, announced: boolean) {
    this.announced = announced;
    this.number = number;
    this.peer = peer;
    this.stream = stream;
    this.fields = fields;
  }

  /** Sends frames; one that ends the stream is noted. */
  send(...frames: readonly Uint8Array[]): void {
    if (this.peer.closed) return;
    this.peer.send(...frames);
    for (const frame of frames) {
      const own = Buffer.from(frame).readUInt32BE(5) === this.stream;
      const type = frame[3]!;
      const carries = type === TYPE.data || type === TYPE.headers;
      if (own && (type === TYPE.rstStream || (carries && (frame[4]! & FLAG.end) !== 0))) this.answered = true;
    }
  }

  value(wanted: string): string | undefined {
    return this.fields.find(([name]) => name === wanted)?.[1];
  }

  /** The request has ended. */
  async whole(): Promise<void> {
    await this.peer.until('the request is whole', () => this.peer.ended(this.stream));
  }

  get body(): string {
    return this.own('data')
      .map(({ text }) => text)
      .join('');
  }

  get over(): boolean {
    const ended = this.peer.ended(this.stream);
    return this.peer.closed || this.own('reset').length > 0 || (ended && this.answered);
  }

  outcome(): object {
    const [, ...trailers] = this.own('head');
    const code = this.own('reset')[0]?.code;
    const wholly = [...this.own('head'), ...this.own('data')].some(({ end }) => end);
    const givenUp = code !== undefined || (this.peer.closed && !(wholly && this.answered));
    const tunnel = this.value(':method') === 'CONNECT' && this.answered;
    const fatal = this.peer.events.find((event) => event.kind === 'goaway' && event.code !== 0) as GoAway | undefined;
    return {
      fields: sorted(this.fields),
      body: this.body,
      ...(this.announced && { announced: this.peer.announced() }),
      ...(trailers.length > 0 && { trailers: trailers.map(({ fields }) => sorted(fields)) }),
      // Which side of a tunnel ends first, when both do, is chance.
      end: tunnel ? 'tunnel' : [...(wholly ? ['end'] : []), ...(givenUp ? ['given up'] : [])].join(', ') || 'open',
      ...(code !== undefined && { code }),
      ...(fatal && { goaway: fatal.code }),
    };
  }

  private own<Kind extends 'head' | 'data' | 'reset'>(kind: Kind) {
    type Own = Extract<Http2Peer['events'][number], { kind: Kind }>;
    return this.peer.events.filter(
      (event): event is Own => event.kind === kind && (event as { stream: number }).stream === this.stream,
    );
  }
}

export class Http1Attempt implements Attempt {
  readonly number: number;
  readonly socket: Socket;
  private readonly line: string;
  private readonly fields: readonly Field[];
  private received = '';
  private answered = false;
  private closed = false;

  constructor(number: number, socket: Socket, head: string) {
    this.number = number;
    this.socket = socket;
    const [line, ...fields] = head.split('\r\n');
    this.line = line!;
    this.fields = fields.map((field): Field => {
      const colon = field.indexOf(':');
      return [field.slice(0, colon).toLowerCase(), field.slice(colon + 1).trim()];
    });
    socket.on('close', () => {
      this.closed = true;
    });
  }

  take(text: string): void {
    this.received += text;
  }

  /** @param last ends the response. Default: true */
  write(text: string, last = true): void {
    this.answered ||= last;
    if (this.socket.writable) this.socket.write(text, 'latin1');
  }

  async whole(): Promise<void> {
    await poll('the request is whole', () => this.parsed() !== undefined || this.closed);
  }

  get body(): string {
    return this.parsed()?.body ?? this.received;
  }

  get over(): boolean {
    return this.closed || (this.parsed() !== undefined && this.answered);
  }

  outcome(): object {
    const parsed = this.parsed();
    return {
      ...{ line: this.line, fields: sorted(this.fields), body: this.body },
      ...(parsed?.trailers && { trailers: parsed.trailers }),
      end: parsed ? (this.answered || !this.closed ? 'end' : 'end, closed') : this.closed ? 'closed' : 'open',
    };
  }

  /** What came behind the head; undefined while it is not complete. */
  private parsed(): { body: string; trailers?: string } | undefined {
    const value = (wanted: string) => this.fields.find(([name]) => name === wanted)?.[1];
    if (value('upgrade') !== undefined || this.line.startsWith('CONNECT ')) return { body: this.received };
    if (value('transfer-encoding') === undefined) {
      const length = Number(value('content-length') ?? 0);
      return this.received.length >= length ? { body: this.received } : undefined;
    }
    return unchunked(this.received);
  }
}

function unchunked(text: string): { body: string; trailers?: string } | undefined {
  let body = '';
  for (let at = 0; ; ) {
    const line = text.indexOf('\r\n', at);
    if (line < 0) return undefined;
    const size = Number.parseInt(text.slice(at, line), 16);
    if (size === 0) {
      if (text.startsWith('\r\n', line + 2)) return { body };
      const end = text.indexOf('\r\n\r\n', line);
      return end < 0 ? undefined : { body, trailers: text.slice(line + 2, end) };
    }
    body += text.slice(line + 2, line + 2 + size);
    at = line + 4 + size;
  }
}

export interface Upstreams {
  readonly ports: { readonly two: number; readonly one: number };
  /** Attempts of a case from now on. */
  follow(given: Case): readonly Attempt[];
  stop(): void;
}

const compared = (given: Case | undefined) => given !== undefined && 'announced' in given && given.announced === true;

/** 200, without a body to HEAD. */
async function answerPlainly(attempt: Http2Attempt): Promise<void> {
  await attempt.whole();
  const [head, body] = ok(attempt.stream) as [Uint8Array, Uint8Array];
  if (attempt.value(':method') === 'HEAD') attempt.send(headers(attempt.stream, [[':status', '200']], true));
  else attempt.send(head, body);
}

const PLAIN_OK = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok';

export async function startUpstreams(): Promise<Upstreams> {
  const followed = new Map<string, { given: Case; attempts: Attempt[] }>();
  const of = (id: string | undefined) => (id === undefined ? undefined : followed.get(id));
  const run = (script: void | Promise<void>) => void Promise.resolve(script).catch(() => {});

  const two: Http2Upstream = await startHttp2Upstream((found) => {
    const own = of(found.fields.find(([name]) => name === 'x-case')?.[1]);
    const attempt = new Http2Attempt((own?.attempts.length ?? 0) + 1, found, compared(own?.given));
    own?.attempts.push(attempt);
    run(own?.given.two ? own.given.two(attempt) : answerPlainly(attempt));
  });

  const open = new Set<Socket>();
  const one = createServer({ allowHalfOpen: true }, (socket) => {
    open.add(socket.on('close', () => open.delete(socket)));
    socket.on('error', () => socket.destroy());
    socket.on('end', () => socket.end());
    let text = '';
    let attempt: Http1Attempt | undefined;
    socket.on('data', (bytes) => {
      if (attempt) {
        attempt.take(bytes.toString('latin1'));
        return;
      }
      text += bytes.toString('latin1');
      const end = text.indexOf('\r\n\r\n');
      if (end < 0) return;
      const head = text.slice(0, end);
      const own = of(/^x-case: *(.*)$/im.exec(head)?.[1]);
      const found = new Http1Attempt((own?.attempts.length ?? 0) + 1, socket, head);
      attempt = found;
      attempt.take(text.slice(end + 4));
      own?.attempts.push(found);
      run(own?.given.one ? own.given.one(found) : found.whole().then(() => found.write(PLAIN_OK)));
    });
  });
  const onePort = await listening(one);

  return {
    ports: { two: two.port, one: onePort },
    follow: (given) => {
      const attempts: Attempt[] = [];
      followed.set(given.id, { given, attempts });
      return attempts;
    },
    stop: () => {
      two.stop();
      one.close();
      for (const socket of open) socket.destroy();
    },
  };
}
