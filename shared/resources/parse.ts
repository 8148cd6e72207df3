/** Reading resources from text: YAML 1.2 or JSON, several documents, `List` kinds expanded. */
import { type Document, isMap, isSeq, LineCounter, type Node, parseAllDocuments } from 'yaml';

/** Largest text accepted, in characters. */
export const MAX_TEXT_LENGTH = 16 * 1024 * 1024;
/** How often aliases may multiply their anchors: a bomb is refused, ordinary reuse is not. */
const MAX_ALIAS_COUNT = 100;
const MAX_DOCUMENTS = 10_000;

export interface ParsedDocument {
  value: unknown;
  file?: string;
  /** Line the document (or list item) begins on, from 1. */
  line: number;
}

export interface ParseError {
  path: '';
  message: string;
  rule: 'yaml';
  file?: string;
  /** From 1. */
  line: number;
}

export interface ParseResult {
  documents: ParsedDocument[];
  errors: ParseError[];
}

/**
 * Parses every document of a text. A faulty document gives errors and no value; the others are still returned.
 * Empty documents are left out. Never throws.
 */
export function parseDocuments(text: string, file?: string): ParseResult {
  const where = file === undefined ? {} : { file };
  const result: ParseResult = { documents: [], errors: [] };
  const error = (line: number, message: string) =>
    result.errors.push({ path: '', message, rule: 'yaml', ...where, line });
  if (text.length > MAX_TEXT_LENGTH) {
    error(1, `the file is larger than ${MAX_TEXT_LENGTH / 1024 / 1024} MiB`);
    return result;
  }
  const lines = new LineCounter();
  let documents: Document.Parsed[];
  try {
    const parsed = parseAllDocuments(withoutBom(text), {
      lineCounter: lines,
      prettyErrors: false,
      uniqueKeys: true,
      version: '1.2',
      merge: true,
      logLevel: 'silent',
    });
    documents = Array.isArray(parsed) ? (parsed as Document.Parsed[]) : [];
  } catch (cause) {
    error(1, `cannot be read as YAML: ${oneLine(cause)}`);
    return result;
  }
  if (documents.length > MAX_DOCUMENTS) {
    error(1, `has more than ${MAX_DOCUMENTS} documents`);
    return result;
  }
  for (const document of documents) {
    const offset = startOf(document);
    const line = Math.max(1, lines.linePos(offset).line);
    if (document.errors.length > 0) {
      for (const each of document.errors.slice(0, 20)) error(lines.linePos(each.pos[0]).line || line, oneLine(each));
      continue;
    }
    try {
      const value: unknown = document.toJS({ maxAliasCount: MAX_ALIAS_COUNT });
      if (value === null || value === undefined) continue;
      for (const item of expandList(value, document, lines, line)) result.documents.push({ ...item, ...where });
    } catch (cause) {
      error(line, oneLine(cause));
    }
  }
  return result;
}

function startOf(document: Document.Parsed): number {
  return (document.contents as Node | null)?.range?.[0] ?? document.range[0];
}

/** `List` and `<Kind>List` objects stand for their items. */
function expandList(value: unknown, document: Document, lines: LineCounter, line: number): ParsedDocument[] {
  if (!isList(value)) return [{ value, line }];
  const nodes = isMap(document.contents) ? document.contents.get('items', true) : undefined;
  return value.items.flatMap((item, i) => {
    const range = isSeq(nodes) ? (nodes.items[i] as Node | undefined)?.range : undefined;
    return item === null ? [] : [{ value: item, line: range ? lines.linePos(range[0]).line : line }];
  });
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

function withoutBom(text: string): string {
  return text.startsWith('\uFEFF') ? text.slice(1) : text;
}

function oneLine(cause: unknown): string {
  const message = cause instanceof Error ? cause.message : String(cause);
  return message.split('\n', 1)[0] ?? message;
}
