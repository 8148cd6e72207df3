/**
 * JSONPath templates as kubectl's `-o jsonpath=` has them (https://kubernetes.io/docs/reference/kubectl/jsonpath/):
 * text, `{.a.b}`, `['key']`, `[0]`, `[-1]`, `[1:3]`, `[*]`, `..`, `[?(@.a=="b")]`, unions, `{range …}{end}`, `{"text"}`.
 */
import { CliError } from '../cli-error.ts';

type Step =
  | { kind: 'field'; name: string }
  | { kind: 'all' }
  | { kind: 'descend' }
  | { kind: 'slice'; from: number | undefined; to: number | undefined; step: number }
  | { kind: 'filter'; left: Operand; operator: string; right: Operand | undefined }
  | { kind: 'path'; path: Step[] }
  | { kind: 'union'; steps: Step[] };

type Operand = { literal: unknown } | { path: Step[]; fromRoot: boolean };

type Part =
  | { kind: 'text'; text: string }
  | { kind: 'path'; path: Step[]; fromRoot: boolean }
  | { kind: 'range'; path: Step[]; fromRoot: boolean; body: Part[] };

/** Longest template, in characters. */
const MAX_TEMPLATE = 4096;
/** Values that all steps of a template may give for one object: each `..` in a path multiplies them. */
const MAX_VALUES = 1_000_000;
const OPERATOR = /^(==|!=|<=|>=|<|>)/;

/**
 * Compiles a template; a path without braces is taken as one in braces, as kubectl does.
 * @returns a function from the object to the text; a missing field gives nothing
 * @throws CliError naming the place in the template
 */
export function compileJsonPath(template: string): (object: unknown) => string {
  if (template.length > MAX_TEMPLATE)
    throw new CliError(`-o jsonpath: the template is longer than ${MAX_TEMPLATE} characters`);
  const parser = new TemplateParser(template.includes('{') ? template : `{${dotted(template)}}`);
  const parts = parser.template();
  return (object) => new Evaluation(object).render(parts, object);
}

