/** A stream of JSON values, as kubectl reads a file that begins with `{`: one after the other, strictly RFC 8259. */
import { formatPath } from '../violations.ts';
import {
  MAX_NESTING,
  MAX_SOURCE_VIOLATIONS,
  type SourceDocument,
  type SourceViolation,
  setField,
} from './violations.ts';

const SPACE = /[ \t\n\r]*/y;
const PLAIN_TEXT = /[^"\\\u0000-\u001f]*/y;
const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d+)?/y;
const WORD = /true|false|null/y;

class JsonSyntax extends Error {
  readonly offset: number;
  constructor(message: string, offset: number) {
    super(message);
    this.offset = offset;
  }
}

/** Every value of the text. After a syntax error nothing more is read: where the next value begins is not known. */
export function* readJson(text: string): Generator<SourceDocument> {
  const reader = new JsonReader(text);
  for (;;) {
    reader.skipSpace();
    const start = reader.at;
    if (start >= text.length) return;
    try {
      const { value, violations } = reader.document();
      yield { value, violations, start, end: reader.at, contentStart: start };
    } catch (error) {
      if (!(error instanceof JsonSyntax)) throw error;
      const violation: SourceViolation = { path: '', rule: 'json', message: error.message, offset: error.offset };
      yield { value: undefined, violations: [violation], start, end: text.length, contentStart: start };
      return;
    }
  }
}

class JsonReader {
  at = 0;
  readonly #text: string;
  #violations: SourceViolation[] = [];
  #path: (string | number)[] = [];

  constructor(text: string) {
    this.#text = text;
  }

  document(): { value: unknown; violations: SourceViolation[] } {
    this.#violations = [];
    this.#path = [];
    const value = this.#value(0);
    return { value, violations: this.#violations };
  }

  skipSpace(): void {
    this.#take(SPACE);
  }

  #value(depth: number): unknown {
    const char = this.#text[this.at];
    if (char === '{' || char === '[') {
      if (depth >= MAX_NESTING) this.#fail(`is nested deeper than ${MAX_NESTING} levels`);
      this.at++;
      return char === '{' ? this.#object(depth) : this.#array(depth);
    }
    if (char === '"') return this.#string();
    const word = this.#take(WORD);
    if (word !== '') return word === 'null' ? null : word === 'true';
    return this.#number();
  }

  #number(): number {
    const start = this.at;
    const digits = this.#take(NUMBER);
    if (digits === '')
      this.#fail(this.at >= this.#text.length ? 'the text ends too early' : `unexpected ${this.#shown()}`);
    const value = Number(digits);
    if (!Number.isFinite(value)) this.#fail('the number is too large', start);
    return value;
  }

  #array(depth: number): unknown[] {
    const list: unknown[] = [];
    this.skipSpace();
    if (this.#accept(']')) return list;
    for (;;) {
      this.skipSpace();
      this.#path.push(list.length);
      list.push(this.#value(depth + 1));
      this.#path.pop();
      this.skipSpace();
      if (this.#accept(']')) return list;
      if (!this.#accept(',')) this.#fail(`expected "," or "]", found ${this.#shown()}`);
    }
  }

  #object(depth: number): Record<string, unknown> {
    const object: Record<string, unknown> = {};
    this.skipSpace();
    if (this.#accept('}')) return object;
    for (;;) {
      this.skipSpace();
      const keyAt = this.at;
      if (this.#text[this.at] !== '"') this.#fail(`expected a field name in double quotes, found ${this.#shown()}`);
      const key = this.#string();
      this.#path.push(key);
      if (Object.hasOwn(object, key)) this.#duplicate(key, keyAt);
      this.skipSpace();
      if (!this.#accept(':')) this.#fail(`expected ":", found ${this.#shown()}`);
      this.skipSpace();
      setField(object, key, this.#value(depth + 1));
      this.#path.pop();
      this.skipSpace();
      if (this.#accept('}')) return object;
      if (!this.#accept(',')) this.#fail(`expected "," or "}", found ${this.#shown()}`);
    }
  }

  #string(): string {
    const start = this.at++;
    const plain = this.#take(PLAIN_TEXT);
    if (this.#accept('"')) return plain;
    while (this.#text[this.at] === '\\') {
      this.at += 2;
      this.#take(PLAIN_TEXT);
    }
    if (!this.#accept('"')) {
      this.#fail(
        this.at >= this.#text.length ? 'the text ends within a string' : `a string cannot hold ${this.#shown()}`,
      );
    }
    try {
      return JSON.parse(this.#text.slice(start, this.at)) as string;
    } catch {
      return this.#fail('the string has an escape that JSON does not know', start);
    }
  }

  #duplicate(key: string, offset: number): void {
    if (this.#violations.length >= MAX_SOURCE_VIOLATIONS) return;
    const message = `the field "${key}" is set twice`;
    this.#violations.push({ path: formatPath(this.#path), rule: 'duplicate-field', message, offset });
  }

  #accept(char: string): boolean {
    if (this.#text[this.at] !== char) return false;
    this.at++;
    return true;
  }

  #take(pattern: RegExp): string {
    pattern.lastIndex = this.at;
    const found = pattern.exec(this.#text)?.[0] ?? '';
    this.at += found.length;
    return found;
  }

  #shown(): string {
    const point = this.#text.codePointAt(this.at);
    return point === undefined ? 'the end of the text' : JSON.stringify(String.fromCodePoint(point));
  }

  #fail(message: string, offset = this.at): never {
    throw new JsonSyntax(message, offset);
  }
}
