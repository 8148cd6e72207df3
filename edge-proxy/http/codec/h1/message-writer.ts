/**
 * Writes HTTP/1.1 messages: one head string each, with a small body in the same write. What is small is gathered until
 * `flush`, which the owner calls when it has handled a batch of bytes; large bodies go out at once.
 */
import type { Connection } from '../../../runtime/runtime.ts';
import type { HeaderMap } from '../../message/header-map.ts';
import { latin1 } from '../bytes.ts';

/** Chunks up to this size are joined to the text before them. */
const joinBelow = 4096;

/** A request or status line and fields; no empty line, the caller may append fields of its own. */
export function headText(startLine: string, headers: HeaderMap): string {
  let text = startLine;
  const { names, values } = headers;
  for (let i = 0; i < names.length; i++) text += `${names[i]!}: ${values[i]!}\r\n`;
  return text;
}

export class MessageWriter {
  private readonly connection: Connection;
  private text = '';
  private chunked = false;
  /** Everything handed over, framing included. */
  bytes = 0;

  constructor(connection: Connection) {
    this.connection = connection;
  }

  /** @param head a whole head with its empty line */
  head(head: string, chunked: boolean): void {
    this.chunked = chunked;
    this.text += head;
    this.bytes += head.length;
  }

  /** Writes or keeps the bytes, which must not change. @returns false above the high-water mark: wait for the connection's drain */
  body(bytes: Uint8Array): boolean {
    const size = bytes.length;
    if (size === 0) return true;
    this.bytes += size;
    if (this.chunked) return this.chunk(bytes, size);
    const { text } = this;
    if (text === '') return this.connection.write(bytes);
    this.text = '';
    return this.connection.writeBoth(text, bytes);
  }

  /** Small chunks come in numbers: they are gathered, with their framing, into one write. */
  private chunk(bytes: Uint8Array, size: number): boolean {
    this.text += `${size.toString(16)}\r\n`;
    if (size <= joinBelow) {
      this.text += `${latin1(bytes, 0, size)}\r\n`;
      return this.text.length < joinBelow * 4 ? true : this.flush();
    }
    const room = this.connection.writeBoth(this.text, bytes);
    this.text = '\r\n';
    return room;
  }

  end(trailers: HeaderMap | undefined): void {
    if (this.chunked) this.text += trailers ? `0\r\n${headText('', trailers)}\r\n` : '0\r\n\r\n';
    this.chunked = false;
  }

  /** @returns false above the high-water mark */
  flush(): boolean {
    if (this.text === '') return true;
    const text = this.text;
    this.text = '';
    return this.connection.writeLatin1(text);
  }
}
