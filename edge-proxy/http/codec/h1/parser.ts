/**
 * Incremental HTTP/1.1 parser. Bytes go in as they come; heads, body slices and ends come out. It stops at the end of
 * each message, so that pipelined requests wait until the one before is answered.
 */

import { CodecError, codecError } from '../../message/codec-error.ts';
import type { HeaderMap } from '../../message/header-map.ts';
import { headEnd, latin1 } from '../bytes.ts';
import { neverTrailers } from '../never-trailers.ts';
import { ChunkJoiner } from './chunk-joiner.ts';
import { checkCharacters, isFraming, parseFields } from './fields.ts';
import type { CodecLimits, Http1RequestHead, Http1ResponseHead } from './head.ts';
import { parseRequestHead, parseResponseHead } from './head.ts';

/** Exactly one call of a message ends it. */
export interface MessageSink<Head> {
  /** @param end it has no body */
  onHead(head: Head, end: boolean): void;
  /** @param bytes valid during the call alone, may be empty at the end */
  onBody(bytes: Uint8Array, end: boolean): void;
  /** Ends the message. */
  onTrailers(trailers: HeaderMap): void;
  /** A response that is not the last: 100, 102 to 199. */
  onInterim?(head: Head): void;
}

const EMPTY = new Uint8Array(0);

type State =
  | 'head'
  | 'length'
  | 'until-close'
  | 'chunk-size'
  | 'chunk-data'
  | 'chunk-end'
  | 'trailers'
  | 'complete'
  | 'tunnel'
  | 'failed';

