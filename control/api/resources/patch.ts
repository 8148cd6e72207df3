/** The patch formats: RFC 7386 merge patch, RFC 6902 JSON patch, and Kubernetes' strategic merge patch for core kinds. */
import { sameJson } from '../../store/stamp.ts';
import { asObject, isObject } from '../server/body.ts';
import { ApiError, badRequest } from './status.ts';

/** RFC 7386: null removes, objects merge, everything else replaces. */
export function mergePatch(target: unknown, patch: unknown): unknown {
  if (!isObject(patch)) return patch;
  const merged: Record<string, unknown> = isObject(target) ? { ...target } : {};
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) delete merged[name];
    else merged[name] = mergePatch(merged[name], value);
  }
  return merged;
}

const maxOperations = 10_000;
/** Copies can double a document at each operation: characters that all of them may copy; a value counts as some more. */
const maxCopied = 3 * 1024 * 1024;
const valueCost = 32;
const maxDepth = 100;

/** RFC 6902, all operations or none. @throws ApiError 400 not a patch; 422 an operation that cannot be carried out */
export function jsonPatch(target: unknown, patch: unknown): unknown {
  if (!Array.isArray(patch)) throw badRequest('a JSON patch must be a list of operations');
  if (patch.length > maxOperations) throw badRequest(`a JSON patch may have at most ${maxOperations} operations`);
  const root = { document: structuredClone(target), copied: 0 };
  for (const [at, item] of patch.entries()) {
    const operation = asObject(item);
    const refuse = (why: string) =>
      new ApiError(422, 'Invalid', `the patch cannot be applied: operation ${at}: ${why}`);
    applyOperation(root, operation, refuse);
  }
  checkDepth(root.document, 0);
  return root.document;
}

/** Code that walks a resource by recursion would exhaust the stack. */
function checkDepth(value: unknown, depth: number): void {
  if (typeof value !== 'object' || value === null) return;
  if (depth > maxDepth) throw badRequest(`the patched resource is nested deeper than ${maxDepth} levels`);
  for (const item of Object.values(value)) checkDepth(item, depth + 1);
}

/** @throws ApiError 400 nested too deeply; 413 too much, as Kubernetes limits it */
function countCopied(root: { copied: number }, value: unknown, depth = 0): void {
  if (depth > maxDepth) throw badRequest(`a copied value is nested deeper than ${maxDepth} levels`);
  root.copied += valueCost + (typeof value === 'string' ? value.length : 0);
  if (root.copied > maxCopied)
    throw new ApiError(413, 'RequestEntityTooLarge', 'the copy operations of the JSON patch copy too much');
  if (typeof value !== 'object' || value === null) return;
  for (const [name, item] of Object.entries(value)) {
    root.copied += name.length;
    countCopied(root, item, depth + 1);
  }
}

type Refuse = (why: string) => ApiError;

function applyOperation(
  root: { document: unknown; copied: number },
  operation: Record<string, unknown>,
  refuse: Refuse,
): void {
  const path = pointer(operation['path']);
  const value = () => {
    if (!('value' in operation)) throw badRequest(`JSON patch operation "${operation['op']}" needs a value`);
    return structuredClone(operation['value']);
  };
  const add = (added: unknown) => insert(root, path, added, refuse);
  switch (operation['op']) {
    case 'add':
      add(value());
      break;
    case 'remove':
      remove(root, path, refuse);
      break;
    case 'replace':
      read(root, path, refuse);
      if (path.length > 0) remove(root, path, refuse);
      add(value());
      break;
    case 'copy': {
      const value = read(root, pointer(operation['from']), refuse);
      countCopied(root, value);
      add(structuredClone(value));
      break;
    }
    case 'move': {
      const from = pointer(operation['from']);
      if (path.length > from.length && from.every((step, at) => step === path[at]))
        throw refuse('a value cannot be moved into itself');
      add(remove(root, from, refuse));
      break;
    }
    case 'test':
      if (!sameJson(read(root, path, refuse), value())) throw refuse(`test of ${String(operation['path'])} failed`);
      break;
    default:
      throw badRequest('a JSON patch operation must be add, remove, replace, move, copy or test');
  }
}

/** RFC 6901 */
function pointer(value: unknown): string[] {
  if (typeof value !== 'string' || (value !== '' && !value.startsWith('/')))
    throw badRequest('a JSON pointer must be empty or begin with "/"');
  const steps = value.split('/').slice(1);
  return steps.map((step) => {
    if (/~(?![01])/.test(step)) throw badRequest('a JSON pointer may have "~" only in "~0" and "~1"');
    const name = step.replaceAll('~1', '/').replaceAll('~0', '~');
    if (name === '__proto__') throw badRequest('a JSON pointer may not name __proto__');
    return name;
  });
}

