/** Headers that may be written from tokens. */
import { FRAMING_HEADERS } from '../match/framing-headers.ts';

/** A field name of RFC 9110 section 5.1. */
const NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
/** Why a header cannot be written from a token; undefined: it can. */
export function outputHeaderProblem(name: string): string | undefined {
  if (!NAME.test(name)) return 'must be a header name';
  const key = name.toLowerCase();
  return FRAMING_HEADERS.has(key) || key === 'host'
    ? 'cannot be a header that frames the message or names its host'
    : undefined;
}
