/** The head of a response from its fields (RFC 9113 sections 8.1 to 8.3), checked as they come. */
import type { RequestHead, ResponseHead } from '../../message/message.ts';
import { invalidField, invalidMessage } from './error.ts';
import { HeadFields } from './head-fields.ts';

const threeDigits = /^[1-9][0-9][0-9]$/;

/** Of one response after the other: `begin`, the fields, `head`. */
export class ResponseFields extends HeadFields {
  private status = 0;

  override begin(): void {
    super.begin();
    this.status = 0;
  }

  protected override takes(): boolean {
    return false;
  }

  protected override onPseudo(name: string, value: string): void {
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
