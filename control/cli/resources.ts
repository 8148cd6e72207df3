/** `tulle apply`, `get` and `delete`: thin clients of the Kubernetes-shaped REST API. */

import { printedValue } from '../../shared/resources/describe/printed-value.ts';
import { kinds } from '../../shared/resources/index.ts';
import { type Kind, kindKey, type PrinterColumn } from '../../shared/resources/kind.ts';
import type { FieldValidation } from '../../shared/resources/read/unknown-fields.ts';
import type { Resource } from '../../shared/resources/resource.ts';
import { warningText } from '../api/resources/warning-header.ts';
import { notCompiled } from '../compile/node/not-compiled.ts';
import { AddressIndex, sharedAddressWarnings } from '../mesh/shared-addresses.ts';
import { type Answer, CliError, type ControlApi, describeStatus } from './connection.ts';
import { age, note, type OutputFormat, print, table } from './output.ts';
import { checkSources, type SourceResource } from './sources.ts';

/** The kind a user means: `vs`, `virtualservice`, `virtualservices`, `VirtualService`, `virtualservices.networking.istio.io`. */
export function kindArgument(word: string): Kind {
  const name = word.toLowerCase();
  const found = kinds.find((kind) =>
    [
      kind.plural,
      kind.singular,
      kind.kind.toLowerCase(),
      kindKey(kind.group, kind.plural),
      ...kind.shortNames,
    ].includes(name),
  );
  if (found) return found;
  throw new CliError(`unknown resource type "${word}": must be one of ${kinds.map((kind) => kind.plural).join(', ')}`);
}

/** REST path of a collection or, with `name`, of one resource. */
export function resourcePath(kind: Kind, namespace: string | undefined, name?: string): string {
  const version = kind.versions[0];
  const root = kind.group === '' ? `/api/${version}` : `/apis/${kind.group}/${version}`;
  const scope = kind.namespaced && namespace !== undefined ? `/namespaces/${encodeURIComponent(namespace)}` : '';
  return `${root}${scope}/${kind.plural}${name === undefined ? '' : `/${encodeURIComponent(name)}`}`;
}

export interface ApplyOptions {
  /** Validate only. */
  dryRun: boolean;
  /** Policy for unknown and duplicate fields. */
  fields: FieldValidation;
}

/** The policy that `--validate` names, in kubectl's words. @throws CliError */
export function fieldValidationFlag(word: string): FieldValidation {
  const policies: Record<string, FieldValidation> = {
    strict: 'Strict',
    true: 'Strict',
    warn: 'Warn',
    ignore: 'Ignore',
    false: 'Ignore',
  };
  const policy = Object.hasOwn(policies, word) ? policies[word] : undefined;
  if (policy) return policy;
  throw new CliError(`--validate ${word}: must be strict (or true), warn, or ignore (or false)`);
}

/**
 * Applies every resource of the files, namespaces first. All are validated before anything is written, here and then by the
 * server (dry run): with any violation nothing is written.
 * @throws CliError with every violation
 */
export async function apply(
  api: ControlApi,
  paths: readonly string[],
  namespace: string,
  { dryRun, fields }: ApplyOptions,
): Promise<void> {
  const sources = withNeighbours(
    namespacesFirst(await checkSources(paths, fields)).map((source) => wanted(source, namespace)),
  );
  if (sources.length === 0) throw new CliError(`-f ${paths.join(' ')}: holds no resources`);
  for (const { kind, resource, file, line } of sources)
    for (const { path, message } of notCompiled(resource))
      note(
        `warning: ${file}:${line}: ${kind.kind} ${resource.metadata.name}: ${path === '' ? '' : `${path}: `}${message}`,
      );
  const judged = await judge(api, sources, fields);
  for (const [i, source] of sources.entries()) {
    let outcome = judged[i]!;
    if (!dryRun && outcome !== 'unchanged') {
      try {
        ({ outcome } = await applyOne(api, source, { dryRun, fields }));
      } catch (error) {
        // It was valid in the dry run: another client has written since, or the server is unreachable.
        throw new CliError(`${(error as Error).message}${i > 0 ? `\n${unwritten(sources, i)}` : ''}`);
      }
    }
    process.stdout.write(`${nameOf(source)} ${outcome}${dryRun ? ' (dry run)' : ''}\n`);
  }
}

