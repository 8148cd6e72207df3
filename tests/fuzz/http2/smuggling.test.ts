/**
 * Frame sequences through a downstream connection of the proxy and through a server of node:http2 (nghttp2): whatever request
 * the proxy takes for whole, nghttp2 takes for the same one. `TULLE_FUZZ_SEED` repeats a run, `TULLE_FUZZ_RUNS` takes longer.
 */
import http2 from 'node:http2';
import net from 'node:net';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { concat, joined } from '../../../edge-proxy/http/codec/bytes.ts';
import { CLIENT_PREFACE, FLAG, FRAME, frame } from '../../../edge-proxy/http/codec/h2/frames.ts';
import { neverTrailers } from '../../../edge-proxy/http/codec/never-trailers.ts';
import { Random, runsFactor, seed } from '../random.ts';
import { Application, OPTIONS } from './application.ts';
import { clientSession } from './sessions.ts';

/** Whole requests of a session, as `method authority path fields body`. */
type Requests = readonly string[];

const server = http2.createServer({ maxHeaderListPairs: 1000, settings: { initialWindowSize: OPTIONS.initialWindow } });
const received = new Map<number, string[]>();

beforeAll(async () => {
  server.on('session', (session) => session.on('error', () => undefined));
  server.on('stream', (stream, _headers, _flags, raw: string[]) => {
    const port = stream.session!.socket.remotePort!;
    let bytes = 0;
    let trailers = '';
    stream.on('error', () => undefined);
    stream.on('data', (part: Buffer) => (bytes += part.length));
    stream.on('trailers', (_fields: unknown, _trailerFlags: unknown, list: string[]) => {
      trailers = ` trailers ${list.filter((name, at) => at % 2 === 0 && !neverTrailers.has(name))}`;
    });
    stream.on('end', () => {
      if (stream.rstCode === 0 && !stream.aborted) received.get(port)?.push(`${described(raw)} ${bytes}${trailers}`);
    });
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
});
afterAll(() => new Promise<void>((done) => void server.close(() => done())));

/** Without `host` beside an authority, and with crumbs joined, as the proxy has it. */
function described(raw: readonly string[]): string {
  const pseudo = new Map<string, string>();
  const fields: string[] = [];
  for (let i = 0; i < raw.length; i += 2) {
    const [name, value] = [raw[i]!, raw[i + 1]!];
    if (name.startsWith(':')) pseudo.set(name, value);
    else if (name === 'cookie' && fields.some((field) => field.startsWith('cookie=')))
      fields[fields.findIndex((field) => field.startsWith('cookie='))] += `; ${value}`;
    else if (name !== 'host') fields.push(`${name}=${value}`);
  }
  return `${pseudo.get(':method')} ${pseudo.get(':authority')}${pseudo.get(':path')} ${fields.join('&')}`;
}

interface Outcome {
  readonly requests: Requests;
  /** The code of an error of the connection; 0: there was none. */
  readonly error: number;
}

/** Behind each session: once it is acknowledged, all frames were read. */
const LAST_PING = frame(FRAME.PING, 0, 0, new TextEncoder().encode('the last'));
const LAST_ACK = Buffer.from(frame(FRAME.PING, FLAG.ACK, 0, new TextEncoder().encode('the last')));

/** @returns undefined: node:http2 closed the connection for a reason that is no error of it */
async function theirs(bytes: Uint8Array): Promise<Outcome | undefined> {
  const socket = net.connect({ port: (server.address() as net.AddressInfo).port, host: '127.0.0.1' });
  await new Promise((done) => socket.once('connect', done));
  const requests: string[] = [];
  received.set(socket.localPort!, requests);
  let written: Uint8Array = new Uint8Array(0);
  const alive = await new Promise<boolean>((done) => {
    // The last frame may be so long that the PING is a part of it.
    const swallowed = setTimeout(() => socket.destroy(), 2000);
    socket.on('error', () => undefined);
    socket.on('close', () => {
      clearTimeout(swallowed);
      done(false);
    });
    socket.on('data', (part) => {
      written = concat(written, part);
      if (!Buffer.from(written).includes(LAST_ACK)) return;
      clearTimeout(swallowed);
      done(true);
    });
    socket.write(concat(bytes, LAST_PING));
  });
  // The last requests are reported in later turns.
  for (let turns = 0; turns < 3; turns++) await new Promise((done) => setImmediate(done));
  received.delete(socket.localPort!);
  socket.destroy();
  const error = goawayCode(written);
  return alive || error !== 0 ? { requests, error } : undefined;
}

/** Where the GOAWAY frames begin. */
function goaways(frames: Uint8Array): number[] {
  const found: number[] = [];
  const view = new DataView(frames.buffer, frames.byteOffset, frames.length);
  for (let at = 0; at + 9 <= frames.length; at += 9 + (view.getUint32(at) >>> 8))
    if (frames[at + 3] === FRAME.GOAWAY) found.push(at);
  return found;
}

/** Of the last GOAWAY; 0: there was none. */
function goawayCode(frames: Uint8Array): number {
  const at = goaways(frames).at(-1);
  return at === undefined ? 0 : new DataView(frames.buffer, frames.byteOffset, frames.length).getUint32(at + 13);
}

function ours(bytes: Uint8Array): Outcome {
  const app = new Application({ ...OPTIONS, maxConcurrentStreams: 100, maxHeadBytes: 60_000, maxFields: 100 });
  app.connection.handler.onData(bytes.slice());
  const error = goawayCode(joined(app.connection.written, app.connection.bytes));
  app.connection.handler.onClose();
  const requests = app.requests
    .filter(({ end, reset }) => end !== '' && reset === '')
    .map(({ request, headers, bytes: size, end }) => {
      const fields = headers.map(([name, value]) => `${name}=${value}`).join('&');
      return `${request} ${fields} ${size}${end.startsWith('trailers') ? ` ${end}` : ''}`;
    });
  return { requests, error };
}

it('what the proxy takes for a request, nghttp2 does', async () => {
  let requests = 0;
  for (let i = 0; i < 3000 * runsFactor; i++) {
    const { bytes } = clientSession(new Random(seed + i));
    const mine = ours(bytes);
    if (mine.error !== 0 || mine.requests.length === 0) continue;
    // node:http2 closes the connection of a client that says GOAWAY.
    if (goaways(bytes.subarray(CLIENT_PREFACE.length)).length > 0) continue;
    const known = await theirs(bytes);
    // node:http2 does not report requests before an error of their connection.
    if (known === undefined || known.error !== 0) continue;
    requests += mine.requests.length;
    const unknown = mine.requests.filter((request) => !known.requests.includes(request));
    if (unknown.length > 0)
      throw new Error(JSON.stringify({ seed: seed + i, unknown, known, session: Buffer.from(bytes).toString('hex') }));
  }
  expect(requests).toBeGreaterThan(150 * runsFactor);
});
