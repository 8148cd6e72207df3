/**
 * A short way for YAML as nearly everybody writes it: block style, spaces, scalars of one line, short flow lists. It reads
 * what it is certain of, ten times as fast as the whole parser, and leaves everything else to that one: the two agree
 * on every document that this one reads (tested by comparison).
 */
import { MAX_NESTING, type SourceDocument } from './faults.ts';
import { resolvePlain } from './scalar.ts';

/** Anything in here may mean something that one line does not show. */
const UNUSUAL = /[\t\r\ufeff]|^(?:\.\.\.|%)/m;
const KEY = /^(?:([A-Za-z_/][\w./-]*)|"([^"\\]*)"|'([^']*)') *:(?: +|$)/;
const DOUBLE = /^"((?:[^"\\]|\\["\\/bfnrt])*)"(?: +#.*)?$/;
const SINGLE = /^'((?:[^']|'')*)'(?: +#.*)?$/;
/** No indicator first; what stands within is looked at apart. */
const PLAIN = /^(?:[^\s\-?:,[\]{}#&*!|>'"%@`]|-[^\s,[\]{}])/;
const FLOW_ITEM = /^(?:[\w./][\w./-]*|-[\w.][\w./-]*)$/;

class Unusual extends Error {}
const unusual = new Unusual();

/** The document whose text is this part of the whole, or undefined when it is not plain enough. Never has faults. */
export function readPlain(text: string, start: number, end: number): SourceDocument | undefined {
  const part = text.slice(start, end);
  if (UNUSUAL.test(part)) return undefined;
  try {
    const reader = new PlainReader(part);
    const value = reader.document();
    return { value, faults: [], start, end, contentStart: start + reader.firstOffset };
  } catch (error) {
    if (error === unusual) return undefined;
    throw error;
  }
}

class PlainReader {
  firstOffset = 0;
  readonly #text: string;
  #next = 0;
  /** The line under the eye, without comment lines and empty ones: its indentation, and its text without either end's spaces. */
  #indent = -1;
  #line = '';

  constructor(text: string) {
    this.#text = text;
  }

  document(): unknown {
    this.#advance();
    if (/^---(?: *$| +#)/.test(this.#line) && this.#indent === 0) this.#advance();
    // Nothing at all is told apart by the whole parser.
    if (this.#indent < 0 || this.#line.startsWith('---')) throw unusual;
    this.firstOffset = this.#next - 1 - this.#lineLength() + this.#indent;
    const value = this.#block(this.#indent, 0);
    if (this.#indent >= 0) throw unusual;
    return value;
  }

  /** The line under the eye as it stands in the text, which may end without a line feed. */
  #lineLength(): number {
    const from = this.#text.lastIndexOf('\n', this.#next - 2) + 1;
    return this.#next - 1 - from;
  }

  #advance(): void {
    const text = this.#text;
    while (this.#next < text.length) {
      const from = this.#next;
      let to = text.indexOf('\n', from);
      if (to < 0) to = text.length;
      this.#next = to + 1;
      let first = from;
      while (first < to && text.charCodeAt(first) === 0x20) first++;
      if (first === to || text.charCodeAt(first) === 0x23) continue;
      while (text.charCodeAt(to - 1) === 0x20) to--;
      this.#indent = first - from;
      this.#line = text.slice(first, to);
      return;
    }
    this.#indent = -1;
    this.#line = '';
  }

  /** A list or a map whose lines stand at this indentation. */
  #block(indent: number, depth: number): unknown {
    if (depth >= MAX_NESTING) throw unusual;
    return isEntry(this.#line) ? this.#list(indent, depth) : this.#map(indent, depth);
  }

  #list(indent: number, depth: number): unknown[] {
    const list: unknown[] = [];
    while (this.#indent === indent && isEntry(this.#line)) {
      let skip = 1;
      while (this.#line.charCodeAt(skip) === 0x20) skip++;
      const rest = this.#line.slice(skip);
      if (rest === '' || rest.startsWith('#')) {
        this.#advance();
        list.push(this.#indent > indent ? this.#block(this.#indent, depth + 1) : null);
      } else if (isEntry(rest) || KEY.test(rest)) {
        // What follows the dash is a block of its own, at the column where it stands.
        this.#indent = indent + skip;
        this.#line = rest;
        list.push(this.#block(this.#indent, depth + 1));
      } else {
        list.push(this.#scalar(rest, depth));
        this.#advance();
        if (this.#indent > indent) throw unusual;
      }
    }
    if (this.#indent > indent) throw unusual;
    return list;
  }

  #map(indent: number, depth: number): Record<string, unknown> {
    const map: Record<string, unknown> = {};
    while (this.#indent === indent) {
      const found = KEY.exec(this.#line);
      if (!found) throw unusual;
      const key = keyOf(found);
      if (Object.hasOwn(map, key)) throw unusual;
      const rest = this.#line.slice(found[0].length);
      map[key] = rest === '' || rest.startsWith('#') ? this.#below(indent, depth) : this.#beside(rest, indent, depth);
    }
    if (this.#indent > indent) throw unusual;
    return map;
  }

  /** The value of a key with nothing beside it. A list may stand at the key's own indentation. */
  #below(indent: number, depth: number): unknown {
    this.#advance();
    if (this.#indent > indent) return this.#block(this.#indent, depth + 1);
    return this.#indent === indent && isEntry(this.#line) ? this.#entries(indent, depth + 1) : null;
  }

  #entries(indent: number, depth: number): unknown[] {
    if (depth >= MAX_NESTING) throw unusual;
    return this.#list(indent, depth);
  }

  #beside(rest: string, indent: number, depth: number): unknown {
    const value = this.#scalar(rest, depth);
    this.#advance();
    // A deeper line would go on with the scalar.
    if (this.#indent > indent) throw unusual;
    return value;
  }

  #scalar(text: string, depth: number): unknown {
    const first = text.charCodeAt(0);
    if (first === 0x22) return doubleQuoted(text);
    if (first === 0x27) {
      const found = SINGLE.exec(text);
      if (!found) throw unusual;
      return (found[1] ?? '').replaceAll("''", "'");
    }
    const comment = text.indexOf(' #');
    const plain = comment < 0 ? text : withoutEnd(text.slice(0, comment));
    if (first === 0x5b || first === 0x7b) return flow(plain, depth);
    if (!PLAIN.test(plain) || plain.includes(': ') || plain.endsWith(':')) throw unusual;
    return valueOfPlain(plain);
  }
}

function isEntry(line: string): boolean {
  return line.charCodeAt(0) === 0x2d && (line.length === 1 || line.charCodeAt(1) === 0x20);
}

function keyOf([, plain, double, single]: RegExpExecArray): string {
  const key = plain ?? double ?? single ?? '';
  if (key === '__proto__' || (plain !== undefined && typeof resolvePlain(plain) !== 'string')) throw unusual;
  return key;
}

function doubleQuoted(text: string): string {
  const found = DOUBLE.exec(text);
  if (!found) throw unusual;
  const inner = found[1] ?? '';
  // These escapes mean the same in JSON.
  return inner.includes('\\') ? (JSON.parse(`"${inner}"`) as string) : inner;
}

function valueOfPlain(text: string): unknown {
  const value = resolvePlain(text);
  if (typeof value === 'number' && !Number.isFinite(value)) throw unusual;
  return value;
}

/** `[]`, `{}`, and lists of short words and quoted text. */
function flow(text: string, depth: number): unknown {
  if (text === '{}') return {};
  if (!text.startsWith('[') || !text.endsWith(']') || depth + 1 >= MAX_NESTING) throw unusual;
  const inner = text.slice(1, -1);
  if (withoutEnds(inner) === '') return [];
  return inner.split(',').map((part) => {
    const item = withoutEnds(part);
    if (item.startsWith('"') && DOUBLE.test(item) && !item.includes('\\')) return item.slice(1, -1);
    if (!FLOW_ITEM.test(item)) throw unusual;
    return valueOfPlain(item);
  });
}

/** Spaces only: JavaScript's trim takes more than YAML calls white space. */
function withoutEnds(text: string): string {
  return withoutEnd(text).replace(/^ +/, '');
}

function withoutEnd(text: string): string {
  let end = text.length;
  while (text.charCodeAt(end - 1) === 0x20) end--;
  return text.slice(0, end);
}
