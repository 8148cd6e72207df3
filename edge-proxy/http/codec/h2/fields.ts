/** What the fields of an HTTP/2 message must be like (RFC 9113 section 8). */
import { isToken } from '../h1/fields.ts';
import { Http2Error } from './error.ts';
import type { FieldSink } from './header-block.ts';

/** Name and value; characters below U+0100, one a byte. */
export type Field = readonly [name: string, value: string];

/** All fields of a block. */
export class FieldList implements FieldSink {
  readonly fields: Field[] = [];

  onField(name: string, value: string): void {
    this.fields.push([name, value]);
  }
}

/** They speak of a connection, which HTTP/2 does by other means (section 8.2.2). */
const CONNECTION_FIELDS: ReadonlySet<string> = new Set([
  'connection',
  'proxy-connection',
  'keep-alive',
  'transfer-encoding',
  'upgrade',
  'te',
]);

export interface ResponseFields {
  readonly status: number;
  /** Without pseudo-header fields. */
  readonly fields: readonly Field[];
  /** undefined: not given. */
  readonly contentLength: number | undefined;
}

function malformed(message: string): Http2Error {
  return new Http2Error('PROTOCOL_ERROR', message);
}

/** @throws Http2Error for a head that is malformed (sections 8.2, 8.3.2) */
export function readResponseHead(all: readonly Field[]): ResponseFields {
  const [first, ...fields] = all;
  if (first?.[0] !== ':status') throw malformed('a response does not begin with its status');
  const status = first[1];
  if (!/^[1-5][0-9][0-9]$/.test(status)) throw malformed('a status is not made of three digits');
  // There is no switching of protocols in HTTP/2 (section 8.6).
  if (status === '101') throw malformed('the status is 101');
  checkRegular(fields);
  return { status: Number(status), fields, contentLength: contentLength(fields) };
}

/** @throws Http2Error for trailers that are malformed: a pseudo-header field above all (section 8.1) */
export function checkTrailers(fields: readonly Field[]): void {
  checkRegular(fields);
}

function checkRegular(fields: readonly Field[]): void {
  for (const [name, value] of fields) {
    // A pseudo-header field begins with a colon, and here is none any more.
    if (!isToken(name) || /[A-Z]/.test(name)) throw malformed('the name of a field is malformed');
    if (CONNECTION_FIELDS.has(name)) throw malformed('a field speaks of the connection');
    if (!isValue(value)) throw malformed('the value of a field is malformed');
  }
}

/** No NUL, CR or LF anywhere, no blank at either end (section 8.2.1). */
function isValue(value: string): boolean {
  for (let i = 0; i < value.length; i++) {
    const code = value.charCodeAt(i);
    if (code === 0 || code === 10 || code === 13) return false;
  }
  return value === '' || !(isBlank(value.charCodeAt(0)) || isBlank(value.charCodeAt(value.length - 1)));
}

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09;
}

function contentLength(fields: readonly Field[]): number | undefined {
  let found: string | undefined;
  for (const [name, value] of fields) {
    if (name !== 'content-length') continue;
    if (!/^[0-9]{1,15}$/.test(value) || (found !== undefined && found !== value))
      throw malformed('content-length is malformed');
    found = value;
  }
  return found === undefined ? undefined : Number(found);
}

/** The values of a field, in their order. */
export function valuesOf(fields: readonly Field[], name: string): string[] {
  return fields.filter((field) => field[0] === name).map((field) => field[1]);
}
