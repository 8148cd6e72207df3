/** llhttp, strict, by Node's own binding: the parser that every Node server runs. */
import { createRequire } from 'node:module';
import type { Side } from './generate.ts';
import { fieldLines, type Message, type Transcript } from './transcript.ts';

interface Binding {
  [callback: number]: ((...args: never[]) => unknown) | undefined;
  initialize(type: number, resource: object, maxHeaderSize: number, lenientFlags: number): void;
  execute(bytes: Uint8Array): number | Error;
  finish(): number | Error | undefined;
  close(): void;
}
interface BindingClass {
  new (): Binding;
  readonly REQUEST: number;
  readonly RESPONSE: number;
  readonly kOnHeaders: number;
  readonly kOnHeadersComplete: number;
  readonly kOnBody: number;
  readonly kOnMessageComplete: number;
  readonly kLenientNone: number;
}
const { HTTPParser } = createRequire(import.meta.url)('node:_http_common') as { HTTPParser: BindingClass };

/** Trailers that the proxy drops on purpose (RFC 9110 section 6.5.1). */
const dropped = new Set(
  (
    'trailer te host connection upgrade authorization proxy-authorization cookie set-cookie content-encoding content-type ' +
    'content-range cache-control expect max-forwards range x-forwarded-for x-forwarded-proto x-forwarded-host ' +
    'x-forwarded-client-cert x-request-id'
  ).split(' '),
);
const maxHeadBytes = 64 * 1024;

/** Names of the numbers that the binding gives methods, learnt by asking it. */
const methodNames = new Map<number, string>();

/** One parser for many texts: making one costs more than a parse. */
export class Llhttp {
  private readonly parser = new HTTPParser();
  private readonly side: Side;
  private method = '';
  private text!: Transcript;
  private current: Message | undefined;
  private fields: string[] = [];
  private url = '';
  private interim = false;
  private last = false;

  constructor(side: Side) {
    this.side = side;
    const { parser } = this;
    parser[HTTPParser.kOnHeaders] = (fields: string[], url: string) => {
      // Long heads come in parts; the target comes with the first.
      this.fields.push(...fields);
      if (url !== '') this.url = url;
    };
    parser[HTTPParser.kOnHeadersComplete] = this.onHead.bind(this);
    parser[HTTPParser.kOnBody] = (bytes: Buffer) => {
      if (this.current) this.current.body += bytes.toString('latin1');
    };
    parser[HTTPParser.kOnMessageComplete] = this.onEnd.bind(this);
  }

  /** @param method of the requests that responses answer */
  read(bytes: Uint8Array, method: string): Transcript {
    this.method = method;
    this.text = { messages: [], stopped: false, error: undefined };
    this.current = undefined;
    this.fields = [];
    this.last = false;
    const type = this.side === 'request' ? HTTPParser.REQUEST : HTTPParser.RESPONSE;
    this.parser.initialize(type, {}, maxHeadBytes, HTTPParser.kLenientNone);
    let result: number | Error | undefined = this.parser.execute(bytes);
    if (!(result instanceof Error) && !this.text.stopped) result = this.parser.finish();
    if (result instanceof Error) this.text.error = (result as Error & { code?: string }).code ?? 'error';
    return this.text;
  }

  private onHead(
    _major: number,
    minor: number,
    given: string[] | undefined,
    method: number | undefined,
    target: string,
    status: number,
    _reason: string,
    upgrade: boolean,
    keepAlive: boolean,
  ): number {
    const fields =
      minor === 0 && this.side === 'request' ? withoutExpect(given ?? this.fields) : (given ?? this.fields);
    const url = given ? target : this.url;
    this.fields = [];
    this.interim = status >= 100 && status < 200 && status !== 101;
    if (this.text.stopped || this.last || this.interim) return 0;
    const tunnel =
      this.side === 'response' && (status === 101 || (this.method === 'CONNECT' && status >= 200 && status < 300));
    // llhttp judges before it learns that a response to HEAD has no body, and again behind it.
    const head = this.method === 'HEAD';
    const start =
      this.side === 'request' ? requestStart(methodNames.get(method!) ?? String(method), url, fields) : String(status);
    this.current = {
      head: `${start} 1.${minor} ${tunnel ? 'tunnel' : `${head ? '' : keepAlive} ${this.side === 'request' && upgrade}`}\n${fieldLines(fields)}`,
      body: '',
      end: undefined,
    };
    this.text.messages.push(this.current);
    if (tunnel) this.text.stopped = true;
    if (!keepAlive && !head) this.last = true;
    if (tunnel) return 2;
    return head ? 1 : 0;
  }

  private onEnd(): void {
    if (this.interim) {
      this.interim = false;
      return;
    }
    if (!this.current) return;
    const kept: string[] = [];
    for (let i = 0; i < this.fields.length; i += 2) {
      if (!dropped.has(this.fields[i]!.toLowerCase())) kept.push(this.fields[i]!, this.fields[i + 1]!);
    }
    this.fields = [];
    this.current.end = fieldLines(kept);
    this.current = undefined;
  }
}

/** The proxy takes `Expect: 100-continue` from HTTP/1.0 requests, in which it means nothing (RFC 9110 section 10.1.1). */
function withoutExpect(fields: readonly string[]): string[] {
  const places = fields.flatMap((name, i) => (i % 2 === 0 && name.toLowerCase() === 'expect' ? [i] : []));
  const [at] = places;
  if (places.length !== 1 || fields[at! + 1]!.toLowerCase() !== '100-continue') return [...fields];
  return fields.toSpliced(at!, 2);
}

/** What the request line and Host say together (RFC 9112 section 3.3); takes Host from the fields. */
function requestStart(method: string, url: string, fields: string[]): string {
  let host = '';
  for (let i = fields.length - 2; i >= 0; i -= 2) {
    if (fields[i]!.toLowerCase() === 'host') host = fields.splice(i, 2)[1]!;
  }
  if (method === 'CONNECT') return `${method} ${url} @${url}`;
  const absolute = /^https?:\/\/([^/?]*)(.*)$/i.exec(url);
  if (!absolute) return `${method} ${url} @${host}`;
  return `${method} ${absolute[2]!.startsWith('/') ? '' : '/'}${absolute[2]} @${absolute[1]}`;
}

for (const name of 'ACL BIND CHECKOUT CONNECT COPY DELETE GET HEAD LINK LOCK M-SEARCH MERGE MKACTIVITY MKCALENDAR MKCOL MOVE NOTIFY OPTIONS PATCH POST PROPFIND PROPPATCH PURGE PUT QUERY REBIND REPORT SEARCH SOURCE SUBSCRIBE TRACE UNBIND UNLINK UNLOCK UNSUBSCRIBE'.split(
  ' ',
)) {
  const parser = new HTTPParser();
  parser.initialize(HTTPParser.REQUEST, {}, maxHeadBytes, HTTPParser.kLenientNone);
  parser[HTTPParser.kOnHeadersComplete] = (_major: number, _minor: number, _fields: string[], method: number) => {
    methodNames.set(method, name);
    return 0;
  };
  parser.execute(Buffer.from(`${name} ${name === 'CONNECT' ? 'a:1' : '/'} HTTP/1.1\r\nHost: a\r\n\r\n`));
  parser.close();
}