/** `metadata.name` is `.metadata.name`, as kubectl takes it. */
const dotted = (path: string): string => (/^[.$@['"]/.test(path) ? path : `.${path}`);

class TemplateParser {
  private at = 0;
  private readonly text: string;

  constructor(text: string) {
    this.text = text;
  }

  template(): Part[] {
    return this.parts(false);
  }

  private parts(inRange: boolean): Part[] {
    const parts: Part[] = [];
    while (this.at < this.text.length) {
      const brace = this.text.indexOf('{', this.at);
      const end = brace < 0 ? this.text.length : brace;
      if (end > this.at) parts.push({ kind: 'text', text: this.text.slice(this.at, end) });
      this.at = end;
      if (brace < 0) break;
      this.at++;
      this.skipSpace();
      if (this.word('end')) {
        if (!inRange) throw this.violation('{end} without {range}');
        this.close();
        return parts;
      }
      if (this.word('range')) {
        const { path, fromRoot } = this.path();
        this.close();
        parts.push({ kind: 'range', path, fromRoot, body: this.parts(true) });
      } else parts.push(...this.expressions());
    }
    if (inRange) throw this.violation('{range} without {end}');
    return parts;
  }

  /** What stands between braces: paths and quoted texts. */
  private expressions(): Part[] {
    const parts: Part[] = [];
    for (this.skipSpace(); this.peek() !== '}'; this.skipSpace()) {
      if (this.at >= this.text.length) throw this.violation('expected "}"');
      const quoted = this.quoted();
      parts.push(quoted === undefined ? { kind: 'path', ...this.path() } : { kind: 'text', text: quoted });
    }
    this.close();
    return parts;
  }

  private path(): { path: Step[]; fromRoot: boolean } {
    this.skipSpace();
    const start = this.at;
    const fromRoot = this.take('$');
    if (!fromRoot) this.take('@');
    const path: Step[] = [];
    for (;;) {
      if (this.take('..')) {
        path.push({ kind: 'descend' });
        if (this.peek() !== '[') path.push(this.field());
      } else if (this.take('.')) {
        if (this.peek() !== '[') path.push(this.field());
      } else if (this.take('[')) path.push(this.subscript());
      else break;
    }
    if (this.at === start) throw this.violation(`unexpected "${this.peek()}"`);
    // {.} and {@} are the object itself: their step has no name.
    return { path: path.filter((step) => step.kind !== 'field' || step.name !== ''), fromRoot };
  }

  private field(): Step {
    if (this.take('*')) return { kind: 'all' };
    let name = '';
    for (; this.at < this.text.length; this.at++) {
      const c = this.text[this.at]!;
      if (c === '\\' && this.at + 1 < this.text.length) name += this.text[++this.at];
      else if (/[\w\-/@:]/.test(c)) name += c;
      else break;
    }
    return { kind: 'field', name };
  }

  /** After `[`. */
  private subscript(): Step {
    this.skipSpace();
    if (this.take('?(')) return this.filter();
    const steps = [this.item()];
    for (this.skipSpace(); this.take(','); this.skipSpace()) steps.push(this.item());
    if (!this.take(']')) throw this.violation('expected "]"');
    return steps.length === 1 ? steps[0]! : { kind: 'union', steps };
  }

  private item(): Step {
    this.skipSpace();
    if (this.take('*')) return { kind: 'all' };
    const key = /^'((?:[^'\\]|\\.)*)'|^"((?:[^"\\]|\\.)*)"/.exec(this.text.slice(this.at));
    if (key) {
      this.at += key[0].length;
      return keyPath(key[1] ?? key[2] ?? '');
    }
    const found = /^(-?\d{1,9})?(?:(:)(-?\d{1,9})?(?::(\d{1,9})?)?)?/.exec(this.text.slice(this.at))!;
    if (found[0] === '') throw this.violation('expected a number, a quoted name or "*" in "[…]"');
    this.at += found[0].length;
    const number = (text: string | undefined) => (text === undefined ? undefined : Number(text));
    const from = number(found[1]);
    const to = found[2] ? number(found[3]) : from === -1 ? undefined : from! + 1;
    const step = number(found[4]) ?? 1;
    if (step === 0) throw this.violation('the step of a slice must be >= 1');
    return { kind: 'slice', from, to, step };
  }

  /** After `?(`. */
  private filter(): Step {
    const left = this.operand();
    this.skipSpace();
    const operator = OPERATOR.exec(this.text.slice(this.at))?.[0] ?? '';
    this.at += operator.length;
    const right = operator === '' ? undefined : this.operand();
    this.skipSpace();
    if (!this.take(')')) throw this.violation('expected ")" after the filter');
    this.skipSpace();
    if (!this.take(']')) throw this.violation('expected "]" after the filter');
    return { kind: 'filter', left, operator, right };
  }

  private operand(): Operand {
    this.skipSpace();
    const quoted = this.quoted();
    if (quoted !== undefined) return { literal: quoted };
    const literal = /^(-?\d+(\.\d+)?|true|false|null)\b/.exec(this.text.slice(this.at))?.[0];
    if (literal !== undefined) {
      this.at += literal.length;
      return { literal: JSON.parse(literal) as unknown };
    }
    return this.path();
  }

  /** A text in single or double quotes; undefined when none stands here. */
  private quoted(): string | undefined {
    const quote = this.peek();
    if (quote !== '"' && quote !== "'") return undefined;
    let text = '';
    for (let i = this.at + 1; i < this.text.length; i++) {
      const c = this.text[i]!;
      if (c === quote) {
        this.at = i + 1;
        return text;
      }
      if (c === '\\' && i + 1 < this.text.length) text += unescaped(this.text[++i]!);
      else text += c;
    }
    throw this.violation(`no closing ${quote}`);
  }

  private word(word: string): boolean {
    if (!this.text.startsWith(word, this.at) || /[\w.]/.test(this.text[this.at + word.length] ?? '')) return false;
    this.at += word.length;
    return true;
  }

  private take(text: string): boolean {
    if (!this.text.startsWith(text, this.at)) return false;
    this.at += text.length;
    return true;
  }

  private close(): void {
    this.skipSpace();
    if (!this.take('}')) throw this.violation('expected "}"');
  }

  private skipSpace(): void {
    while (/\s/.test(this.text[this.at] ?? '')) this.at++;
  }

  private peek(): string {
    return this.text[this.at] ?? 'end of the template';
  }

  private violation(what: string): CliError {
    return new CliError(`-o jsonpath: ${what} at character ${this.at + 1} of ${JSON.stringify(this.text)}`);
  }
}

