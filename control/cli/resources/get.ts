/** `tulle get`: lists, shows and watches resources, with kubectl's arguments. */
import { setTimeout as pause } from 'node:timers/promises';
import type { Kind } from '../../../shared/resources/kind.ts';
import type { Resource } from '../../../shared/resources/resource.ts';
import { CliError } from '../cli-error.ts';
import { type ControlApi, describeStatus } from '../connection.ts';
import { type Format, getFormat, resourceTable } from './format.ts';
import { qualifiedName, resourcePath, type Selected, selection } from './selection.ts';

export interface GetOptions {
  namespace: string;
  allNamespaces: boolean;
  /** The value of `-o`. */
  output: string;
  /** A label selector. */
  selector?: string;
  watch: boolean;
  noHeaders: boolean;
  /** With names: resources that do not exist are left out without an error. */
  ignoreNotFound: boolean;
}

/** What one type or name of the arguments gave. */
interface Found {
  readonly kind: Kind;
  readonly items: Resource[];
  /** Of the list, where a watch continues. */
  readonly revision: string | undefined;
  readonly list: unknown;
}

/**
 * Prints what the words select.
 * @returns the exit code: 1 when a named resource does not exist; what does exist is printed nevertheless
 * @throws CliError for wrong arguments and refusals of the API
 */
export async function get(api: ControlApi, words: readonly string[], options: GetOptions): Promise<number> {
  const format = getFormat(options.output);
  const selected = selection(words);
  refuseContradictions(selected, options);
  const found: Found[] = [];
  const missing: string[] = [];
  for (const each of selected) {
    const answer = await api.request('GET', listPath(each, options));
    if (answer.status === 404 && each.name !== undefined) missing.push(describeStatus(answer));
    else if (answer.status >= 300) throw new CliError(describeStatus(answer));
    else found.push(foundOf(each.kind, answer.body as Resource & { items?: Resource[] }));
  }
  printFound(format, found, options, selected.length > 1 || selected[0]?.name === undefined);
  if (options.watch) await watch(api, format, selected[0]!, found[0]?.revision, options);
  if (missing.length === 0 || options.ignoreNotFound) return 0;
  process.stderr.write(missing.map((text) => `tulle: ${text}\n`).join(''));
  return 1;
}

function refuseContradictions(selected: readonly Selected[], options: GetOptions): void {
  const named = selected.some(({ name }) => name !== undefined);
  if (named && options.allNamespaces)
    throw new CliError('get: a resource cannot be named with -A: name its namespace with -n');
  if (named && options.selector !== undefined)
    throw new CliError('get: names and a selector (-l) cannot be given together');
  if (options.watch && selected.length > 1) throw new CliError('get: -w watches one type or one resource');
}

function listPath({ kind, name }: Selected, options: GetOptions): string {
  const path = resourcePath(kind, options.allNamespaces ? undefined : options.namespace, name);
  return options.selector === undefined ? path : `${path}?labelSelector=${encodeURIComponent(options.selector)}`;
}

function foundOf(kind: Kind, body: Resource & { items?: Resource[] }): Found {
  const { items } = body;
  if (!items) return { kind, items: [body], revision: body.metadata.resourceVersion, list: body };
  const whole = items.map((item) => ({ ...item, apiVersion: item.apiVersion, kind: kind.kind }));
  return { kind, items: whole, revision: body.metadata.resourceVersion, list: body };
}

function printFound(format: Format, found: readonly Found[], options: GetOptions, list: boolean): void {
  if (format.kind === 'object') {
    if (found.length === 0 && !list) return;
    process.stdout.write(format.print(found.length === 1 ? found[0]!.list : merged(found)));
    return;
  }
  const all = found.flatMap(({ kind, items }) => items.map((item) => ({ kind, item })));
  if (format.kind === 'name') {
    for (const { kind, item } of all) process.stdout.write(`${qualifiedName(kind, item.metadata.name)}\n`);
    return;
  }
  if (all.length === 0) {
    if (list && !options.watch) process.stderr.write(noneFound(options));
    return;
  }
  const byKind = Map.groupBy(all, ({ kind }) => kind);
  const tables = [...byKind].map(([kind, entries]) => {
    const items = entries.map(({ item }) => item);
    return `${resourceTable(kind, items, tableShape(format.wide, options, byKind.size > 1))}\n`;
  });
  process.stdout.write(tables.join('\n'));
}

const tableShape = (wide: boolean, options: GetOptions, qualified: boolean) => ({
  wide,
  qualified,
  namespaces: options.allNamespaces,
  heads: !options.noHeaders,
});

const noneFound = ({ allNamespaces, namespace }: GetOptions): string =>
  `No resources found${allNamespaces ? '' : ` in ${namespace} namespace`}.\n`;

/** Several answers as one list, as kubectl gives them. */
function merged(found: readonly Found[]): unknown {
  const items = found.flatMap(({ items: each }) => each);
  return { apiVersion: 'v1', kind: 'List', metadata: { resourceVersion: '' }, items };
}

/** Watches are begun at most this often; milliseconds. */
const MIN_WATCH_MS = 1000;

/** Prints each change until the user interrupts; a watch that the server ends is continued from its last event. */
async function watch(
  api: ControlApi,
  format: Format,
  selected: Selected,
  revision: string | undefined,
  options: GetOptions,
): Promise<void> {
  let from = revision ?? '';
  const path = watchPath(selected, options);
  for (let began = Date.now(); ; began = Date.now()) {
    const lines = api.lines('GET', `${path}&resourceVersion=${encodeURIComponent(from)}`);
    for await (const line of lines) {
      const event = line as { type: string; object: Resource };
      if (event.type === 'ERROR') throw new CliError(describeStatus({ status: 410, body: event.object, warnings: [] }));
      from = event.object.metadata.resourceVersion ?? from;
      if (event.type !== 'BOOKMARK') process.stdout.write(changed(format, selected.kind, event.object, options));
    }
    await pause(Math.max(0, began + MIN_WATCH_MS - Date.now()));
  }
}

function watchPath({ kind, name }: Selected, options: GetOptions): string {
  const path = resourcePath(kind, options.allNamespaces ? undefined : options.namespace);
  const query = new URLSearchParams({ watch: 'true', allowWatchBookmarks: 'true' });
  if (name !== undefined) query.set('fieldSelector', `metadata.name=${name}`);
  if (options.selector !== undefined) query.set('labelSelector', options.selector);
  return `${path}?${query}`;
}

function changed(format: Format, kind: Kind, item: Resource, options: GetOptions): string {
  if (format.kind === 'object') return format.print(item);
  if (format.kind === 'name') return `${qualifiedName(kind, item.metadata.name)}\n`;
  return `${resourceTable(kind, [item], { ...tableShape(format.wide, options, false), heads: false })}\n`;
}
