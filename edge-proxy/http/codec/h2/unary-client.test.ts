import http2 from 'node:http2';
import net from 'node:net';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Connection, ConnectionHandler } from '../../../runtime/runtime.ts';
import { decodeBlock, literalBlock } from '../../testing/header-blocks.ts';
import { concat } from '../bytes.ts';
import type { Field } from './fields.ts';
import {
  CLIENT_PREFACE,
  FLAG,
  FRAME,
  FrameReader,
  type FrameSink,
  frame,
  goawayFrame,
  headersFrames,
  resetFrame,
  settingsFrame,
  windowUpdateFrame,
} from './frames.ts';
import { HpackDecoder } from './hpack.ts';
import { UnaryClient, type UnaryOwner, type UnaryRequest } from './unary-client.ts';

const ignore: ConnectionHandler = { onData() {}, onDrain() {}, onEnd() {}, onClose() {} };
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

/** A connection whose other end is the test. */
class Scripted implements Connection {
  handler = ignore;
  readonly remoteAddress = '127.0.0.1';
  readonly remotePort = 1;
  readonly localAddress = '127.0.0.1';
  readonly localPort = 2;
  readonly tls = undefined;
  buffered = 0;
  out: Uint8Array = new Uint8Array(0);
  destroyed = false;
  write(part: Uint8Array): boolean {
    this.out = concat(this.out, part);
    return true;
  }
  writeLatin1 = (): boolean => true;
  writeBoth = (): boolean => true;
  end(): void {}
  destroy(): void {
    this.destroyed = true;
  }
  pause(): void {}
  resume(): void {}
  give(...frames: Uint8Array[]): void {
    this.handler.onData(frames.reduce(concat));
  }
  /** What the client sent since the last call, as text. */
  said(): string[] {
    const lines: string[] = [];
    let rest = this.out;
    this.out = new Uint8Array(0);
    if (rest[0] === 0x50) {
      expect(rest.subarray(0, 24)).toEqual(CLIENT_PREFACE);
      rest = rest.subarray(24);
      this.reader = new FrameReader(new Saying(this), { frameSize: 1 << 20, blockSize: 1 << 20, continuations: 100 });
    }
    this.lines = lines;
    this.reader?.push(rest);
    return lines;
  }
  lines: string[] = [];
  private reader: FrameReader | undefined;
}

class Saying implements FrameSink {
  private readonly to: Scripted;
  private readonly decoder = new HpackDecoder({ headerTableSize: 4096, maxHeadBytes: 1 << 20, maxFields: 1000 });
  constructor(to: Scripted) {
    this.to = to;
  }
  private say(line: string): void {
    this.to.lines.push(line);
  }
  onData(stream: number, data: Uint8Array, _: number, end: boolean): void {
    this.say(`data ${stream} ${data.length}${end ? ' end' : ''}`);
  }
  onHeaders(stream: number, block: Uint8Array, end: boolean): void {
    const fields = decodeBlock(this.decoder, block);
    this.say(`headers ${stream} ${fields.map((field) => field.join('=')).join(' ')}${end ? ' end' : ''}`);
  }
  onReset(stream: number, code: number): void {
    this.say(`reset ${stream} ${code}`);
  }
  onSettings(): void {
    this.say('settings');
  }
  onSettingsAck(): void {
    this.say('settings ack');
  }
  onPing(opaque: Uint8Array, ack: boolean): void {
    this.say(`ping ${Buffer.from(opaque)}${ack ? ' ack' : ''}`);
  }
  onGoaway(last: number, code: number): void {
    this.say(`goaway ${last} ${code}`);
  }
  onWindowUpdate(stream: number, increment: number): void {
    this.say(`window ${stream} ${increment}`);
  }
}

class Heard implements UnaryOwner {
  readonly lines: string[] = [];
  constructor(onLine?: (line: string) => void) {
    this.onLine = onLine;
  }
  private readonly onLine: ((line: string) => void) | undefined;
  private add(line: string): void {
    this.lines.push(line);
    this.onLine?.(line);
  }
  onHead(head: { status: number; fields: readonly Field[] }, end: boolean): void {
    this.add(`head ${head.status}${end ? ' end' : ''}`);
  }
  onData(data: Uint8Array, end: boolean): void {
    this.add(`data ${data.length}${end ? ' end' : ''}`);
  }
  onTrailers(fields: readonly Field[]): void {
    this.add(`trailers ${fields.map((field) => field.join('=')).join(' ')}`);
  }
  onEnd(): void {
    this.add('end');
  }
  onReset(why: string): void {
    this.add(`reset ${why}`);
  }
}