/** Warns of resources in the files that share an address: the server compares with stored resources only. */
function withNeighbours(sources: readonly SourceResource[]): SourceResource[] {
  const index = new AddressIndex();
  return sources.map((source) => {
    const { kind, resource, file, line, warnings } = source;
    // Each pair is reported once, at the later resource.
    const found = sharedAddressWarnings(resource, index);
    index.put(resource);
    for (const warning of found)
      note(`Warning: ${file}:${line}: ${kind.kind} ${resource.metadata.name}: ${warningText(warning)}`);
    return { ...source, warnings: [...warnings, ...found] };
  });
}

/** Namespaces before what is in them; otherwise as the files have it. */
function namespacesFirst(sources: readonly SourceResource[]): SourceResource[] {
  return [...sources.filter(isNamespace), ...sources.filter((source) => !isNamespace(source))];
}

/** For deleting: a namespace's resources are deleted with it, and would then not be found. */
function namespacesLast(sources: readonly SourceResource[]): SourceResource[] {
  return [...sources.filter((source) => !isNamespace(source)), ...sources.filter(isNamespace)];
}

const isNamespace = ({ kind }: SourceResource): boolean => kind.group === '' && kind.kind === 'Namespace';

/** The resource as it is sent: in its own namespace, or the requested one. */
function wanted(source: SourceResource, namespace: string): SourceResource {
  const { kind, resource } = source;
  if (!kind.namespaced) return source;
  const metadata = { ...resource.metadata, namespace: resource.metadata.namespace || namespace };
  return { ...source, resource: { ...resource, metadata } };
}

/** The outcome for each. @throws CliError naming every resource the server would refuse, with the file and line it is in */
async function judge(api: ControlApi, sources: readonly SourceResource[], fields: FieldValidation): Promise<string[]> {
  const coming = new Set(sources.filter(isNamespace).map(({ resource }) => resource.metadata.name));
  const known = new Map<string, boolean>();
  const violations: string[] = [];
  const outcomes: string[] = [];
  for (const source of sources) {
    const { kind, resource, file, line } = source;
    const { name, namespace = '' } = resource.metadata;
    try {
      // The server cannot validate resources of a namespace that does not exist yet; they were validated here.
      if (kind.namespaced && coming.has(namespace) && !(await exists(api, namespace, known))) outcomes.push('created');
      else {
        const { outcome, warnings } = await applyOne(api, source, { dryRun: true, fields });
        outcomes.push(outcome);
        printOtherWarnings(source, warnings);
      }
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      violations.push(`${file}:${line}: ${kind.kind} ${name}: ${error.message}`);
    }
  }
  if (violations.length > 0) throw new CliError([...violations, 'nothing was written'].join('\n'));
  return outcomes;
}

/** Warnings that only the server gives: it may be of another version, or know other resources. */
function printOtherWarnings({ kind, resource, file, line, warnings }: SourceResource, shown: readonly string[]): void {
  const known = new Set([...warnings, ...notCompiled(resource)].map(warningText));
  for (const text of shown)
    if (!known.has(text)) note(`Warning: ${file}:${line}: ${kind.kind} ${resource.metadata.name}: ${text}`);
}

async function exists(api: ControlApi, namespace: string, known: Map<string, boolean>): Promise<boolean> {
  let found = known.get(namespace);
  if (found === undefined) {
    const kind = kinds.find((each) => each.group === '' && each.kind === 'Namespace')!;
    found = (await api.request('GET', resourcePath(kind, undefined, namespace))).status === 200;
    known.set(namespace, found);
  }
  return found;
}

function unwritten(sources: readonly SourceResource[], from: number): string {
  return `written before that: ${sources.slice(0, from).map(nameOf).join(', ')}; not written: ${sources.slice(from).map(nameOf).join(', ')}`;
}

const nameOf = ({ kind, resource }: SourceResource): string =>
  `${kind.singular}${kind.group ? `.${kind.group}` : ''}/${resource.metadata.name}`;

/** The server refused; as opposed to no response. */
class Refusal extends CliError {}

