/** `tulle apply`: creates resources and patches existing ones with what the files say, as kubectl's client-side apply does. */
import type { FieldValidation } from '../../../shared/resources/read/unknown-fields.ts';
import type { Resource } from '../../../shared/resources/resource.ts';
import { warningText } from '../../api/resources/warning-header.ts';
import { notCompiled } from '../../compile/node/not-compiled.ts';
import { AddressIndex, sharedAddressWarnings } from '../../mesh/shared-addresses.ts';
import { CliError } from '../cli-error.ts';
import { type ControlApi, describeStatus } from '../connection.ts';
import { note } from '../output.ts';
import { checkSources, isNamespace, type SourcePaths, type SourceResource } from '../sources.ts';
import { applyPatch, isApplied, LAST_APPLIED, withLastApplied } from './last-applied.ts';
import { kindArgument, qualifiedName, resourcePath } from './selection.ts';

export interface ApplyOptions {
  /** `client`: validate here only; `server`: here and by the server; neither writes. */
  dryRun: DryRun;
  /** Policy for unknown and duplicate fields. */
  fields: FieldValidation;
}

export type DryRun = 'none' | 'client' | 'server';

/** The value of `--dry-run`, in kubectl's words; without a value it is `server`. @throws CliError */
export function dryRunFlag(value: string | boolean | undefined): DryRun {
  if (value === undefined) return 'none';
  if (value === true) return 'server';
  if (value === 'none' || value === 'client' || value === 'server') return value;
  throw new CliError(`--dry-run=${value}: must be none, client or server`);
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
  from: SourcePaths,
  namespace: string,
  { dryRun, fields }: ApplyOptions,
): Promise<void> {
  const sources = withNeighbours(
    namespacesFirst(await checkSources(from, fields)).map((source) => wanted(source, namespace)),
  );
  if (sources.length === 0) throw new CliError(noResources(from));
  for (const source of sources) warnOfNoEffect(source);
  if (dryRun === 'client') {
    for (const { kind, resource } of sources)
      process.stdout.write(`${qualifiedName(kind, resource.metadata.name)} valid (dry run)\n`);
    return;
  }
  const judged = await judge(api, sources, fields);
  for (const [i, source] of sources.entries()) {
    let outcome = judged[i]!;
    if (dryRun === 'none' && outcome !== 'unchanged') {
      try {
        ({ outcome } = await applyOne(api, source, { dryRun: false, fields }));
      } catch (error) {
        // It was valid in the dry run: another client has written since, or the server is unreachable.
        throw new CliError(`${(error as Error).message}${i > 0 ? `\n${unwritten(sources, i)}` : ''}`);
      }
    }
    process.stdout.write(`${nameOf(source)} ${outcome}${dryRun === 'server' ? ' (server dry run)' : ''}\n`);
  }
}

function warnOfNoEffect({ kind, resource, file, positionOf }: SourceResource): void {
  for (const found of notCompiled(resource)) {
    const { line, column } = positionOf(found);
    note(`Warning: ${file}:${line}:${column}: ${kind.kind} ${resource.metadata.name}: ${warningText(found)}`);
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
      violations.push(`${file}:${line}: ${kind.kind} ${name}: ${error.message}${remedy(error.message)}`);
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
    found = (await api.request('GET', resourcePath(kindArgument('namespace'), undefined, namespace))).status === 200;
    known.set(namespace, found);
  }
  return found;
}

function unwritten(sources: readonly SourceResource[], from: number): string {
  return `written before that: ${sources.slice(0, from).map(nameOf).join(', ')}; not written: ${sources.slice(from).map(nameOf).join(', ')}`;
}

const nameOf = ({ kind, resource }: SourceResource): string => qualifiedName(kind, resource.metadata.name);

/** What to do about the server's refusal, where its text does not say it. */
function remedy(message: string): string {
  const namespace = /^namespaces "([^"]*)" not found/.exec(message)?.[1];
  return namespace === undefined
    ? ''
    : `: add a Namespace resource named ${namespace} to the files, it is written first`;
}

/** The server refused; as opposed to no response. */
class Refusal extends CliError {}

async function applyOne(
  api: ControlApi,
  source: SourceResource,
  { dryRun, fields }: { dryRun: boolean; fields: FieldValidation },
): Promise<{ outcome: 'created' | 'configured' | 'unchanged'; warnings: string[] }> {
  const { kind, resource } = source;
  const { name, namespace } = resource.metadata;
  const desired = withLastApplied(resource);
  const query = `?fieldValidation=${fields}${dryRun ? '&dryRun=All' : ''}`;
  const at = resourcePath(kind, namespace, name);
  for (let attempt = 0; ; attempt++) {
    const current = await api.request('GET', at);
    if (current.status >= 300 && current.status !== 404) throw new CliError(describeStatus(current));
    const live = current.status === 404 ? undefined : (current.body as Resource);
    const answer = live
      ? await api.request('PATCH', `${at}${query}`, applyPatch(live, desired), 'application/merge-patch+json')
      : await api.request('POST', `${resourcePath(kind, namespace)}${query}`, desired);
    if (answer.status < 300) {
      const { warnings } = answer;
      if (!live) return { outcome: 'created', warnings };
      if (dryRun && !isApplied(live)) warnMissingAnnotation(source);
      return { outcome: same(live, answer.body as Resource) ? 'unchanged' : 'configured', warnings };
    }
    // Another client created or deleted it between our read and our write: read again, a few times.
    const raced = answer.status === 409 || (live !== undefined && answer.status === 404);
    if (!raced || attempt >= 4) throw new Refusal(describeStatus(answer));
  }
}

function warnMissingAnnotation({ kind, resource, file, line }: SourceResource): void {
  process.stderr.write(
    `Warning: ${file}:${line}: ${qualifiedName(kind, resource.metadata.name)} was not written by apply (it has no ${LAST_APPLIED}): fields that are not in the file are kept\n`,
  );
}

/**
 * Whether the update changes nothing. What the server completes (labels of namespaces, data of secrets) is in both; all
 * versions of a kind are one resource.
 */
function same(current: Resource, wouldBe: Resource): boolean {
  const compared = ({ apiVersion: _a, metadata, ...rest }: Resource) => {
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

/** JSON with sorted keys, for comparing. */
function stable(value: unknown): string {
  return JSON.stringify(value, (_key, field: unknown) => {
    if (typeof field !== 'object' || field === null || Array.isArray(field)) return field;
    return Object.fromEntries(Object.entries(field).sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}

function noResources({ paths, recursive }: SourcePaths): string {
  const deeper = recursive ? '' : ' (-R reads folders within folders too)';
  return `-f ${paths.join(' ')}: holds no resources${deeper}`;
}
