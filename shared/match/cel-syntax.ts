/**
 * Whether a text is an expression of CEL (github.com/google/cel-spec, langdef.md, Syntax): only its form is judged, neither
 * names nor types. Telemetry's access log filters are written in it.
 */

const MAX_LENGTH = 16_384;
const MAX_DEPTH = 100;
/** Reserved words: not identifiers. */
const RESERVED: ReadonlySet<string> = new Set(
  'as,break,const,continue,else,for,function,if,import,let,loop,package,namespace,return,var,void,while,in'.split(','),
);
const TOKEN =
  /(?<space>(?:[\t\n\f\r ]|\/\/[^\n]*)+)|(?<string>[bB]?[rR](?:"""[\s\S]*?"""|'''[\s\S]*?'''|"[^"\n\r]*"|'[^'\n\r]*')|[bB]?(?:"""(?:\\[\s\S]|[^\\])*?"""|'''(?:\\[\s\S]|[^\\])*?'''|"(?:\\.|[^"\\\n\r])*"|'(?:\\.|[^'\\\n\r])*'))|(?<number>\d+\.\d+(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+|\.\d+(?:[eE][+-]?\d+)?|0x[0-9a-fA-F]+[uU]?|\d+[uU]?)|(?<name>[_a-zA-Z][_a-zA-Z0-9]*)|(?<operator>&&|\|\||[=!<>]=|[-+*/%!<>?:.,()[\]{}])/y;

type TokenKind = 'string' | 'number' | 'name' | 'operator' | 'end';
interface Token {
  kind: TokenKind;
  text: string;
  at: number;
}

/** What is wrong with the expression and at which character (from 1), or undefined. Never throws. */
export function celViolation(expression: string): string | undefined {
  if (expression.length > MAX_LENGTH) return `must be at most ${MAX_LENGTH} characters long`;
  try {
    const reader = new Reader(tokens(expression));
    reader.expression(0);
    reader.end();
    return undefined;
  } catch (error) {
    if (error instanceof SyntaxError) return error.message;
    throw error;
  }
}

function tokens(text: string): Token[] {
  const found: Token[] = [];
  TOKEN.lastIndex = 0;
  let at = 0;
  while (at < text.length) {
    TOKEN.lastIndex = at;
    const groups = TOKEN.exec(text)?.groups;
    const [kind, part] = Object.entries(groups ?? {}).find(([, value]) => value !== undefined) ?? [];
    if (!kind || part === undefined) throw wrong(at, `"${text[at]}" begins nothing`);
    if (kind !== 'space') found.push({ kind: kind as TokenKind, text: part, at });
    at += part.length;
  }
  found.push({ kind: 'end', text: '', at });
  return found;
}

function wrong(at: number, message: string): SyntaxError {
  return new SyntaxError(`is not a CEL expression: at character ${at + 1}: ${message}`);
}

/** Recursive descent by the grammar's own rules. */
class Reader {
  readonly #tokens: readonly Token[];
  #next = 0;

  constructor(list: readonly Token[]) {
    this.#tokens = list;
  }

  /** Expr: ConditionalOr ["?" ConditionalOr ":" Expr] */
  expression(depth: number): void {
    if (depth > MAX_DEPTH) throw wrong(this.#token.at, `is nested deeper than ${MAX_DEPTH} levels`);
    this.#binary(depth);
    if (!this.#take('?')) return;
    this.#binary(depth + 1);
    this.#must(':');
    this.expression(depth + 1);
  }

  end(): void {
    if (this.#token.kind !== 'end') throw this.#unexpected('an operator');
  }

  /** ||, &&, relations, sums and products: which binds tighter does not matter to the form. */
  #binary(depth: number): void {
    do this.#unary(depth);
    while (/^(\|\||&&|[=!<>]=|[<>+\-*/%]|in)$/.test(this.#token.text) && this.#isOperator() && this.#advance());
  }

  #isOperator(): boolean {
    return this.#token.kind === 'operator' || (this.#token.kind === 'name' && this.#token.text === 'in');
  }

  /** Unary: Member | "!"… Member | "-"… Member */
  #unary(depth: number): void {
    const { text, kind } = this.#token;
    if (kind === 'operator' && (text === '!' || text === '-')) while (this.#take(text));
    this.#primary(depth);
    for (;;) {
      if (this.#take('.')) {
        this.#name('a field');
        if (this.#take('(')) this.#list(')', depth);
      } else if (this.#take('[')) {
        this.expression(depth + 1);
        this.#must(']');
      } else return;
    }
  }

  #primary(depth: number): void {
    const { kind, text } = this.#token;
    if (kind === 'string' || kind === 'number') this.#advance();
    else if (this.#take('(')) {
      this.expression(depth + 1);
      this.#must(')');
    } else if (this.#take('[')) this.#list(']', depth);
    else if (this.#take('{')) this.#entries(depth, () => this.expression(depth + 1));
    else if (kind === 'name' || text === '.') this.#named(depth);
    else throw this.#unexpected('a value');
  }

  /** An identifier, a call, or a message: `pkg.Type{field: value}`. */
  #named(depth: number): void {
    this.#take('.');
    this.#name('a name');
    if (this.#take('(')) {
      this.#list(')', depth);
      return;
    }
    let ahead = this.#next;
    while (this.#tokens[ahead]?.text === '.' && this.#tokens[ahead + 1]?.kind === 'name') ahead += 2;
    if (this.#tokens[ahead]?.text !== '{' || this.#tokens[ahead]?.kind !== 'operator') return;
    this.#next = ahead + 1;
    this.#entries(depth, () => this.#name('a field'));
  }

  #name(what: string): void {
    const { kind, text, at } = this.#token;
    if (kind !== 'name') throw this.#unexpected(what);
    if (RESERVED.has(text)) throw wrong(at, `"${text}" is a reserved word`);
    this.#advance();
  }

  /** Values up to the closing bracket. */
  #list(close: string, depth: number): void {
    if (this.#take(close)) return;
    do {
      if (close === ']' && this.#take(close)) return;
      this.expression(depth + 1);
    } while (this.#take(','));
    this.#must(close);
  }

  /** `key: value` pairs up to `}`. */
  #entries(depth: number, key: () => void): void {
    if (this.#take('}')) return;
    do {
      if (this.#take('}')) return;
      key();
      this.#must(':');
      this.expression(depth + 1);
    } while (this.#take(','));
    this.#must('}');
  }

  get #token(): Token {
    return this.#tokens[this.#next] as Token;
  }

  #advance(): boolean {
    this.#next++;
    return true;
  }

  #take(operator: string): boolean {
    return this.#token.kind === 'operator' && this.#token.text === operator && this.#advance();
  }

  #must(operator: string): void {
    if (!this.#take(operator)) throw this.#unexpected(`"${operator}"`);
  }

  #unexpected(wanted: string): SyntaxError {
    const { kind, text, at } = this.#token;
    return wrong(at, `${wanted} is expected, ${kind === 'end' ? 'but the text ends' : `not "${text}"`}`);
  }
}