function read(root: { document: unknown }, path: readonly string[], refuse: Refuse): unknown {
  let found: unknown = root.document;
  for (const step of path) {
    if (Array.isArray(found)) found = found[index(step, found.length - 1, refuse)];
    else if (isObject(found) && Object.hasOwn(found, step)) found = found[step];
    else throw refuse(`/${path.join('/')} does not exist`);
  }
  return found;
}

function insert(root: { document: unknown }, path: readonly string[], value: unknown, refuse: Refuse): void {
  const last = path.at(-1);
  if (last === undefined) {
    root.document = value;
    return;
  }
  const parent = read(root, path.slice(0, -1), refuse);
  if (Array.isArray(parent)) parent.splice(last === '-' ? parent.length : index(last, parent.length, refuse), 0, value);
  else if (isObject(parent)) parent[last] = value;
  else throw refuse(`/${path.join('/')} has no parent that holds values`);
}

function remove(root: { document: unknown }, path: readonly string[], refuse: Refuse): unknown {
  const value = read(root, path, refuse);
  const last = path.at(-1);
  if (last === undefined) throw refuse('the whole document cannot be removed');
  const parent = read(root, path.slice(0, -1), refuse);
  if (Array.isArray(parent)) parent.splice(index(last, parent.length - 1, refuse), 1);
  else delete (parent as Record<string, unknown>)[last];
  return value;
}

function index(step: string, highest: number, refuse: Refuse): number {
  if (!/^(0|[1-9][0-9]{0,8})$/.test(step) || Number(step) > highest) throw refuse(`there is no list entry ${step}`);
  return Number(step);
}

/** Lists of core kinds that merge by a key (`patchMergeKey` in the Kubernetes types); all others are replaced whole. */
const mergeKeys = new Map([
  ['spec.ports', 'port'],
  ['secrets', 'name'],
  ['metadata.ownerReferences', 'uid'],
]);

/** Lists that are sets of strings. */
const sets = new Set(['metadata.finalizers']);

/**
 * https://github.com/kubernetes/community/blob/master/contributors/devel/sig-api-machinery/strategic-merge-patch.md
 * @throws ApiError 400 for a directive that is not supported
 */
export function strategicMergePatch(target: unknown, patch: unknown, path = ''): unknown {
  if (!isObject(patch)) return patch;
  if (patch['$patch'] === 'replace') return withoutDirectives(patch);
  const merged: Record<string, unknown> = isObject(target) ? { ...target } : {};
  for (const [name, value] of Object.entries(patch)) {
    // $setElementOrder is ignored: entries keep their order.
    if (name.startsWith('$setElementOrder/')) continue;
    if (name.startsWith('$deleteFromPrimitiveList/')) {
      const list = name.slice('$deleteFromPrimitiveList/'.length);
      const gone = new Set(Array.isArray(value) ? value : []);
      if (Array.isArray(merged[list])) merged[list] = merged[list].filter((item) => !gone.has(item));
      continue;
    }
    if (name.startsWith('$')) throw badRequest(`strategic merge patch: directive ${name} is not supported here`);
    const inner = path === '' ? name : `${path}.${name}`;
    if (value === null) delete merged[name];
    else if (isObject(value) && value['$patch'] === 'delete') delete merged[name];
    else if (Array.isArray(value)) merged[name] = mergeList(merged[name], value, inner);
    else merged[name] = strategicMergePatch(merged[name], value, inner);
  }
  return merged;
}

function mergeList(target: unknown, patch: unknown[], path: string): unknown[] {
  const present: unknown[] = Array.isArray(target) ? [...target] : [];
  if (sets.has(path)) return [...new Set([...present, ...patch])];
  const key = mergeKeys.get(path);
  if (!key || patch.some((item) => isObject(item) && item['$patch'] === 'replace'))
    return patch.filter((item) => !(isObject(item) && item['$patch'] === 'replace'));
  // By an index: a search per item would take time that grows with the square of a list's length.
  const places = new Map<unknown, number>();
  for (const [at, each] of present.entries()) if (isObject(each) && !places.has(each[key])) places.set(each[key], at);
  const deleted = new Set<number>();
  for (const item of patch) {
    const value = isObject(item) ? item[key] : undefined;
    const at = isObject(item) ? places.get(value) : undefined;
    if (isObject(item) && item['$patch'] === 'delete') {
      if (at !== undefined) deleted.add(at);
      places.delete(value);
    } else if (at !== undefined) present[at] = strategicMergePatch(present[at], item, path);
    else {
      if (isObject(item)) places.set(value, present.length);
      present.push(item);
    }
  }
  return present.filter((_, at) => !deleted.has(at));
}

function withoutDirectives(value: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(value).filter(([name]) => !name.startsWith('$')));
}
