/** Errors of a text before its resources are validated. */

/** Most violations reported for one document. */
export const MAX_SOURCE_VIOLATIONS = 100;
/** Deeper nesting is refused before recursive code reads it. */
export const MAX_NESTING = 100;

export interface SourceViolation {
  /** The field, where the violation is about one: `spec.hosts`; '' when the text cannot be read there. */
  path: string;
  message: string;
  rule: 'yaml' | 'json' | 'duplicate-field';
  /** Offset in the text, in UTF-16 units. */
  offset: number;
}

/** One document of a text. */
export interface SourceDocument {
  /** Undefined when the document could not be read. Of a duplicate field the last one counts. */
  value: unknown;
  /** Syntax errors when there is no value, else duplicate fields. */
  violations: SourceViolation[];
  /** The document's text in the whole: from (its first token) and to. */
  start: number;
  end: number;
  /** Where its content begins: behind comments and `---`. */
  contentStart: number;
}

/** Sets a field even when it is called `__proto__`, which then is ordinary data. */
export function setField(object: Record<string, unknown>, key: string, value: unknown): void {
  if (key !== '__proto__') object[key] = value;
  else Object.defineProperty(object, key, { value, enumerable: true, configurable: true, writable: true });
}
