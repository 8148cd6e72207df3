/** YAML documents as kubectl reads them, strictly: syntax from the `yaml` parser, meaning from goyaml v2's rules. */
import {
  type Alias,
  Composer,
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  type Node,
  Parser,
  Scalar,
  type YAMLMap,
} from 'yaml';
import { formatPath } from '../violations.ts';
import { keyText, resolvePlain, resolveTagged } from './scalar.ts';
import {
  MAX_NESTING,
  MAX_SOURCE_VIOLATIONS,
  type SourceDocument,
  type SourceViolation,
  setField,
} from './violations.ts';

/** How many values aliases and merge keys may bring into one text: a bomb is refused, ordinary reuse is not. */
const MAX_ALIASED_VALUES = 100_000;

/** Every scalar stays text until it is resolved here; so are unknown tags. */
const OPTIONS = {
  schema: 'failsafe',
  resolveKnownTags: false,
  uniqueKeys: false,
  prettyErrors: false,
  logLevel: 'silent',
} as const;

/** Every document of the text, one after the other; the parser drops each when the next is requested. */
export function* readYaml(text: string): Generator<SourceDocument> {
  const budget = { aliased: 0 };
  for (const document of composeAll(text)) yield readDocument(document, budget);
}

/** The parser's documents: for reading, and for locating fields. */
export function composeAll(text: string): Iterable<Document.Parsed> {
  return new Composer(OPTIONS).compose(new Parser().parse(text)) as Iterable<Document.Parsed>;
}

function readDocument(document: Document.Parsed, budget: { aliased: number }): SourceDocument {
  const [start, , end] = document.range;
  const contents = document.contents as Node | null;
  const contentStart = contents?.range?.[0] ?? start;
  const violations = syntaxViolations(document);
  if (violations.length > 0 || contents === null) return { value: undefined, violations, start, end, contentStart };
  const reader = new DocumentReader(budget);
  const value = reader.read(contents, 0);
  return { value: reader.broken ? undefined : value, violations: reader.violations, start, end, contentStart };
}

function syntaxViolations({ errors }: Document.Parsed): SourceViolation[] {
  const violation = (message: string, offset: number): SourceViolation => ({ path: '', rule: 'yaml', message, offset });
  // The parser recurses and reports a full stack so. Its other errors are then about the unread rest.
  const overflow = errors.find((error) => error.message.startsWith('Maximum call stack'));
  if (overflow) return [violation(`is nested deeper than ${MAX_NESTING} levels`, overflow.pos[0])];
  return errors
    .slice(0, MAX_SOURCE_VIOLATIONS)
    .map((error) => violation(error.message.split('\n', 1)[0] ?? 'cannot be read as YAML', error.pos[0]));
}

class DocumentReader {
  readonly violations: SourceViolation[] = [];
  /** A violation after which the value cannot be trusted. */
  broken = false;
  readonly #budget: { aliased: number };
  readonly #path: (string | number)[] = [];
  readonly #anchors = new Map<string, Node>();
  /** What each alias meant where it was read: a later anchor of the same name changes nothing. */
  readonly #targets = new Map<Alias, Node>();
  readonly #open = new Set<Node>();
  #aliasDepth = 0;

  constructor(budget: { aliased: number }) {
    this.#budget = budget;
  }

  read(node: unknown, depth: number): unknown {
    if (node === null || node === undefined) return null;
    if (isAlias(node)) return this.#alias(node, depth);
    if (this.#aliasDepth > 0 && ++this.#budget.aliased > MAX_ALIASED_VALUES) {
      return this.#refuse(node, `aliases repeat more than ${MAX_ALIASED_VALUES} values`);
    }
    const anchor = (node as { anchor?: string }).anchor;
    if (anchor !== undefined && this.#aliasDepth === 0) this.#anchors.set(anchor, node as Node);
    if (isScalar(node)) return this.#scalar(node);
    if (depth >= MAX_NESTING) return this.#refuse(node, `is nested deeper than ${MAX_NESTING} levels`);
    this.#open.add(node as Node);
    try {
      if (isMap(node)) return this.#map(node, depth);
      if (isSeq(node)) return this.#list(node.items, depth);
      return this.#refuse(node, 'is neither a value, a list nor a map');
    } finally {
      this.#open.delete(node as Node);
    }
  }

  #list(items: unknown[], depth: number): unknown[] {
    const list: unknown[] = [];
    for (let i = 0; i < items.length && !this.broken; i++) {
      this.#path.push(i);
      list.push(this.read(items[i], depth + 1));
      this.#path.pop();
    }
    return list;
  }