/** `['metadata.name']` is a path, as kubectl takes it; a dot of a name is written `\\.`. */
function keyPath(key: string): Step {
  const names = (key.match(/(?:[^.\\]|\\.)+/g) ?? []).map((name) => name.replace(/\\(.)/g, '$1'));
  return { kind: 'path', path: names.map((name) => ({ kind: 'field', name })) };
}

const ESCAPES: Readonly<Record<string, string>> = { n: '\n', t: '\t', r: '\r' };
const unescaped = (c: string): string => ESCAPES[c] ?? c;

/** A template applied to one object. */
class Evaluation {
  private readonly root: unknown;
  private left = MAX_VALUES;

  constructor(root: unknown) {
    this.root = root;
  }

  render(parts: readonly Part[], current: unknown): string {
    let text = '';
    for (const part of parts) {
      if (part.kind === 'text') text += part.text;
      else {
        const found = this.follow(part.path, part.fromRoot ? this.root : current);
        if (part.kind === 'path') text += found.map(printed).join(' ');
        else for (const item of found) text += this.render(part.body, item);
      }
    }
    return text;
  }

  private follow(path: readonly Step[], from: unknown): readonly unknown[] {
    let values: readonly unknown[] = [from];
    for (const step of path) values = this.next(values, step);
    return values;
  }

  private next(values: readonly unknown[], step: Step): readonly unknown[] {
    if (step.kind === 'union') return step.steps.flatMap((each) => this.next(values, each));
    const found: unknown[] = [];
    for (const value of values)
      for (const item of this.take(step, value)) {
        found.push(item);
        this.left -= 1;
        if (this.left < 0) throw new CliError(`-o jsonpath: the template selects more than ${MAX_VALUES} values`);
      }
    return found;
  }

  private take(step: Exclude<Step, { kind: 'union' }>, value: unknown): Iterable<unknown> {
    switch (step.kind) {
      case 'field':
        return isObject(value) && !Array.isArray(value) && Object.hasOwn(value, step.name) ? [value[step.name]] : [];
      case 'all':
        return isObject(value) ? Object.values(value) : [];
      case 'descend':
        return descendants(value);
      case 'slice':
        return Array.isArray(value) ? slice(value, step) : [];
      case 'path':
        return this.follow(step.path, value);
      case 'filter':
        return isObject(value) ? Object.values(value).filter((item) => this.holds(step, item)) : [];
    }
  }

  private holds(filter: Extract<Step, { kind: 'filter' }>, item: unknown): boolean {
    const left = this.resolve(filter.left, item);
    if (filter.right === undefined) return left.length > 0;
    const right = this.resolve(filter.right, item);
    return left.some((a) => right.some((b) => compare(filter.operator, a, b)));
  }

  private resolve(operand: Operand, item: unknown): readonly unknown[] {
    return 'literal' in operand ? [operand.literal] : this.follow(operand.path, operand.fromRoot ? this.root : item);
  }
}

const printed = (value: unknown): string => (typeof value === 'string' ? value : JSON.stringify(value));

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null;

/** The value itself and everything in it; nothing for a value that holds none. */
function* descendants(value: unknown): Generator<unknown> {
  if (!isObject(value)) return;
  yield value;
  for (const item of Object.values(value)) yield* descendants(item);
}

function slice(list: readonly unknown[], { from, to, step }: Extract<Step, { kind: 'slice' }>): unknown[] {
  return list.slice(from, to).filter((_item, i) => i % step === 0);
}

function compare(operator: string, a: unknown, b: unknown): boolean {
  if (operator === '==') return a === b;
  if (operator === '!=') return a !== b;
  if (typeof a !== typeof b || (typeof a !== 'number' && typeof a !== 'string')) return false;
  const [left, right] = [a, b as typeof a];
  if (operator === '<') return left < right;
  if (operator === '<=') return left <= right;
  return operator === '>' ? left > right : left >= right;
}