const request: UnaryRequest = {
  fields: [
    [':method', 'POST'],
    [':scheme', 'http'],
    [':authority', 'x.test'],
    [':path', '/s/M'],
  ],
  body: bytes('hello'),
};
const HELLO = settingsFrame([]);
const headers = (stream: number, fields: Field[], end = false) =>
  headersFrames(stream, literalBlock(fields), end, 16_384).reduce(concat);
const data = (stream: number, text: string, end = false) =>
  frame(FRAME.DATA, end ? FLAG.END_STREAM : 0, stream, bytes(text));
const OK: Field[] = [[':status', '200']];

function setup() {
  const wire = new Scripted();
  let gone = 0;
  const client = new UnaryClient(wire, () => gone++);
  const ask = (what: UnaryRequest = request) => {
    const heard = new Heard();
    client.start(what, heard);
    return heard;
  };
  return { wire, client, ask, gone: () => gone };
}
const REQUEST = 'headers 1 :method=POST :scheme=http :authority=x.test :path=/s/M';

describe('an exchange', () => {
  it('head, data, trailers; then another on the same connection', () => {
    const { wire, client, ask, gone } = setup();
    const heard = ask();
    expect(wire.said()).toEqual(['settings', REQUEST, 'data 1 5 end']);
    wire.give(HELLO, frame(FRAME.SETTINGS, FLAG.ACK, 0));
    wire.give(headers(1, [[':status', '103']]), headers(1, OK), data(1, 'abc'), headers(1, [['a', 'b']], true));
    expect(heard.lines).toEqual(['head 200', 'data 3', 'trailers a=b', 'end']);
    expect([client.reusable, wire.said()]).toEqual([true, ['settings ack']]);
    const again = ask({ ...request, body: undefined });
    expect(wire.said()).toEqual([`${REQUEST.replace('1', '3')} end`]);
    wire.give(headers(3, OK, true));
    expect([again.lines, gone()]).toEqual([['head 200 end', 'end'], 0]);
  });

  it('answered before the request was sent whole: the rest is not sent', () => {
    const { wire, ask } = setup();
    wire.give(settingsFrame([[4, 3]]));
    const heard = ask();
    wire.said();
    wire.give(headers(1, OK, true));
    expect([heard.lines, wire.said()]).toEqual([['head 200 end', 'end'], ['reset 1 8']]);
  });

  it('waits for windows, for streams, and keeps to the size of frames', () => {
    const { wire, ask } = setup();
    wire.give(
      settingsFrame([
        [3, 0],
        [4, 2],
      ]),
    );
    wire.said();
    const heard = ask();
    expect(wire.said()).toEqual([]);
    wire.give(settingsFrame([[3, 1]]));
    expect(wire.said()).toEqual(['settings ack', REQUEST, 'data 1 2']);
    wire.give(settingsFrame([[4, 0]]), windowUpdateFrame(1, 2));
    expect(wire.said()).toEqual(['settings ack']);
    wire.give(windowUpdateFrame(1, 2));
    expect(wire.said()).toEqual(['data 1 2']);
    wire.give(windowUpdateFrame(0, 9), windowUpdateFrame(1, 9));
    expect(wire.said()).toEqual(['data 1 1 end']);
    wire.give(headers(1, OK, true));
    expect(heard.lines).toEqual(['head 200 end', 'end']);
  });

  it('a large request goes in frames the peer takes, within the window of the connection', () => {
    const { wire, ask } = setup();
    wire.give(settingsFrame([[4, 1_000_000]]));
    wire.said();
    ask({ ...request, fields: [...request.fields, ['x', '~'.repeat(20_000)]], body: new Uint8Array(70_000) });
    const said = wire.said();
    expect(said.slice(1)).toEqual([...Array.from({ length: 3 }, () => 'data 1 16384'), 'data 1 16383']);
    wire.give(windowUpdateFrame(0, 100_000));
    expect(wire.said()).toEqual(['data 1 4465 end']);
  });

  it('windows are opened again for large responses', () => {
    const { wire, ask } = setup();
    wire.give(HELLO);
    const heard = ask();
    wire.said();
    wire.give(headers(1, OK));
    for (let i = 0; i < 40; i++) wire.give(frame(FRAME.DATA, FLAG.PADDED, 1, new Uint8Array(10_000).fill(9, 0, 1)));
    expect(heard.lines).toHaveLength(41);
    expect(wire.said().filter((line) => line === 'window 1 40000')).toHaveLength(10);
  });

  it('given up: later frames are decoded and discarded', () => {
    const { wire, client, ask } = setup();
    wire.give(HELLO);
    const heard = ask();
    wire.said();
    client.cancel();
    expect(wire.said()).toEqual(['reset 1 8']);
    // The block puts a field into the table, to which the next one refers.
    const stored = concat(literalBlock(OK), Uint8Array.from([0x40, 1, 0x61, 1, 0x62]));
    wire.give(...headersFrames(1, stored, false, 16_384), data(1, 'late'));
    const second = ask();
    wire.give(headers(3, OK), ...headersFrames(3, Uint8Array.from([0xbe]), true, 16_384));
    expect([heard.lines, second.lines]).toEqual([[], ['head 200', 'trailers a=b', 'end']]);
    // It ends once.
    wire.give(data(1, '', true));
    expect(wire.destroyed).toBe(false);
    wire.give(data(1, '', true));
    expect(wire.destroyed).toBe(true);
  });

  it('given up: no more data than its window may come', () => {
    const { wire, client, ask } = setup();
    wire.give(HELLO);
    ask();
    wire.give(headers(1, OK));
    client.cancel();
    wire.said();
    const late = () => wire.give(frame(FRAME.DATA, 0, 1, new Uint8Array(16_000)));
    for (let i = 0; i < 4; i++) late();
    expect([wire.said(), wire.destroyed]).toEqual([['window 0 48000'], false]);
    late();
    expect([wire.said(), wire.destroyed]).toEqual([['goaway 0 3'], true]);
  });

  it('may be given up from within', () => {
    const wire = new Scripted();
    const client: UnaryClient = new UnaryClient(wire, () => {});
    const heard = new Heard(() => client.cancel());
    client.start(request, heard);
    wire.give(HELLO, headers(1, OK), data(1, 'x', true));
    expect([heard.lines, client.reusable, wire.destroyed]).toEqual([['head 200'], true, false]);
  });
});

