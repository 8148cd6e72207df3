/** Trailers from their fields (RFC 9113 section 8.1), checked as they come. */
import { HeaderMap } from '../../message/header-map.ts';
import { neverTrailers } from '../never-trailers.ts';
import { invalidField, invalidMessage } from './error.ts';
import { appendField, checkField, isPseudo } from './field-rules.ts';
import type { FieldSink } from './header-block.ts';

/** Of one message. */
export class TrailerFields implements FieldSink {
  readonly trailers = new HeaderMap();

  onField(name: string, value: string, neverIndexed: boolean): void {
    if (isPseudo(name)) throw invalidField('a pseudo-header field in trailers');
    const kind = checkField(name, value);
    // What a parser might still obey behind the body is no trailer but an attack.
    if (kind === 'content-length') throw invalidMessage('content-length in trailers');
    if (!neverTrailers.has(name)) appendField(this.trailers, name, value, neverIndexed);
  }
}
