/** The head of a response from its fields (RFC 9113 sections 8.1 to 8.3), checked as they come. */
import { HeaderMap } from '../../message/header-map.ts';
import type { RequestHead, ResponseHead } from '../../message/message.ts';
import { invalidField, invalidMessage } from './error.ts';
import { appendCookie, appendField, checkField, contentLengthOf, isPseudo } from './field-rules.ts';
import type { FieldSink } from './header-block.ts';

const threeDigits = /^[1-9][0-9][0-9]$/;

/** Of one response after the other: `begin`, the fields, `head`. */
export class ResponseFields implements FieldSink {
  private headers = new HeaderMap();
  private regular = false;
  private status = 0;
  /** What content-length says; -1: it is absent. */
  contentLength = -1;

  /** Before the fields of each response, be the one before complete or refused. */
  begin(): void {
    this.headers = new HeaderMap();
    this.regular = false;
    this.status = 0;
    this.contentLength = -1;
  }

  onField(name: string, value: string, neverIndexed: boolean): void {
    if (isPseudo(name)) {
      this.pseudo(name, value);
      return;
    }
    this.regular = true;
    const kind = checkField(name, value);
    if (kind === 'cookie') {
      appendCookie(this.headers, value, neverIndexed);
      return;
    }
    if (kind === 'content-length') this.contentLength = contentLengthOf(value, this.contentLength);
    appendField(this.headers, name, value, neverIndexed);
  }

  private pseudo(name: string, value: string): void {
    if (this.regular) throw invalidField('a pseudo-header field follows a regular one');
    if (name !== ':status') throw invalidField('an unknown pseudo-header field');
    if (this.status !== 0) throw invalidField('more than one :status');
    if (!threeDigits.test(value)) throw invalidField(':status is not made of three digits');
    this.status = Number(value);
  }

  /**
   * The head, whose fields have all come.
   * @param request which it answers: HEAD has no body, an upgrade is answered as HTTP/1.1 does
   * @param end the block had END_STREAM
   * @throws MalformedMessage
   */
  head({ method, upgrade }: Pick<RequestHead, 'method' | 'upgrade'>, end: boolean): ResponseHead {
    const { status, contentLength, headers } = this;
    if (status === 0) throw invalidMessage('a response without :status');
    // There is no switching of protocols in HTTP/2 (section 8.6).
    if (status === 101) throw invalidMessage('the status is 101');
    const interim = status < 200;
    if (interim && end) throw invalidMessage('an interim response ends the stream');
    // As of HTTP/1.1: what follows such a head would be read as a body by some.
    if ((interim || status === 204) && contentLength > 0) throw invalidMessage('a length where no body may be');
    if (upgrade !== '' && status >= 200 && status < 300) return this.tunnel(upgrade);
    const bodyless = interim || status === 204 || status === 304 || method === 'HEAD';
    // RFC 9110 section 8.6: these say the length of another response.
    if (end && contentLength > 0 && !(status === 304 || method === 'HEAD'))
      throw invalidMessage('a body that content-length announces is missing');
    const size = contentLength > 0 ? contentLength : undefined;
    return { status, headers, bodySize: end || bodyless ? 0 : size, upgrade: '', version: 'HTTP/2' };
  }

  /** A 200 to extended CONNECT is the 101 of HTTP/1.1 (RFC 8441 section 5). */
  private tunnel(upgrade: string): ResponseHead {
    const { headers, status } = this;
    headers.remove('content-length');
    if (upgrade === 'connect') return { status, headers, bodySize: undefined, upgrade: '', version: 'HTTP/2' };
    headers.append('upgrade', upgrade, 'upgrade');
    headers.append('connection', 'upgrade', 'connection');
    return { status: 101, headers, bodySize: undefined, upgrade, version: 'HTTP/2' };
  }
}
