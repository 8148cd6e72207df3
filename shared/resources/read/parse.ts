/**
 * Reading resources from text, as kubectl reads them, strictly: YAML (with the meaning goyaml v2 gives it) or JSON,
 * several documents or a JSON stream, `List` kinds expanded. Every violation keeps its line and column.
 */
import { FORBIDDEN } from '../yaml/characters.ts';
import { readJson } from '../yaml/json.ts';
import { LineIndex } from '../yaml/lines.ts';
import { Locator } from '../yaml/locate.ts';
import { MAX_NESTING, type SourceDocument, type SourceViolation } from '../yaml/violations.ts';
import { readYaml } from '../yaml/yaml.ts';

/** Largest text accepted, in characters. */
export const MAX_TEXT_LENGTH = 16 * 1024 * 1024;
const MAX_DOCUMENTS = 100_000;
const MAX_ERRORS = 1000;

/** A place in a text, both from 1; the column counts UTF-16 units. */
export interface Position {
  line: number;
  column: number;
}

export interface ParsedDocument {
  value: unknown;
  file?: string;
  /** Where the document (or list item) begins. */
  line: number;
  column: number;
  /** Violations of its own text, as a duplicate field; paths within the document or list item. */
  errors: ParseError[];
  /** For `locate`. */
  origin: Origin;
}

interface Origin {
  lines: LineIndex;
  locator: Locator;
  /** Offset of the document in its text. */
  start: number;
  /** Path of a list's item within its document. */
  prefix: string;
}

export interface ParseError extends Position {
  path: string;
  message: string;
  rule: SourceViolation['rule'];
  file?: string;
}

export interface ParseResult {
  /** Those without errors. */
  documents: ParsedDocument[];
  /** All of them. */
  errors: ParseError[];
  /** For reports of all violations at once: documents that can be read but have errors. */
  invalid: ParsedDocument[];
  /** The errors of texts that gave no document, those of one together. */
  unread: ParseError[][];
}

/**
 * Parses every document of a text. An invalid document gives errors and is not among `documents`; the others still are.
 * Empty documents are left out. Never throws.
 */
export function parseDocuments(text: string, file?: string): ParseResult {
  const result: ParseResult = { documents: [], errors: [], invalid: [], unread: [] };
  const where = file === undefined ? {} : { file };
  const plain = text.startsWith('\uFEFF') ? text.slice(1) : text;
  const lines = new LineIndex(plain);
  let count = 0;
  for (const document of documentsOf(plain, file)) {
    if (++count > MAX_DOCUMENTS) document.violations = [tooMany(document.start)];
    const violations = document.violations.slice(0, Math.max(0, MAX_ERRORS - result.errors.length));
    const errors = violations.map(({ offset, ...violation }) => ({
      ...violation,
      ...where,
      ...lines.positionOf(offset),
    }));
    result.errors.push(...errors);
    if (errors.length > 0 && (count > MAX_DOCUMENTS || document.value === undefined)) result.unread.push(errors);
    if (count > MAX_DOCUMENTS) break;
    if (document.value === null || document.value === undefined) continue;
    const origin = { lines, locator: new Locator(plain.slice(document.start, document.end)), start: document.start };
    const place = lines.positionOf(document.contentStart);
    addItems(result, { value: document.value, ...where, ...place, errors, origin: { ...origin, prefix: '' } });
  }
  return result;
}

function tooMany(offset: number): SourceViolation {
  return { path: '', rule: 'yaml', message: `there are more than ${MAX_DOCUMENTS} documents`, offset };
}

/**
 * As `parseDocuments`, from a file's bytes. What is no UTF-8 is an error that names the place.
 */
export function parseBytes(bytes: Uint8Array, file?: string): ParseResult {
  try {
    return parseDocuments(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes), file);
  } catch {
    const [first, second] = bytes;
    const utf16 = (first === 0xff && second === 0xfe) || (first === 0xfe && second === 0xff);
    const { line, column } = utf16 ? { line: 1, column: 1 } : firstBadByte(bytes);
    const message = utf16 ? 'the file is UTF-16: save it as UTF-8' : 'the file is not UTF-8 here';
    const error: ParseError = { path: '', rule: 'yaml', message, line, column };
    const errors = [file === undefined ? error : { ...error, file }];
    return { documents: [], invalid: [], errors, unread: [errors] };
  }
}

/**
 * The position of a violation in the text of its document. A path that leads nowhere (a field that is missing)
 * gives the closest place above it.
 * @param path as in `Violation`: `spec.http[0].route`
 * @param wanted the field's name or its value
 */
export function locate(document: ParsedDocument, path: string, wanted: 'key' | 'value' = 'value'): Position {
  const { line, column, origin } = document;
  const full = `${origin.prefix}${path === '' || path.startsWith('[') || origin.prefix === '' ? '' : '.'}${path}`;
  if (full === '') return { line, column };
  const offset = origin.locator.offsetOf(full, wanted);
  return offset === undefined ? { line, column } : origin.lines.positionOf(origin.start + offset);
}

