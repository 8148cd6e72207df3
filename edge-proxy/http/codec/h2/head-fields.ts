/** The fields of heads of both sides, checked as they come (RFC 9113 section 8.2 and 8.3). */
import { HeaderMap } from '../../message/header-map.ts';
import { invalidField } from './error.ts';
import { appendCookie, appendField, checkField, contentLengthOf, type FieldKind, isPseudo } from './field-rules.ts';
import type { FieldSink } from './header-block.ts';

/** Of one head after the other. */
export abstract class HeadFields implements FieldSink {
  protected headers = new HeaderMap();
  private regular = false;
  /** What content-length says; -1: it is absent. */
  contentLength = -1;

  /** Before the fields of each head, be the one before complete or refused. */
  begin(): void {
    this.headers = new HeaderMap();
    this.regular = false;
    this.contentLength = -1;
  }

  protected abstract onPseudo(name: string, value: string): void;

  /** A regular field of the right form. @param kind of `checkField` @returns whether it is taken: it is no header field then */
  protected abstract takes(name: string, value: string, kind: FieldKind): boolean;

  onField(name: string, value: string, neverIndexed: boolean): void {
    if (isPseudo(name)) {
      if (this.regular) throw invalidField('a pseudo-header field follows a regular one');
      this.onPseudo(name, value);
      return;
    }
    this.regular = true;
    const kind = checkField(name, value);
    if (this.takes(name, value, kind)) return;
    if (kind === 'cookie') {
      appendCookie(this.headers, value, neverIndexed);
      return;
    }
    if (kind === 'content-length') this.contentLength = contentLengthOf(value, this.contentLength);
    appendField(this.headers, name, value, neverIndexed);
  }
}
