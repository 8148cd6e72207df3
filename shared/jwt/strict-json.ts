/** JSON of tokens and key sets: bounded before it is parsed, and unambiguous. */

/** Objects and arrays inside each other. */
const MAX_DEPTH = 32;

/**
 * The object that a text holds. Undefined where it is no JSON object, is nested too deeply, uses a key twice in one
 * object (parsers disagree on which of the two counts) or holds a number that is out of range.
 */
export function parseJsonObject(text: string): Record<string, unknown> | undefined {
  const members = countMembers(text);
  if (members === undefined) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  return distinctMembers(value) === members ? (value as Record<string, unknown>) : undefined;
}

/** How many members the objects of a text are written with: its colons outside strings. Undefined: nested too deeply. */
function countMembers(text: string): number | undefined {
  let depth = 0;
  let colons = 0;
  for (let i = 0; i < text.length; i++) {
    switch (text.charCodeAt(i)) {
      case 0x22:
        i = endOfString(text, i);
        break;
      case 0x3a:
        colons++;
        break;
      case 0x7b:
      case 0x5b:
        if (++depth > MAX_DEPTH) return undefined;
        break;
      case 0x7d:
      case 0x5d:
        depth--;
    }
  }
  return colons;
}

/** Where the string that begins at `start` ends. */
function endOfString(text: string, start: number): number {
  let i = start + 1;
  while (i < text.length && text.charCodeAt(i) !== 0x22) i += text.charCodeAt(i) === 0x5c ? 2 : 1;
  return i;
}

/** The members of a value and of all values in it; NaN where it holds a number that is not finite. */
function distinctMembers(value: unknown): number {
  if (typeof value === 'number') return Number.isFinite(value) ? 0 : Number.NaN;
  if (typeof value !== 'object' || value === null) return 0;
  const inner = Object.values(value);
  let count = Array.isArray(value) ? 0 : inner.length;
  for (const one of inner) count += distinctMembers(one);
  return count;
}