  #map(node: YAMLMap, depth: number): Record<string, unknown> {
    const object: Record<string, unknown> = {};
    const own = new Set<string>();
    for (const { key: keyNode, value: valueNode } of node.items) {
      if (this.broken) break;
      if (isMergeKey(keyNode)) {
        this.#merge(object, valueNode, depth);
        continue;
      }
      const key = this.#key(keyNode, node);
      if (key === undefined) continue;
      this.#path.push(key);
      if (own.has(key)) this.#duplicate(keyNode, key);
      own.add(key);
      setField(object, key, this.read(valueNode, depth + 1));
      this.#path.pop();
    }
    return object;
  }

  /**
   * Fields are set in the order of the text, so that a merge key also wins over earlier fields: goyaml's v2, which
   * kubectl reads with, not yaml.org/type/merge.html. Of a list the earlier map wins.
   */
  #merge(object: Record<string, unknown>, source: unknown, depth: number): void {
    if (this.broken) return;
    const target = isAlias(source) ? this.#target(source) : source;
    const sources: object[] = [];
    for (const item of isSeq(target) ? target.items : [source]) {
      const merged = this.read(item, depth);
      if (this.broken) return;
      if (typeof merged !== 'object' || merged === null || Array.isArray(merged)) {
        this.#refuse(item ?? source, 'a merge key ("<<") takes a map or a list of maps');
        return;
      }
      sources.unshift(merged);
    }
    for (const merged of sources) for (const [key, value] of Object.entries(merged)) setField(object, key, value);
  }

  #key(node: unknown, map: YAMLMap): string | undefined {
    const scalar = isAlias(node) ? this.#target(node) : node;
    if (scalar === undefined) return undefined;
    if (scalar !== null && !isScalar(scalar)) {
      this.#refuse(node, 'a list or a map cannot be a key');
      return undefined;
    }
    if (this.#aliasDepth === 0 && scalar?.anchor !== undefined) this.#anchors.set(scalar.anchor, scalar);
    const key = scalar === null ? undefined : keyText(this.#scalarValue(scalar) ?? null, scalar.source ?? '');
    if (key === undefined && !this.broken) this.#refuse(node ?? map, 'null cannot be a key');
    return key;
  }

  #scalar(node: Scalar): unknown {
    const value = this.#scalarValue(node);
    if (typeof value === 'number' && !Number.isFinite(value)) {
      return this.#refuse(node, `${node.source} is no number that JSON has`);
    }
    return value;
  }

  #scalarValue(node: Scalar): string | number | boolean | null | undefined {
    const text = node.source ?? '';
    if (node.tag === undefined) return node.type === Scalar.PLAIN ? resolvePlain(text) : text;
    try {
      return resolveTagged(node.tag, text);
    } catch (error) {
      this.#refuse(node, (error as RangeError).message);
      return undefined;
    }
  }

  #alias(alias: Alias, depth: number): unknown {
    const target = this.#target(alias);
    if (target === undefined) return undefined;
    if (this.#open.has(target)) return this.#refuse(alias, `the anchor "${alias.source}" contains itself`);
    this.#aliasDepth++;
    const value = this.read(target, depth);
    this.#aliasDepth--;
    return value;
  }

  #target(alias: Alias): Node | undefined {
    const known = this.#targets.get(alias) ?? this.#anchors.get(alias.source);
    if (known === undefined) {
      this.#refuse(alias, `there is no anchor "${alias.source}" before this alias`);
      return undefined;
    }
    this.#targets.set(alias, known);
    return known;
  }

  #duplicate(node: unknown, key: string): void {
    if (this.#aliasDepth > 0) return;
    this.#violation(node, 'duplicate-field', `the field "${key}" is set twice`);
  }

  #refuse(node: unknown, message: string): undefined {
    this.broken = true;
    this.#violation(node, 'yaml', message);
  }

  #violation(node: unknown, rule: SourceViolation['rule'], message: string): void {
    if (this.violations.length >= MAX_SOURCE_VIOLATIONS) return;
    const offset = (node as Node | undefined)?.range?.[0] ?? 0;
    this.violations.push({ path: formatPath(this.#path), rule, message, offset });
  }
}

/** `<<` written plain; quoted it is a key as any other. */
export function isMergeKey(node: unknown): boolean {
  return isScalar(node) && node.source === '<<' && node.type === Scalar.PLAIN && node.tag === undefined;
}
