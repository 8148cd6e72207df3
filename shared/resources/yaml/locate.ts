/** From the path of a violation to its position in the text. */
import { type Document, isAlias, isMap, isScalar, isSeq, type Node, type YAMLMap } from 'yaml';
import { keyText, resolvePlain } from './scalar.ts';
import { composeAll, isMergeKey } from './yaml.ts';

/** Finds fields in one document's text, YAML or JSON; parses it on the first question only. */
export class Locator {
  readonly #text: string;
  #document: Document.Parsed | undefined;

  constructor(text: string) {
    this.#text = text;
  }

  /**
   * The offset of what a path such as `spec.http[0].headers["x.y"]` names, within the document's text. A path that
   * leads to nothing (a required field that is absent) gives the key of the closest thing above it.
   * @param wanted the field's key, as for an unknown field, or its value
   */
  offsetOf(path: string, wanted: 'key' | 'value'): number | undefined {
    this.#document ??= [...composeAll(this.#text)][0];
    let node: unknown = this.#document?.contents;
    if (!this.#document || !node) return undefined;
    let key: Node | undefined;
    for (const step of parsePath(path)) {
      const found = childOf(this.#document, node, step);
      if (!found) return startOf(key) ?? startOf(node);
      key = found.key;
      node = found.value;
    }
    return (wanted === 'key' ? startOf(key) : undefined) ?? startOf(node) ?? startOf(key);
  }
}

interface Child {
  /** Absent for list entries. */
  key?: Node;
  value: unknown;
}

function childOf(document: Document.Parsed, holder: unknown, step: string | number): Child | undefined {
  const node = isAlias(holder) ? holder.resolve(document) : holder;
  if (isSeq(node)) return typeof step === 'number' && step in node.items ? { value: node.items[step] } : undefined;
  if (!isMap(node)) return undefined;
  return fieldOf(document, node, String(step));
}

/** Of a duplicate field, or comes by a merge key too, the last one counts. */
function fieldOf(document: Document.Parsed, node: YAMLMap, name: string): Child | undefined {
  for (const { key, value } of [...node.items].reverse()) {
    if (isMergeKey(key)) {
      const found = mergedFieldOf(document, node, value, name);
      if (found) return found;
    } else if (isScalar(key) && nameOf(key) === name) return { key, value: isEmpty(value) ? key : value };
  }
  return undefined;
}

function mergedFieldOf(document: Document.Parsed, node: YAMLMap, merged: unknown, name: string): Child | undefined {
  const source = isAlias(merged) ? merged.resolve(document) : merged;
  for (const each of isSeq(source) ? source.items : [source]) {
    const found = each === node ? undefined : childOf(document, each, name);
    if (found) return found;
  }
  return undefined;
}

function nameOf(key: { source?: string; type?: string; tag?: string }): string | undefined {
  const text = key.source ?? '';
  return key.type === 'PLAIN' && key.tag === undefined ? keyText(resolvePlain(text), text) : text;
}

/** `hosts:` with nothing behind it: the null has no place of its own. */
function isEmpty(node: unknown): boolean {
  return node === null || (isScalar(node) && node.source === '' && node.type === 'PLAIN');
}

function startOf(node: unknown): number | undefined {
  return (node as Node | undefined)?.range?.[0];
}

const STEP = /\[(\d+)\]|\["((?:[^"\\]|\\.)*)"\]|\[([^\]]*)\]|\.?([^.[\]]+)/y;

/** The steps of a formatted path; what does not parse ends it. */
export function parsePath(path: string): (string | number)[] {
  const steps: (string | number)[] = [];
  STEP.lastIndex = 0;
  for (let match = STEP.exec(path); match; match = STEP.exec(path)) {
    const [, index, quoted, bracketed, name] = match;
    if (index !== undefined) steps.push(Number(index));
    else if (quoted !== undefined) steps.push(JSON.parse(`"${quoted}"`) as string);
    else steps.push(bracketed ?? name ?? '');
  }
  return steps;
}