async function applyOne(
  api: ControlApi,
  { kind, resource: desired }: SourceResource,
  { dryRun, fields }: ApplyOptions,
): Promise<{ outcome: 'created' | 'configured' | 'unchanged'; warnings: string[] }> {
  const { name, namespace } = desired.metadata;
  const query = `?fieldValidation=${fields}${dryRun ? '&dryRun=All' : ''}`;
  const at = resourcePath(kind, namespace, name);
  for (let attempt = 0; ; attempt++) {
    const current = await api.request('GET', at);
    const answer =
      current.status === 404
        ? await api.request('POST', `${resourcePath(kind, namespace)}${query}`, desired)
        : await api.request('PUT', `${at}${query}`, onto(must(current), desired));
    if (answer.status < 300) {
      const { warnings } = answer;
      if (current.status === 404) return { outcome: 'created', warnings };
      const unchanged = same(current.body as Resource, answer.body as Resource);
      return { outcome: unchanged ? 'unchanged' : 'configured', warnings };
    }
    // Another client wrote between our read and our write: read again, a few times.
    if (answer.status !== 409 || attempt >= 4) throw new Refusal(describeStatus(answer));
  }
}

/** So that a concurrent change is not overwritten. */
function onto({ metadata: { resourceVersion } }: Resource, desired: Resource): Resource {
  return { ...desired, metadata: { ...desired.metadata, resourceVersion } };
}

/** Whether the update changes nothing: fields that the server completes (labels of namespaces, data of secrets) is in both. */
function same(current: Resource, wouldBe: Resource): boolean {
  const compared = ({ metadata, ...rest }: Resource) => {
    const {
      resourceVersion: _r,
      generation: _g,
      managedFields: _m,
      ...kept
    } = metadata as typeof metadata & { managedFields?: unknown };
    return stable({ ...rest, metadata: kept });
  };
  return compared(current) === compared(wouldBe);
}

const must = (answer: Answer): Resource => {
  if (answer.status >= 300) throw new CliError(describeStatus(answer));
  return answer.body as Resource;
};

/** JSON with sorted keys, for comparing. apiVersion is left out: all versions of a kind are one resource. */
function stable(value: unknown): string {
  return JSON.stringify(value, (key, field: unknown) => {
    if (key === 'apiVersion') return undefined;
    if (typeof field !== 'object' || field === null || Array.isArray(field)) return field;
    return Object.fromEntries(Object.entries(field).sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}

export async function get(
  api: ControlApi,
  type: string,
  name: string | undefined,
  options: { namespace: string; allNamespaces?: boolean; output: OutputFormat },
): Promise<void> {
  const kind = kindArgument(type);
  const path = resourcePath(kind, options.allNamespaces ? undefined : options.namespace, name);
  const answer = await api.call<Resource | { items: Resource[] }>('GET', path);
  const items = 'items' in answer ? answer.items : [answer];
  print(options.output, answer, () => {
    if (items.length === 0)
      return `No resources found${options.allNamespaces ? '' : ` in ${options.namespace} namespace`}.`;
    const columns = kind.columns.filter((column) => !column.priority && column.name.toLowerCase() !== 'age');
    const scope = options.allNamespaces && kind.namespaced;
    return table(
      [...(scope ? ['NAMESPACE'] : []), 'NAME', ...columns.map((column) => column.name.toUpperCase()), 'AGE'],
      items.map((item) => [
        ...(scope ? [item.metadata.namespace ?? ''] : []),
        item.metadata.name,
        ...columns.map((column) => cell(item, column)),
        age(item.metadata.creationTimestamp),
      ]),
    );
  });
}

function cell(item: Resource, column: PrinterColumn): string {
  const value = printedValue(column, item);
  if (value === undefined || value === null) return '';
  return typeof value === 'string' ? value : JSON.stringify(value);
}

export async function remove(
  api: ControlApi,
  targets: { type: string; names: string[] } | { files: string[] },
  namespace: string,
): Promise<void> {
  const victims =
    'files' in targets
      ? namespacesLast(await checkSources(targets.files)).map(({ kind, resource }) => ({
          kind,
          namespace: resource.metadata.namespace ?? namespace,
          name: resource.metadata.name,
        }))
      : targets.names.map((name) => ({ kind: kindArgument(targets.type), namespace, name }));
  const failures: string[] = [];
  for (const { kind, namespace: where, name } of victims) {
    const answer = await api.request('DELETE', resourcePath(kind, where, name));
    if (answer.status < 300) process.stdout.write(`${kind.singular} "${name}" deleted\n`);
    else failures.push(describeStatus(answer));
  }
  if (failures.length > 0) throw new CliError(failures.join('\n'));
}
