/** The head of a request from its fields (RFC 9113 sections 8.1 to 8.3, RFC 8441), checked as they come. */
import { CodecError } from '../../message/codec-error.ts';
import type { RequestHead } from '../../message/message.ts';
import { isToken } from '../h1/fields.ts';
import { isAuthority } from '../h1/head.ts';
import { Http2StreamError, invalidField, invalidMessage } from './error.ts';
import type { FieldKind } from './field-rules.ts';
import { HeadFields } from './head-fields.ts';

const notInTarget = /[^\x21-\x7e]/;
const schemeGrammar = /^[A-Za-z][A-Za-z0-9+\-.]*$/;
/** Names the bytes of a CONNECT as a protocol. */
const BYTES = 'bytestream';

/** Of one request after the other: `begin`, the fields, `head`. */
export class RequestFields extends HeadFields {
  private readonly allowConnect: boolean;
  private readonly rejectsUnderscores: boolean;
  private method = '';
  private scheme = '';
  private authority = '';
  private path = '';
  private protocol = '';
  private host = '';

  /**
   * @param allowConnect extended CONNECT was announced (RFC 8441 section 3)
   * @param rejectsUnderscores a name with an underscore refuses its request (Envoy's headers_with_underscores_action)
   */
  constructor(allowConnect: boolean, rejectsUnderscores = false) {
    super();
    this.allowConnect = allowConnect;
    this.rejectsUnderscores = rejectsUnderscores;
  }

  override begin(): void {
    super.begin();
    this.method = '';
    this.scheme = '';
    this.authority = '';
    this.path = '';
    this.protocol = '';
    this.host = '';
  }

  protected override takes(name: string, value: string, kind: FieldKind): boolean {
    if (this.rejectsUnderscores && name.includes('_')) throw underscoreInName();
    if (kind !== 'host') return false;
    this.host = once(this.host, isAuthority(value), value);
    return true;
  }

  protected override onPseudo(name: string, value: string): void {
    // None of them may be empty, so '' says that it is absent.
    switch (name) {
      case ':method':
        this.method = once(this.method, value === 'GET' || value === 'POST' || isToken(value), value);
        return;
      case ':scheme':
        this.scheme = once(this.scheme, value === 'http' || value === 'https' || schemeGrammar.test(value), value);
        return;
      case ':authority':
        this.authority = once(this.authority, isAuthority(value), value);
        return;
      case ':path':
        this.path = once(this.path, value !== '' && !notInTarget.test(value), value);
        return;
      case ':protocol':
        this.protocol = once(this.protocol, this.allowConnect && isToken(value), value);
        return;
      default:
        throw invalidField('an unknown pseudo-header field');
    }
  }

  /**
   * The head, whose fields have all come.
   * @param end the block had END_STREAM
   * @throws MalformedMessage; CodecError for a request that is answered
   */
  head(end: boolean): RequestHead {
    // As in Envoy, `host` is ignored beside :authority, which names the target in any case (RFC 9113 section 8.3.1).
    if (this.authority === '') this.authority = this.host;
    if (this.method === '') throw invalidMessage('a request without :method');
    if (this.authority === '') throw invalidMessage('a request without :authority and host');
    if (this.protocol !== '') return this.extendedConnect();
    if (this.method === 'CONNECT') return this.connect();
    if (this.scheme === '' || this.path === '') throw invalidMessage('a request without :scheme or :path');
    this.checkPath();
    if (end && this.contentLength > 0) throw invalidMessage('a body that content-length announces is missing');
    // A body of which nothing is known but that its end has not come.
    const size = this.contentLength > 0 ? this.contentLength : undefined;
    return this.build(this.method, this.path, end ? 0 : size, '', !end && this.expects());
  }

  private connect(): RequestHead {
    if (this.scheme !== '' || this.path !== '') throw invalidMessage('CONNECT with :scheme or :path');
    return this.build('CONNECT', '', 0, 'connect', false);
  }

  /** As an upgrade of HTTP/1.1 (RFC 8441 section 5), which filters, routes and any upstream know. */
  private extendedConnect(): RequestHead {
    if (this.method !== 'CONNECT') throw invalidMessage(':protocol without CONNECT');
    if (this.scheme === '' || this.path === '') throw invalidMessage('extended CONNECT without :scheme or :path');
    this.checkPath();
    const protocol = this.protocol.toLowerCase();
    // The name that a plain CONNECT has here: the request would be judged as one message and sent as another.
    if (protocol === 'connect') throw invalidMessage(':protocol is "connect"');
    if (protocol === BYTES) return this.build('CONNECT', '', 0, 'connect', false);
    // An upstream of HTTP/1.1 requires the key, which HTTP/2 has no use for.
    if (protocol === 'websocket' && !this.headers.has('sec-websocket-key'))
      this.headers.append('sec-websocket-key', websocketKey(), 'sec-websocket-key');
    this.headers.append('upgrade', this.protocol, 'upgrade');
    this.headers.append('connection', 'upgrade', 'connection');
    return this.build('GET', this.path, 0, protocol, false);
  }

  private checkPath(): void {
    const { path } = this;
    if (path.charCodeAt(0) !== 0x2f && !(path === '*' && this.method === 'OPTIONS'))
      throw invalidMessage(':path is no path');
    // As of HTTP/1.1: policy and upstream might cut it differently.
    if (path.includes('#')) throw new CodecError(400, 'path_normalization_failed', 'fragment in a request target');
  }

  private expects(): boolean {
    return this.headers.get('expect')?.toLowerCase() === '100-continue';
  }

  private build(
    method: string,
    path: string,
    bodySize: number | undefined,
    upgrade: string,
    wantsContinue: boolean,
  ): RequestHead {
    const { authority, headers } = this;
    const scheme = knownScheme(this.scheme);
    return { method, scheme, authority, path, headers, bodySize, upgrade, wantsContinue, version: 'HTTP/2' };
  }
}

/** With the code that Envoy resets with. */
function underscoreInName(): Http2StreamError {
  return new Http2StreamError('INTERNAL_ERROR', 'http2.unexpected_underscore', 'a name of a field has an underscore');
}

/** RFC 6455 section 4.1. */
function websocketKey(): string {
  return btoa(String.fromCharCode(...crypto.getRandomValues(new Uint8Array(16))));
}

function once(before: string, valid: boolean, value: string): string {
  if (before !== '') throw invalidField('a field that may come once came twice');
  if (!valid) throw invalidField('a pseudo-header field or host is malformed');
  return value;
}

/** Others are accepted, as in Envoy, and the connection's is used. */
function knownScheme(scheme: string): '' | 'http' | 'https' {
  if (scheme === 'http' || scheme === 'https') return scheme;
  const lower = scheme.toLowerCase();
  return lower === 'http' || lower === 'https' ? lower : '';
}
