/** Characters that no field may hold (RFC 9113 section 8.2.1), or that are not Latin-1: a field with one is never sent. */

/** Characters below are looked at one by one. */
export const FIRST_PRINTABLE = 0x20;

/** @throws RangeError for NUL, CR, LF and a character above U+00FF */
export function checkCharacter(code: number): void {
  if (code === 0 || code === 10 || code === 13 || code > 0xff)
    throw new RangeError('a header field holds NUL, CR, LF or a character above U+00FF');
}