describe('a peer that goes', () => {
  it('without error: what is under way is completed', () => {
    const { wire, client, ask, gone } = setup();
    const heard = ask();
    wire.give(HELLO, goawayFrame(0x7fffffff, 0), goawayFrame(1, 0));
    expect([client.reusable, gone()]).toEqual([false, 0]);
    wire.give(headers(1, OK, true));
    expect([heard.lines, gone(), wire.destroyed]).toEqual([['head 200 end', 'end'], 1, true]);
  });

  it.each<[string, Uint8Array[], string[]]>([
    ['before the request', [goawayFrame(0, 0)], ['reset refused']],
    ['with an error', [goawayFrame(1, 2)], ['reset goaway']],
    ['with a larger stream than before', [goawayFrame(1, 0), goawayFrame(3, 0)], ['reset protocol-error']],
  ])('%s', (_, frames, wanted) => {
    const { wire, ask, gone } = setup();
    const heard = ask();
    wire.give(HELLO, ...frames);
    expect([heard.lines, gone(), wire.destroyed]).toEqual([wanted, 1, true]);
  });

  it('between exchanges', () => {
    const { wire, client, gone } = setup();
    wire.give(HELLO, goawayFrame(0, 0));
    expect([client.reusable, gone(), wire.destroyed]).toEqual([false, 1, true]);
  });

  it('by closing', () => {
    const { wire, ask, gone } = setup();
    const heard = ask();
    wire.handler.onEnd();
    wire.handler.onClose();
    expect([heard.lines, gone()]).toEqual([['reset connection-closed'], 1]);
  });

  it('resetting the stream alone', () => {
    const { wire, client, ask } = setup();
    const heard = ask();
    wire.give(HELLO, resetFrame(1, 2));
    const again = ask();
    wire.give(resetFrame(3, 7));
    expect([heard.lines, again.lines, client.reusable]).toEqual([['reset reset'], ['reset refused'], true]);
  });
});

it('pings are answered, unless the answers are not read', () => {
  const { wire, ask, gone } = setup();
  wire.give(HELLO);
  wire.said();
  wire.give(frame(FRAME.PING, 0, 0, bytes('12345678')), frame(FRAME.PING, FLAG.ACK, 0, bytes('12345678')));
  expect(wire.said()).toEqual(['ping 12345678 ack']);
  const heard = ask();
  wire.said();
  wire.buffered = 1 << 20;
  wire.give(frame(FRAME.PING, 0, 0, bytes('12345678')));
  expect([heard.lines, wire.said(), gone()]).toEqual([['reset protocol-error'], ['goaway 0 11'], 1]);
});

