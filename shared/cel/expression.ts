/**
 * CEL expressions (github.com/google/cel-spec) as Envoy takes them in access log filters and Istio in tags of metrics: the
 * parsed form that proxies compile, and everything that can be wrong with an expression before a request is seen. The
 * grammar is that of @marcbachmann/cel-js; which functions there are is Envoy's choice (docs/decisions/0012-cel.md).
 */
import { type ASTNode, Environment } from '@marcbachmann/cel-js';
import { regexViolation } from '../match/regex.ts';
import { attributeOf, attributePath, isTypeName } from './attribute-names.ts';

export const MAX_CEL_LENGTH = 4096;
const MAX_NODES = 512;
const MAX_DEPTH = 64;

/** The expression cannot be used; the message says why in one line. */
export class CelError extends Error {
  override name = 'CelError';
}

/** A literal: int as bigint, double as number, uint as an object. */
export type CelLiteral = string | bigint | number | boolean | null | Uint8Array | { readonly uint: bigint };

export type CelNode =
  | { readonly op: 'literal'; readonly value: CelLiteral }
  | { readonly op: 'name'; readonly name: string }
  | { readonly op: 'field'; readonly of: CelNode; readonly field: string }
  | { readonly op: 'has'; readonly of: CelNode; readonly field: string }
  | { readonly op: 'index'; readonly of: CelNode; readonly at: CelNode }
  | { readonly op: 'list'; readonly items: readonly CelNode[] }
  | { readonly op: 'map'; readonly entries: readonly (readonly [CelNode, CelNode])[] }
  | { readonly op: 'call'; readonly name: CelFunction; readonly args: readonly CelNode[] }
  | { readonly op: 'not' | 'negate'; readonly of: CelNode }
  | { readonly op: 'and' | 'or'; readonly left: CelNode; readonly right: CelNode }
  | { readonly op: 'if'; readonly test: CelNode; readonly yes: CelNode; readonly no: CelNode }
  | { readonly op: CelBinary; readonly left: CelNode; readonly right: CelNode };

const BINARY = ['==', '!=', '<', '<=', '>', '>=', 'in', '+', '-', '*', '/', '%'] as const;
export type CelBinary = (typeof BINARY)[number];

/** Number of arguments of each function, the receiver included: `a.size()` is `size(a)`. Getters of times are in UTC. */
const FUNCTIONS = {
  size: 1,
  startsWith: 2,
  endsWith: 2,
  contains: 2,
  matches: 2,
  int: 1,
  uint: 1,
  double: 1,
  bool: 1,
  bytes: 1,
  string: 1,
  type: 1,
  dyn: 1,
  duration: 1,
  timestamp: 1,
  getFullYear: 1,
  getMonth: 1,
  getDate: 1,
  getDayOfMonth: 1,
  getDayOfWeek: 1,
  getDayOfYear: 1,
  getHours: 1,
  getMinutes: 1,
  getSeconds: 1,
  getMilliseconds: 1,
} as const satisfies Record<string, number>;
export type CelFunction = keyof typeof FUNCTIONS;

/** Macros that walk lists: Envoy has comprehensions switched off. */
const COMPREHENSIONS: ReadonlySet<string> = new Set(['all', 'exists', 'exists_one', 'map', 'filter']);

export interface CelOptions {
  /** `string()` is there: in tags of metrics, not in access log filters. */
  readonly strings?: boolean;
}

/** Made with the first expression: most processes read none. */
let parser: Environment | undefined;
const parserOf = (): Environment =>
  (parser ??= new Environment({
    unlistedVariablesAreDyn: true,
    limits: { maxAstNodes: MAX_NODES, maxDepth: MAX_DEPTH, maxListElements: 128, maxMapEntries: 128 },
  }));

/** @throws CelError */
export function parseCel(expression: string, { strings = false }: CelOptions = {}): CelNode {
  if (expression.length > MAX_CEL_LENGTH) throw new CelError(`must be at most ${MAX_CEL_LENGTH} characters long`);
  let ast: ASTNode;
  try {
    ast = parserOf().parse(expression).ast;
  } catch (error) {
    throw new CelError(`must be a CEL expression: ${firstLine(error)}`);
  }
  return read(ast, strings);
}

/** Why an expression cannot be used, or undefined. */
export function celRefusal(expression: string, options?: CelOptions): string | undefined {
  try {
    parseCel(expression, options);
    return undefined;
  } catch (error) {
    if (error instanceof CelError) return error.message;
    throw error;
  }
}

