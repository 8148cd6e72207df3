/**
 * Writes HTTP/1.1 messages: one head string each, with a small body in the same write. What is small is gathered until the
 * batch ends (see cork.ts); large bodies go out at once.
 */
import type { Connection } from '../../../runtime/runtime.ts';
import type { HeaderMap } from '../../message/header-map.ts';
import { latin1 } from '../bytes.ts';
import { type Corked, uncorkSoon } from '../cork.ts';

/** Chunks up to this size are joined to the text before them. */
const joinBelow = 4096;

/** A request or status line and fields; no empty line, the caller may append fields of its own. */
export function headText(startLine: string, headers: HeaderMap): string {
  let text = startLine;
  const { names, values } = headers;
  for (let i = 0; i < names.length; i++) text += `${names[i]!}: ${values[i]!}\r\n`;
  return text;
}

export class MessageWriter implements Corked {
  private readonly connection: Connection;
  private text = '';
  private chunked = false;
  private queued = false;
  /** Small bodies are gathered too: more messages are about to be written in this batch. */
  gathersBodies = false;

  constructor(connection: Connection) {
    this.connection = connection;
  }

  /** @param head a whole head with its empty line */
  head(head: string, chunked: boolean): void {
    this.chunked = chunked;
    this.text += head;
    this.wait();
  }

  /** Writes or keeps the bytes, which must not change. @returns false above the high-water mark: wait for the connection's drain */
  body(bytes: Uint8Array): boolean {
    const size = bytes.length;
    if (size === 0) return true;
    if (this.chunked) return this.chunk(bytes, size);
    const { text } = this;
    if (text === '') return this.connection.write(bytes);
    if (this.gathersBodies && size <= joinBelow) return this.gather(text + latin1(bytes, 0, size));
    this.text = '';
    return this.connection.writeBoth(text, bytes);
  }

  /** Small chunks come in numbers: they are gathered, with their framing, into one write. */
  private chunk(bytes: Uint8Array, size: number): boolean {
    const text = `${this.text}${size.toString(16)}\r\n`;
    if (size <= joinBelow) return this.gather(`${text}${latin1(bytes, 0, size)}\r\n`);
    this.text = '\r\n';
    this.wait();
    return this.connection.writeBoth(text, bytes);
  }

  private gather(text: string): boolean {
    this.text = text;
    this.wait();
    return text.length < joinBelow * 4 ? true : this.flush();
  }

  /** Ends the body. */
  end(trailers: HeaderMap | undefined): void {
    if (!this.chunked) return;
    this.chunked = false;
    this.text += trailers ? `0\r\n${headText('', trailers)}\r\n` : '0\r\n\r\n';
    this.wait();
  }

  private wait(): void {
    if (this.queued) return;
    this.queued = true;
    uncorkSoon(this);
  }

  uncork(): void {
    this.queued = false;
    this.flush();
  }

  /** Before the connection's own end. @returns false above the high-water mark */
  flush(): boolean {
    if (this.text === '') return true;
    const { text } = this;
    this.text = '';
    return this.connection.writeLatin1(text);
  }
}