/** Only what cannot be misread: hexadecimal digits, then well-formed extensions, which are dropped. */
const chunkLine =
  /^([0-9A-Fa-f]{1,12})(?:;[!#$%&'*+\-.^_`|~0-9A-Za-z]+(?:=(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+|"[^"\\\0-\x1f\x7f]*"))?)*\r$/;
const maxChunkLine = 256;
const maxBlankLines = 2;
/** Heads are decoded in windows of this size, so that a body behind a head is not decoded with it. */
const headWindow = 2048;
/** Digits of a chunk size that is read without becoming text. */
const maxPlainDigits = 7;
const lf = 0x0a;
const cr = 0x0d;

abstract class Parser<Head extends Http1RequestHead | Http1ResponseHead> {
  protected state: State = 'head';
  protected readonly sink: MessageSink<Head>;
  protected readonly limits: CodecLimits;
  private text = '';
  private blankLines = 0;
  /** Bytes of the body or chunk still to come. */
  private remaining = 0;
  /** Made with the first chunk. */
  private joiner: ChunkJoiner | undefined = undefined;
  private readonly passData = (bytes: Uint8Array): void => this.sink.onBody(bytes, false);

  constructor(sink: MessageSink<Head>, limits: CodecLimits) {
    this.sink = sink;
    this.limits = limits;
  }

  protected abstract parseHead(text: string): Head;
  /** @returns whether the head opens a tunnel, or is an interim one to be passed over */
  protected abstract afterHead(head: Head): 'message' | 'tunnel' | 'interim';

  /** The message is whole; `next` starts another. */
  get complete(): boolean {
    return this.state === 'complete';
  }

  /** No byte of a message has come yet. */
  get idle(): boolean {
    return this.state === 'head' && this.text === '';
  }

  /** A body that ends with the connection is under way. */
  get endsWithConnection(): boolean {
    return this.state === 'until-close';
  }

  /** Bytes are passed through unread. */
  get isTunnel(): boolean {
    return this.state === 'tunnel';
  }

  /** From now on every byte is passed on as body. */
  becomeTunnel(): void {
    this.state = 'tunnel';
  }

  next(): void {
    this.state = 'head';
    this.text = '';
    this.blankLines = 0;
  }

  /** The peer finished sending: ends a body that ends with the connection. */
  finish(): void {
    if (this.state === 'until-close') this.endMessage(undefined);
  }

  /**
   * Parses `bytes` from `from` on.
   * @returns where it stopped: at the end, or behind a whole message
   * @throws CodecError; the parser is then of no more use
   */
  execute(bytes: Uint8Array, from: number): number {
    let at = from;
    try {
      while (at < bytes.length && this.state !== 'complete') at = this.step(bytes, at);
    } catch (error) {
      this.state = 'failed';
      this.passJoined();
      throw error;
    }
    this.passJoined();
    return at;
  }

  /** What was joined leaves with the read that brought it, and before whatever follows it. */
  private passJoined(): void {
    this.joiner?.pass(this.passData);
  }

  private step(bytes: Uint8Array, at: number): number {
    switch (this.state) {
      case 'head':
        return this.readHead(bytes, at);
      case 'length':
        return this.readCounted(bytes, at);
      case 'chunk-data':
        return this.readChunkData(bytes, at);
      case 'until-close':
      case 'tunnel':
        this.sink.onBody(at === 0 ? bytes : bytes.subarray(at), false);
        return bytes.length;
      case 'chunk-size':
        return this.readChunkSize(bytes, at);
      case 'chunk-end':
        return this.readChunkEnd(bytes, at);
      case 'trailers':
        return this.readTrailers(bytes, at);
      default:
        throw codecError('bytes after a protocol error');
    }
  }

  private readHead(bytes: Uint8Array, from: number): number {
    // Nearly every head comes whole, and its body behind it: only the head becomes text.
    if (this.text === '' && this.blankLines === 0 && bytes[from] !== cr) {
      const after = headEnd(bytes, from, this.limits.maxHeadBytes);
      if (after > 0) {
        this.begin(this.parseHead(latin1(bytes, from, after - 2)));
        return after;
      }
    }
    return this.readHeadInParts(bytes, from);
  }

  private readHeadInParts(bytes: Uint8Array, from: number): number {
    const window = Math.min(bytes.length, from + headWindow);
    const before = this.text.length;
    let text = this.text + latin1(bytes, from, window);
    // A client may send an empty line before the request line (RFC 9112 section 2.2).
    let skipped = 0;
    while (text.startsWith('\r\n', skipped)) {
      if (++this.blankLines > maxBlankLines) throw codecError('empty lines before a message');
      skipped += 2;
    }
    if (skipped > 0) text = text.slice(skipped);
    const end = text.indexOf('\r\n\r\n', skipped > 0 ? 0 : Math.max(0, before - 3));
    if ((end < 0 ? text.length : end) > this.limits.maxHeadBytes) throw tooLarge();
    if (end < 0) {
      checkUnfinished(text);
      this.text = text;
      return window;
    }
    this.text = '';
    this.blankLines = 0;
    this.begin(this.parseHead(text.slice(0, end + 2)));
    return from + (end + 4 + skipped - before);
  }

  private begin(head: Head): void {
    const kind = this.afterHead(head);
    if (kind === 'interim') {
      this.sink.onInterim?.(head);
      return;
    }
    // The state comes first: the sink may ask for it, or begin a tunnel.
    this.remaining = head.bodySize ?? 0;
    if (kind === 'tunnel') this.state = 'tunnel';
    else if (head.framing === 'length') this.state = 'length';
    else if (head.framing === 'chunked') this.state = 'chunk-size';
    else if (head.framing === 'until-close') this.state = 'until-close';
    else this.state = 'complete';
    this.sink.onHead(head, this.state === 'complete');
  }

  private readCounted(bytes: Uint8Array, at: number): number {
    const end = Math.min(bytes.length, at + this.remaining);
    this.remaining -= end - at;
    if (this.remaining === 0) this.state = 'complete';
    this.sink.onBody(at === 0 && end === bytes.length ? bytes : bytes.subarray(at, end), this.state === 'complete');
    return end;
  }

  private readChunkData(bytes: Uint8Array, at: number): number {
    const end = Math.min(bytes.length, at + this.remaining);
    this.remaining -= end - at;
    if (this.remaining === 0) this.state = 'chunk-end';
    this.joiner ??= new ChunkJoiner();
    if (!this.joiner.add(bytes, at, end)) {
      this.passJoined();
      if (!this.joiner.add(bytes, at, end))
        this.sink.onBody(at === 0 && end === bytes.length ? bytes : bytes.subarray(at, end), false);
    }
    return end;
  }

  private readChunkSize(bytes: Uint8Array, at: number): number {
    if (this.text === '') {
      const plain = this.readPlainSize(bytes, at);
      if (plain > 0) return plain;
    }
    return this.readChunkLine(bytes, at);
  }

  /** Nearly every chunk line is a few digits that came whole. @returns the place behind it; 0: it is not such a line */
  private readPlainSize(bytes: Uint8Array, from: number): number {
    let at = from;
    let size = 0;
    for (const stop = from + maxPlainDigits; at < stop; at++) {
      const digit = hexDigit(bytes[at] ?? 0);
      if (digit < 0) break;
      size = size * 16 + digit;
    }
    if (at === from || bytes[at] !== cr || bytes[at + 1] !== lf) return 0;
    this.beginChunk(size);
    return at + 2;
  }

  private beginChunk(size: number): void {
    this.remaining = size;
    this.state = size === 0 ? 'trailers' : 'chunk-data';
  }

  private readChunkLine(bytes: Uint8Array, at: number): number {
    const found = bytes.indexOf(lf, at);
    const end = found < 0 ? bytes.length : found;
    if (this.text.length + end - at > maxChunkLine) throw codecError('chunk line too long');
    const line = this.text + latin1(bytes, at, end);
    if (found < 0) {
      this.text = line;
      return end;
    }
    this.text = '';
    const match = chunkLine.exec(line);
    if (!match) throw codecError('invalid chunk line');
    this.beginChunk(Number.parseInt(match[1]!, 16));
    return end + 1;
  }

  private readChunkEnd(bytes: Uint8Array, at: number): number {
    if (this.text === '' && bytes[at] === cr && bytes[at + 1] === lf) {
      this.state = 'chunk-size';
      return at + 2;
    }
    const wanted = this.text === '' ? cr : lf;
    if (bytes[at] !== wanted) throw codecError('chunk data without CRLF');
    if (this.text === '') this.text = '\r';
    else {
      this.text = '';
      this.state = 'chunk-size';
    }
    return at + 1;
  }

  private readTrailers(bytes: Uint8Array, from: number): number {
    const before = this.text.length;
    const window = Math.min(bytes.length, from + headWindow);
    const text = this.text + latin1(bytes, from, window);
    if (text.startsWith('\r\n')) {
      this.text = '';
      this.endMessage(undefined);
      return from + 2 - before;
    }
    const end = text.indexOf('\r\n\r\n', Math.max(0, before - 3));
    if ((end < 0 ? text.length : end) > this.limits.maxHeadBytes) throw tooLarge();
    if (end < 0) {
      checkUnfinished(text);
      this.text = text;
      return window;
    }
    this.text = '';
    checkCharacters(text.slice(0, end + 2));
    const trailers = parseFields(text, 0, end + 2, this.limits.maxFields);
    for (const key of [...trailers.keys]) {
      // What a parser might still obey behind the body (llhttp does) is no trailer but an attack.
      if (isFraming(key) || key === 'connection' || key === 'upgrade') throw codecError('framing in trailers');
      if (neverTrailers.has(key)) trailers.remove(key);
    }
    this.endMessage(trailers.size > 0 ? trailers : undefined);
    return from + end + 4 - before;
  }

  private endMessage(trailers: HeaderMap | undefined): void {
    this.passJoined();
    this.state = 'complete';
    if (trailers) this.sink.onTrailers(trailers);
    else this.sink.onBody(EMPTY, true);
  }
}

/** @returns -1: it is none */
function hexDigit(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const letter = byte | 0x20;
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : -1;
}

function tooLarge(): CodecError {
  return new CodecError(431, 'http1.headers_too_large', 'head too large');
}

/** Bare line ends are refused as soon as they come; waiting for the end of such a head would only help an attacker. */
function checkUnfinished(text: string): void {
  // The last character may be the CR of a CRLF that is still on its way.
  checkCharacters(text.endsWith('\r') ? text.slice(0, -1) : text);
}

/** Parses what a client sends. An upgrade does not change framing here: the connection calls `becomeTunnel`. */
export class RequestParser extends Parser<Http1RequestHead> {
  protected override parseHead(text: string): Http1RequestHead {
    return parseRequestHead(text, this.limits);
  }

  protected override afterHead(): 'message' {
    return 'message';
  }
}

const maxInterim = 16;

/** Parses what a server sends; `expect` names the method of the request the next head answers. */
export class ResponseParser extends Parser<Http1ResponseHead> {
  private method = 'GET';
  private interim = 0;

  expect(method: string): void {
    this.method = method;
    this.interim = 0;
    this.next();
  }

  protected override parseHead(text: string): Http1ResponseHead {
    return parseResponseHead(text, this.method, this.limits);
  }

  protected override afterHead(head: Http1ResponseHead): 'message' | 'tunnel' | 'interim' {
    if (head.status === 101) return 'tunnel';
    if (head.status < 200) {
      if (++this.interim > maxInterim) throw codecError('too many interim responses');
      if (!head.keepAlive) throw codecError('interim response that ends the connection');
      return 'interim';
    }
    return this.method === 'CONNECT' && head.status < 300 ? 'tunnel' : 'message';
  }
}
