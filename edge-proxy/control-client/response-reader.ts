/** Reads one HTTP/1.1 response (RFC 9112) with a fixed length or in chunks; anything ambiguous is an error. */

const MAX_HEAD_BYTES = 64 * 1024;
const MAX_LINE_BYTES = 8 * 1024;

type State = 'head' | 'fixed' | 'until-close' | 'chunk-size' | 'chunk-data' | 'chunk-end' | 'trailer' | 'done';

export class ResponseReader {
  status = 0;
  /** The connection may carry another request. */
  reusable = false;
  /** Content coding of the body. */
  coding: 'identity' | 'gzip' = 'identity';
  private readonly maxBodyBytes: number;
  private state: State = 'head';
  private buffered: Uint8Array = new Uint8Array(0);
  private readonly parts: Uint8Array[] = [];
  private size = 0;
  private left = 0;

  constructor(maxBodyBytes: number) {
    this.maxBodyBytes = maxBodyBytes;
  }

  /** A byte of the response has been seen. */
  get started(): boolean {
    return this.state !== 'head' || this.buffered.length > 0;
  }

  /** @returns true when the response is complete. @throws Error when it is not HTTP or too large */
  push(bytes: Uint8Array): boolean {
    this.buffered = concat([this.buffered, bytes]);
    while (this.state !== 'done' && this.step());
    if (this.state === 'done' && this.buffered.length > 0) this.reusable = false;
    return this.state === 'done';
  }

  /** The peer closed. @returns true when that completes the response */
  end(): boolean {
    if (this.state === 'until-close') this.state = 'done';
    return this.state === 'done';
  }

  body(): Uint8Array {
    return concat(this.parts);
  }

  /** One step; false when more bytes are needed. */
  private step(): boolean {
    switch (this.state) {
      case 'head':
        return this.readHead();
      case 'fixed':
      case 'until-close':
      case 'chunk-data':
        return this.readBody();
      case 'chunk-size':
        return this.readLine((line) => this.chunkSize(line));
      case 'chunk-end':
        return this.readLine((line) => {
          if (line !== '') throw new Error('bad chunk end in the answer');
          this.state = 'chunk-size';
        });
      case 'trailer':
        return this.readLine((line) => {
          if (line === '') this.state = 'done';
        });
      case 'done':
        return false;
    }
  }

  private readHead(): boolean {
    const end = indexOfHeadEnd(this.buffered);
    if (end < 0) {
      if (this.buffered.length > MAX_HEAD_BYTES) throw new Error('the answer has too large a head');
      return false;
    }
    const [statusLine = '', ...fields] = latin1(this.buffered.subarray(0, end)).split('\r\n');
    this.buffered = this.buffered.subarray(end + 4);
    const status = /^HTTP\/1\.([01]) (\d{3})(?: |$)/.exec(statusLine);
    if (!status) throw new Error('the answer is not HTTP/1.1');
    this.status = Number(status[2]);
    if (this.status < 200) return true; // 100 Continue and its like: the real head follows
    this.framing(parseFields(fields), status[1] === '1');
    return true;
  }

  private framing(fields: Map<string, string>, http11: boolean): void {
    const length = fields.get('content-length');
    const coding = fields.get('transfer-encoding')?.toLowerCase();
    this.coding = contentCoding(fields.get('content-encoding'));
    if (length !== undefined && coding !== undefined) throw new Error('the answer has two lengths');
    this.reusable = http11 && !(fields.get('connection') ?? '').toLowerCase().includes('close');
    if (this.status === 204 || this.status === 304) this.state = 'done';
    else if (coding !== undefined) {
      if (coding !== 'chunked') throw new Error(`the answer has an unknown transfer coding "${coding}"`);
      this.state = 'chunk-size';
    } else if (length !== undefined) {
      if (!/^\d{1,15}$/.test(length)) throw new Error('the answer has a bad content-length');
      this.expect(Number(length));
      this.state = this.left === 0 ? 'done' : 'fixed';
    } else {
      this.reusable = false;
      this.state = 'until-close';
    }
  }

  private expect(bytes: number): void {
    if (this.size + bytes > this.maxBodyBytes) throw new Error(`the answer is larger than ${this.maxBodyBytes} bytes`);
    this.left = bytes;
  }

  private readBody(): boolean {
    if (this.buffered.length === 0) return false;
    if (this.state === 'until-close') this.expect(this.buffered.length);
    const part = this.buffered.subarray(0, this.left);
    this.buffered = this.buffered.subarray(part.length);
    this.parts.push(part);
    this.size += part.length;
    this.left -= part.length;
    if (this.left === 0 && this.state === 'fixed') this.state = 'done';
    if (this.left === 0 && this.state === 'chunk-data') this.state = 'chunk-end';
    return true;
  }

  private chunkSize(line: string): void {
    const size = /^([0-9a-fA-F]{1,8})(?:[ \t]*;.*)?$/.exec(line)?.[1];
    if (size === undefined) throw new Error('bad chunk size in the answer');
    this.expect(Number.parseInt(size, 16));
    this.state = this.left === 0 ? 'trailer' : 'chunk-data';
  }

  private readLine(take: (line: string) => void): boolean {
    const end = this.buffered.indexOf(10);
    if (end < 0) {
      if (this.buffered.length > MAX_LINE_BYTES) throw new Error('the answer has too long a line');
      return false;
    }
    if (end === 0 || this.buffered[end - 1] !== 13) throw new Error('the answer has a bare line feed');
    const line = latin1(this.buffered.subarray(0, end - 1));
    this.buffered = this.buffered.subarray(end + 1);
    take(line);
    return true;
  }
}

/** @throws Error for a coding that was not asked for */
function contentCoding(field: string | undefined): ResponseReader['coding'] {
  const coding = field?.toLowerCase() ?? 'identity';
  if (coding === 'identity' || coding === 'gzip') return coding;
  throw new Error(`the answer has an unknown content coding "${coding}"`);
}

function parseFields(lines: readonly string[]): Map<string, string> {
  const fields = new Map<string, string>();
  for (const line of lines) {
    const field = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*(.*?)[ \t]*$/.exec(line);
    if (!field) throw new Error('the answer has a malformed header');
    const name = field[1]!.toLowerCase();
    const before = fields.get(name);
    if (before !== undefined && (name === 'content-length' || name === 'transfer-encoding'))
      throw new Error(`the answer repeats ${name}`);
    fields.set(name, before === undefined ? field[2]! : `${before}, ${field[2]}`);
  }
  return fields;
}

function indexOfHeadEnd(bytes: Uint8Array): number {
  for (let at = bytes.indexOf(13); at >= 0 && at + 3 < bytes.length; at = bytes.indexOf(13, at + 1))
    if (bytes[at + 1] === 10 && bytes[at + 2] === 13 && bytes[at + 3] === 10) return at;
  return -1;
}

const latin1 = (bytes: Uint8Array): string => new TextDecoder('latin1').decode(bytes);

/** Copies: sockets reuse the buffers they hand over. */
function concat(parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}
