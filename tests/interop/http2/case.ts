/** A case of the HTTP/2 comparison: what a client and an upstream send, step by step. */

import type { Http2Client } from '../../kit/http2/client.ts';
import { data, headers, type Settings, trailers } from '../../kit/http2/frames.ts';
import type { Field } from '../../kit/http2/hpack.ts';
import type { Event } from '../../kit/http2/peer.ts';
import type { Json } from '../harness/bootstrap-parts.ts';
import type { Attempt, Http1Attempt, Http2Attempt } from './upstreams.ts';

export interface Scene {
  readonly client: Http2Client;
  /** What upstreams were sent of this case. */
  readonly attempts: readonly Attempt[];
}
export type Step = (scene: Scene) => void | Promise<void>;

interface Common {
  readonly id: string;
  readonly listener: string;
  /** What an HTTP/2 upstream does with each attempt. Default: 200 once the request is whole. */
  readonly two?: (attempt: Http2Attempt) => void | Promise<void>;
  /** The same of an HTTP/1.1 upstream. */
  readonly one?: (attempt: Http1Attempt) => void | Promise<void>;
}

/** Of an HTTP/2 client. */
export interface Http2Case extends Common {
  readonly steps: readonly Step[];
  /** Streams whose end is awaited behind the steps. Default: the first. */
  readonly awaits?: readonly number[];
  readonly settings?: Settings;
  /** Instead of preface and SETTINGS. */
  readonly opening?: Uint8Array;
  /** SETTINGS and the connection's window that the proxy announces are compared, to the client and to upstreams. */
  readonly announced?: boolean;
  /** The connection no longer acknowledges a PING behind its streams. */
  readonly silent?: boolean;
}

/** Of an HTTP/1.1 client. */
export interface Http1Case extends Common {
  readonly bytes: string;
  readonly methods: readonly string[];
}

export type Case = Http2Case | Http1Case;

export interface Theme {
  readonly listeners?: readonly Json[];
  readonly clusters?: (ports: Ports) => readonly Json[];
  readonly cases: readonly Case[];
}

/** The upstreams' ports; `dead` refuses. */
export interface Ports {
  readonly two: number;
  readonly one: number;
  readonly dead: number;
}

export interface Request {
  readonly method?: string | undefined;
  readonly scheme?: string | undefined;
  readonly authority?: string | undefined;
  readonly path?: string | undefined;
}

/** Fields of a request; a pseudo-header that is given as undefined is left out. */
export function request(own: Request, more: readonly Field[] = []): Field[] {
  const all: Request = { method: 'GET', scheme: 'http', authority: 'main.test', path: '/', ...own };
  const pseudo = Object.entries(all).filter((entry): entry is [string, string] => entry[1] !== undefined);
  return [...pseudo.map(([name, value]): Field => [`:${name}`, value]), ...more];
}

export const caseOf = (id: string): Field => ['x-case', id];

// Steps of the client.
export const send =
  (...frames: Uint8Array[]): Step =>
  ({ client }) =>
    client.send(...frames);
/** Waits for an event of a kind; of a stream where one is named. */
export const gets =
  (kind: Event['kind'], stream?: number): Step =>
  ({ client }) =>
    client.until(`${kind} of ${stream}`, () => client.closed || client.first(kind, stream) !== undefined);
export const ends =
  (stream: number): Step =>
  ({ client }) =>
    client.until(`the end of ${stream}`, () => client.ended(stream));
export const settles: Step = ({ client }) => client.settled();
export const closes: Step = ({ client }) => client.until('the proxy closes', () => client.closed);
export const leaves: Step = ({ client }) => client.destroy();
/** Waits until the upstream has seen so many attempts. */
export const arrives =
  (count = 1): Step =>
  async ({ attempts, client }) => {
    await poll(`${count} attempts`, () => attempts.length >= count || client.closed);
  };
/** Waits until an attempt has so much of a request's body. */
export const carries =
  (text: string, attempt = 0): Step =>
  ({ attempts, client }) =>
    poll(`the body "${text}"`, () => attempts[attempt]?.body.includes(text) === true || client.closed);
/** Waits until the proxy has given an attempt up or it is complete. */
export const settlesUpstream =
  (attempt = 0): Step =>
  ({ attempts }) =>
    poll('the attempt is over', () => attempts[attempt]?.over === true);

export async function poll(what: string, check: () => boolean, limitMs = 10_000): Promise<void> {
  const limit = Date.now() + limitMs;
  while (!check()) {
    if (Date.now() > limit) throw new Error(`not within ${limitMs} ms: ${what}`);
    await new Promise((again) => setTimeout(again, 5));
  }
}

export interface Message {
  readonly fields: readonly Field[];
  readonly body?: string;
  readonly trailers?: readonly Field[];
}

/** The frames of a whole request on a stream. */
export function whole(stream: number, { fields, body, trailers: last }: Message): Uint8Array[] {
  const bare = body === undefined && last === undefined;
  return [
    headers(stream, fields, bare),
    ...(body === undefined ? [] : [data(stream, body, last === undefined)]),
    ...(last ? [trailers(stream, last)] : []),
  ];
}

/** One request of a client on stream 1. */
export const asks = (id: string, listener: string, message: Message, more: Partial<Http2Case> = {}): Http2Case => ({
  ...{ id, listener },
  steps: [send(...whole(1, { ...message, fields: [...message.fields, caseOf(id)] }))],
  ...more,
});

/** One request of an HTTP/1.1 client. @param lines the request line and fields */
export const asksPlainly = (
  id: string,
  listener: string,
  lines: readonly string[],
  more: Partial<Http1Case> = {},
): Http1Case => ({
  ...{ id, listener },
  bytes: `${[...lines, `x-case: ${id}`].join('\r\n')}\r\n\r\n`,
  methods: [lines[0]!.slice(0, lines[0]!.indexOf(' '))],
  ...more,
});

/** A script of an HTTP/2 upstream: the frames, once the request is whole. */
export const answers =
  (frames: (stream: number) => readonly Uint8Array[]) =>
  async (attempt: Http2Attempt): Promise<void> => {
    await attempt.whole();
    attempt.send(...frames(attempt.stream));
  };
/** The same with the head alone there. */
export const answersAtOnce =
  (frames: (stream: number) => readonly Uint8Array[]) =>
  (attempt: Http2Attempt): void =>
    attempt.send(...frames(attempt.stream));
/** A script of an HTTP/1.1 upstream: the bytes, once the request is whole. */
export const writes =
  (text: string, then: 'keep' | 'end' | 'destroy' = 'keep') =>
  async (attempt: Http1Attempt): Promise<void> => {
    await attempt.whole();
    attempt.write(text);
    if (then === 'end') attempt.socket.end();
    if (then === 'destroy') attempt.socket.destroy();
  };
export const ok = (stream: number): Uint8Array[] => [
  headers(stream, [
    [':status', '200'],
    ['content-length', '2'],
  ]),
  data(stream, 'ok', true),
];