/**
 * The one value of a text whose format is known, as of a request's body. Nothing at all is null in YAML.
 * Never throws; `value` is undefined when an error is more than a duplicate field.
 */
export function parseOne(text: string, format: 'JSON' | 'YAML'): { value: unknown; errors: ParseError[] } {
  const lines = new LineIndex(text);
  const [document, second] = [...(format === 'JSON' ? readJson(text) : yamlOf(text))];
  const violations = [...(document?.violations ?? [])];
  const refuse = (message: string, offset: number) =>
    violations.push({ path: '', rule: format === 'JSON' ? 'json' : 'yaml', message, offset });
  if (second) refuse('there is more than one value', second.start);
  if (!document && format === 'JSON') refuse('the text ends too early', text.length);
  const errors = violations.map(({ offset, ...violation }) => ({ ...violation, ...lines.positionOf(offset) }));
  return { value: second ? undefined : document ? document.value : null, errors };
}

/** JSON when it looks like it; a text in YAML's flow style begins with a brace too. */
function* documentsOf(text: string, file?: string): Iterable<SourceDocument> {
  if (text.length > MAX_TEXT_LENGTH) {
    yield nothing(`the file is larger than ${MAX_TEXT_LENGTH / 1024 / 1024} MiB`, 0);
    return;
  }
  if (/^\s*[{[]/.test(text)) {
    const documents = [...readJson(text)];
    const broken = documents.some((document) => document.violations.some((violation) => violation.rule === 'json'));
    const deep = documents.some((document) =>
      document.violations.some((violation) => violation.message.includes('nested deeper')),
    );
    if (!broken || deep || /\.json$/i.test(file ?? '')) {
      yield* documents;
      return;
    }
  }
  yield* yamlOf(text);
}

function* yamlOf(text: string): Iterable<SourceDocument> {
  const forbidden = FORBIDDEN.exec(text);
  if (forbidden) {
    const code = text.charCodeAt(forbidden.index).toString(16).toUpperCase().padStart(4, '0');
    yield nothing(`the character U+${code} is not allowed`, forbidden.index);
    return;
  }
  try {
    yield* readYaml(text);
  } catch (cause) {
    // The parser recurses: a stack overflow is a RangeError.
    const message = cause instanceof RangeError ? `is nested deeper than ${MAX_NESTING} levels` : oneLine(cause);
    yield nothing(`cannot be read as YAML: ${message}`, 0);
  }
}

function nothing(message: string, offset: number): SourceDocument {
  const violation: SourceViolation = { path: '', rule: 'yaml', message, offset };
  return { value: undefined, violations: [violation], start: 0, end: 0, contentStart: 0 };
}

/** The longest start of the bytes that is UTF-8 ends where the violation is. */
function firstBadByte(bytes: Uint8Array): Position {
  let good = 0;
  let bad = bytes.length + 1;
  while (bad - good > 1) {
    const middle = (good + bad) >>> 1;
    try {
      new TextDecoder('utf-8', { fatal: true }).decode(bytes.subarray(0, middle), { stream: true });
      good = middle;
    } catch {
      bad = middle;
    }
  }
  const before = new TextDecoder().decode(bytes.subarray(0, good));
  return new LineIndex(before).positionOf(before.length);
}

/** `List` and `<Kind>List` objects are replaced by their items; a list with errors of its own is invalid whole. */
function addItems(result: ParseResult, document: ParsedDocument): void {
  const items = isList(document.value) ? document.value.items : undefined;
  const list = document.errors.length > 0 ? result.invalid : result.documents;
  if (!items) {
    list.push(document);
    return;
  }
  const placed = new Set<ParseError>();
  for (const [i, value] of items.entries()) {
    if (value === null) continue;
    const prefix = `items[${i}]`;
    const own = document.errors.filter((error) => error.path.startsWith(prefix));
    for (const error of own) placed.add(error);
    const errors = own.map((error) => ({ ...error, path: error.path.slice(prefix.length).replace(/^\./, '') }));
    const item = { ...document, value, errors, origin: { ...document.origin, prefix } };
    list.push({ ...item, ...locate(item, '') });
  }
  const rest = document.errors.filter((error) => !placed.has(error));
  if (rest.length > 0) result.unread.push(rest);
}

function isList(value: unknown): value is { items: unknown[] } {
  const object = value as { kind?: unknown; items?: unknown };
  return (
    typeof value === 'object' &&
    typeof object.kind === 'string' &&
    object.kind.endsWith('List') &&
    Array.isArray(object.items)
  );
}

function oneLine(cause: unknown): string {
  const message = cause instanceof Error ? cause.message : String(cause);
  return message.split('\n', 1)[0] ?? message;
}