describe('what is malformed ends the connection', () => {
  const [PROTOCOL, INTERNAL, FLOW, CLOSED, COMPRESSION, CALM] = [1, 2, 3, 5, 9, 11];
  const status = (value: string): Field[] => [[':status', value]];
  const withFields = (...fields: Field[]) => headers(1, [...OK, ...fields]);
  it.each<[string, Uint8Array[], number]>([
    ['no status', [headers(1, [['a', 'b']])], PROTOCOL],
    ['no fields', [headers(1, [])], PROTOCOL],
    ['a status of two digits', [headers(1, status('20'))], PROTOCOL],
    ['a status of 600', [headers(1, status('600'))], PROTOCOL],
    ['a status of 101', [headers(1, status('101'))], PROTOCOL],
    ['two statuses', [withFields([':status', '200'])], PROTOCOL],
    ['another pseudo-header field', [withFields([':path', '/'])], PROTOCOL],
    ['a name in upper case', [withFields(['A', 'b'])], PROTOCOL],
    ['a name with a space', [withFields(['a b', 'b'])], PROTOCOL],
    ['an empty name', [withFields(['', 'b'])], PROTOCOL],
    ['a connection field', [withFields(['connection', 'close'])], PROTOCOL],
    ['a transfer-encoding', [withFields(['transfer-encoding', 'chunked'])], PROTOCOL],
    ['a value with a line end', [withFields(['a', 'b\r\nc: d'])], PROTOCOL],
    ['a value with NUL', [withFields(['a', 'b\0'])], PROTOCOL],
    ['a value that begins with a blank', [withFields(['a', ' b'])], PROTOCOL],
    ['two lengths', [withFields(['content-length', '1'], ['content-length', '2'])], PROTOCOL],
    ['a length that is none', [withFields(['content-length', '+1'])], PROTOCOL],
    ['less than its length', [withFields(['content-length', '4']), data(1, 'abc', true)], PROTOCOL],
    ['more than its length', [withFields(['content-length', '2']), data(1, 'abc')], PROTOCOL],
    ['no body where a length is given', [headers(1, [...OK, ['content-length', '2']], true)], PROTOCOL],
    ['an interim response that ends', [headers(1, status('103'), true)], PROTOCOL],
    ['interim responses without end', Array.from({ length: 17 }, () => headers(1, status('103'))), CALM],
    ['data before a head', [data(1, 'abc')], PROTOCOL],
    ['trailers that do not end', [headers(1, OK), headers(1, [['a', 'b']])], PROTOCOL],
    ['a status in trailers', [headers(1, OK), headers(1, OK, true)], PROTOCOL],
    ['data behind the end', [headers(1, OK, true), data(1, 'abc')], CLOSED],
    ['a head behind the end', [headers(1, OK, true), headers(1, OK, true)], CLOSED],
    ['a stream of the server', [headers(2, OK)], PROTOCOL],
    ['data on a stream to come', [data(3, 'abc')], PROTOCOL],
    ['a reset of a stream to come', [resetFrame(3, 0)], PROTOCOL],
    ['a window of a stream to come', [windowUpdateFrame(3, 1)], PROTOCOL],
    ['a window that is too large', [windowUpdateFrame(0, 0x7fffffff)], FLOW],
    ['a window of the stream that is too large', [windowUpdateFrame(1, 0x7fffffff)], FLOW],
    ['a window made too large by settings', [windowUpdateFrame(1, 0x7ffe0000), settingsFrame([[4, 0x7fffffff]])], FLOW],
    ['push enabled', [settingsFrame([[2, 1]])], PROTOCOL],
    ['two acknowledgements', [0, 1].map(() => frame(FRAME.SETTINGS, FLAG.ACK, 0)), PROTOCOL],
    ['a block that cannot be decoded', [frame(FRAME.HEADERS, FLAG.END_HEADERS, 1, Uint8Array.of(0x80))], COMPRESSION],
    [
      'too long a header list',
      [withFields(['a', '~'.repeat(15_000)], ...Array(5).fill(['b', '~'.repeat(10_000)]))],
      INTERNAL,
    ],
  ])('%s', (_, frames, code) => {
    const { wire, ask, gone } = setup();
    const heard = ask();
    wire.give(HELLO);
    wire.said();
    wire.give(...frames);
    expect(wire.said().at(-1)).toBe(`goaway 0 ${code}`);
    expect([wire.destroyed, gone()]).toEqual([true, 1]);
    expect(heard.lines.filter((line) => /^(end|reset .*)$/.test(line))).toHaveLength(1);
    // Nothing is read any more.
    wire.give(frame(FRAME.PING, 0, 0, bytes('12345678')));
    expect(wire.said()).toEqual([]);
  });
});