function firstLine(error: unknown): string {
  return String((error as Error).message).split('\n')[0]!;
}

function read(node: ASTNode, strings: boolean): CelNode {
  const inner = (one: ASTNode) => read(one, strings);
  switch (node.op) {
    case 'value':
      return { op: 'literal', value: literal(node.args, node.input.slice(node.start, node.end)) };
    case 'id':
      return { op: 'name', name: node.args };
    case '.':
      return { op: 'field', of: inner(node.args[0]), field: node.args[1] };
    case '[]':
      return { op: 'index', of: inner(node.args[0]), at: inner(node.args[1]) };
    case 'list':
      return { op: 'list', items: node.args.map(inner) };
    case 'map':
      return { op: 'map', entries: node.args.map(([key, value]) => [inner(key), inner(value)] as const) };
    case 'call':
      return call(node.args[0], node.args[1].map(inner), strings);
    case 'rcall':
      return call(node.args[0], [node.args[1], ...node.args[2]].map(inner), strings);
    case '!_':
      return { op: 'not', of: inner(node.args) };
    case '-_':
      return { op: 'negate', of: inner(node.args) };
    case '&&':
      return { op: 'and', left: inner(node.args[0]), right: inner(node.args[1]) };
    case '||':
      return { op: 'or', left: inner(node.args[0]), right: inner(node.args[1]) };
    case '?:':
      return { op: 'if', test: inner(node.args[0]), yes: inner(node.args[1]), no: inner(node.args[2]) };
    case '.?':
    case '[?]':
      throw new CelError('optional fields (".?") are not supported');
    default:
      return { op: node.op, left: inner(node.args[0]), right: inner(node.args[1]) };
  }
}

const NOT_ASCII = /[^\u0000-\u007f]/;

function literal(value: unknown, written: string): CelLiteral {
  // The parser makes one byte of such a character, CEL its UTF-8.
  if (value instanceof Uint8Array && NOT_ASCII.test(written))
    throw new CelError(`${written}: bytes must be written in ASCII, as b'\\xc3\\xa9'`);
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return value as CelLiteral;
  return { uint: (value as { value: bigint }).value };
}

function call(name: string, args: readonly CelNode[], strings: boolean): CelNode {
  if (name === 'has') return has(args);
  if (COMPREHENSIONS.has(name))
    throw new CelError(`${name}(): loops over lists and maps are not supported, as in Envoy`);
  if (!isFunction(name) || (name === 'string' && !strings))
    throw new CelError(`${name}(): there is no such function here`);
  if (FUNCTIONS[name] !== args.length)
    throw new CelError(`${name}(): takes ${FUNCTIONS[name]} values, not ${args.length}`);
  if (name === 'matches') checkPattern(args[1]!);
  return { op: 'call', name, args };
}

function has([of, ...others]: readonly CelNode[]): CelNode {
  if (of?.op !== 'field' || others.length > 0) throw new CelError('has(): takes one field, as has(request.referer)');
  return { ...of, op: 'has' };
}

/** Compiled once: a pattern that is known only with the request would be compiled for each. */
function checkPattern(pattern: CelNode): void {
  if (pattern.op !== 'literal' || typeof pattern.value !== 'string')
    throw new CelError('matches(): the pattern must be a text in quotes');
  const violation = regexViolation(pattern.value);
  if (violation !== undefined) throw new CelError(`matches(): ${violation}`);
}

const isFunction = (name: string): name is CelFunction => Object.hasOwn(FUNCTIONS, name);

/** Attributes that an expression names and that proxies do not have: they never have a value. */
export function attributesWithoutValue(node: CelNode): readonly string[] {
  const found = new Set<string>();
  visit(node, found);
  return [...found];
}

function visit(node: CelNode, found: Set<string>): void {
  const path = attributePath(node);
  if (path !== undefined) {
    if (!attributeOf(path) && !isTypeName(path)) found.add(path.join('.'));
    return;
  }
  for (const inner of children(node)) visit(inner, found);
}

function children(node: CelNode): readonly CelNode[] {
  switch (node.op) {
    case 'literal':
    case 'name':
      return [];
    case 'field':
    case 'has':
    case 'not':
    case 'negate':
      return [node.of];
    case 'index':
      return [node.of, node.at];
    case 'list':
      return node.items;
    case 'map':
      return node.entries.flat();
    case 'call':
      return node.args;
    case 'if':
      return [node.test, node.yes, node.no];
    default:
      return [node.left, node.right];
  }
}
