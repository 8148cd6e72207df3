/**
 * Text of others in the output of this program: without characters that a terminal or a reader of lines takes for more than
 * text. These are C0, DEL and C1 (ECMA-48), line and paragraph separators, and the invisible characters that change the order
 * of a text (UAX #9) or hide a part of it.
 */
const UNSAFE = /[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/;
const ALL_UNSAFE = new RegExp(UNSAFE, 'g');
/** JSON escapes C0 itself. */
const ALL_UNSAFE_IN_JSON = /[\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

const SHORT: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' };

/** Unsafe characters as `\n`, `\t` or `\u001b`; other text as it is. */
export function escapeText(text: string): string {
  return UNSAFE.test(text) ? text.replace(ALL_UNSAFE, (character) => SHORT[character] ?? unicode(character)) : text;
}

/** As `escapeText`, for text whose line ends are this program's own. */
export function escapeLines(text: string): string {
  return text.split('\n').map(escapeText).join('\n');
}

/** JSON with the same value that is safe to show. */
export function escapeJson(json: string): string {
  return json.replace(ALL_UNSAFE_IN_JSON, unicode);
}

function unicode(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
}