it('no bytes throw, hang an owner, or leave it more than one end', () => {
  const block = fc.constantFrom(
    literalBlock(OK),
    literalBlock([['a', 'b']]),
    literalBlock([...OK, ['content-length', '3']]),
  );
  const piece = fc.oneof(
    fc
      .tuple(block, fc.boolean(), fc.constantFrom(1, 1, 1, 3, 2))
      .map(([b, end, stream]) => headersFrames(stream, b, end, 16_384).reduce(concat)),
    fc
      .tuple(fc.string({ maxLength: 5 }), fc.boolean(), fc.constantFrom(1, 1, 3))
      .map(([text, end, stream]) => data(stream, text, end)),
    fc.constantFrom(HELLO, goawayFrame(1, 0), goawayFrame(0, 0), resetFrame(1, 0), windowUpdateFrame(1, 5)),
    fc.uint8Array({ maxLength: 30 }),
    fc
      .tuple(fc.nat(12), fc.nat(255), fc.nat(3), fc.uint8Array({ maxLength: 12 }))
      .map(([type, flags, stream, payload]) => frame(type, flags, stream, payload)),
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 12 }), fc.boolean(), (pieces, closes) => {
      const { wire, ask, gone } = setup();
      const heard = ask();
      wire.give(HELLO, ...pieces);
      if (closes) wire.handler.onClose();
      const ends = heard.lines.filter((line) => /^(end|reset .*)$/.test(line));
      expect(ends.length).toBeLessThanOrEqual(1);
      if (gone() > 0) expect([gone(), ends.length, wire.destroyed]).toEqual([1, 1, true]);
    }),
    { numRuns: 3000 },
  );
});

describe('beside node:http2', () => {
  const server = http2.createServer({ settings: { headerTableSize: 0 } });
  let port = 0;
  beforeAll(async () => {
    server.on('stream', (stream, fields) => {
      const body: Buffer[] = [];
      stream.on('data', (part: Buffer) => body.push(part));
      stream.on('end', () => {
        stream.respond(
          { ':status': 200, 'content-type': 'text/plain', 'x-method': fields[':method'], 'x-n': fields['x-n'] },
          { waitForTrailers: true },
        );
        stream.on('wantTrailers', () => stream.sendTrailers({ 'x-length': String(Buffer.concat(body).length) }));
        stream.end('x'.repeat(Number(fields['x-n'])));
      });
    });
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', () => done()));
    port = (server.address() as net.AddressInfo).port;
  });
  afterAll(() => new Promise<void>((done) => void server.close(() => done())));

  it('many exchanges on one connection, with bodies beyond the windows', async () => {
    const socket = net.connect(port, '127.0.0.1');
    await new Promise((done) => socket.once('connect', done));
    const wire = new Scripted();
    wire.write = (part) => socket.write(part);
    wire.destroy = () => void socket.destroy();
    const client = new UnaryClient(wire, () => {});
    socket.on('data', (part: Buffer) => wire.handler.onData(new Uint8Array(part)));
    for (const n of [0, 1, 5, 300_000, 7, 7]) {
      const heard: string[] = [];
      let received = 0;
      await new Promise<void>((done) => {
        client.start(
          { fields: [...request.fields, ['x-n', String(n)]], body: new Uint8Array(n) },
          {
            onHead: ({ status, fields }) => {
              const byName = Object.fromEntries(fields);
              heard.push(`${status} ${byName['x-method']} ${byName['x-n']} ${byName['content-type']}`);
            },
            onData: (part) => void (received += part.length),
            onTrailers: (fields) => void heard.push(fields.map((field) => field.join('=')).join(' ')),
            onEnd: done,
            onReset: (why) => {
              heard.push(why);
              done();
            },
          },
        );
      });
      expect([heard, received]).toEqual([[`200 POST ${n} text/plain`, `x-length=${n}`], n]);
    }
    client.close();
  });
});
