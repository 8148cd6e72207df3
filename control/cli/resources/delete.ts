/** `tulle delete`: by type and name, by type and selector, or what files hold. */
import type { Kind } from '../../../shared/resources/kind.ts';
import type { Resource } from '../../../shared/resources/resource.ts';
import { CliError } from '../cli-error.ts';
import { type ControlApi, describeStatus } from '../connection.ts';
import { checkSources, isNamespace, type SourcePaths, type SourceResource } from '../sources.ts';
import { type DryRun, dryRunFlag } from './apply.ts';
import { resourcePath, selection } from './selection.ts';

export interface DeleteOptions {
  namespace: string;
  /** A label selector, instead of names. */
  selector?: string;
  /** All of the type, instead of names. */
  all: boolean;
  ignoreNotFound: boolean;
  /** The value of `--dry-run`. */
  dryRun?: string | boolean;
}

interface Target {
  kind: Kind;
  namespace: string;
  name: string;
}

/**
 * Deletes what the words or files name; a failure does not stop the others.
 * @throws CliError with every failure
 */
export async function remove(
  api: ControlApi,
  from: { words: readonly string[] } | { files: SourcePaths },
  options: DeleteOptions,
): Promise<void> {
  const dryRun = dryRunFlag(options.dryRun);
  const targets =
    'files' in from ? await targetsOf(from.files, options) : await selectTargets(api, from.words, options);
  const failures: string[] = [];
  for (const target of targets) {
    const failure = await removeOne(api, target, dryRun, options.ignoreNotFound);
    if (failure !== undefined) failures.push(failure);
  }
  if (failures.length > 0) throw new CliError(failures.join('\n'));
}

async function targetsOf(files: SourcePaths, { namespace }: DeleteOptions): Promise<Target[]> {
  return namespacesLast(await checkSources(files)).map(({ kind, resource }) => ({
    kind,
    namespace: resource.metadata.namespace || namespace,
    name: resource.metadata.name,
  }));
}

/** A namespace's resources are deleted with it, and would then not be found. */
function namespacesLast(sources: readonly SourceResource[]): SourceResource[] {
  return [...sources.filter((source) => !isNamespace(source)), ...sources.filter(isNamespace)];
}

async function selectTargets(api: ControlApi, words: readonly string[], options: DeleteOptions): Promise<Target[]> {
  const { namespace, selector, all } = options;
  const targets: Target[] = [];
  for (const { kind, name } of selection(words)) {
    if (name !== undefined) {
      if (all || selector !== undefined) throw new CliError('delete: names cannot be given with -l or --all');
      targets.push({ kind, namespace, name });
      continue;
    }
    if (!all && selector === undefined)
      throw new CliError(`delete ${kind.plural}: name the resources, or select them with -l, or pass --all`);
    const query = selector === undefined ? '' : `?labelSelector=${encodeURIComponent(selector)}`;
    const { items } = await api.call<{ items: Resource[] }>('GET', `${resourcePath(kind, namespace)}${query}`);
    targets.push(...items.map(({ metadata }) => ({ kind, namespace, name: metadata.name })));
  }
  return targets;
}

/** @returns the failure, if any */
async function removeOne(
  api: ControlApi,
  { kind, namespace, name }: Target,
  dryRun: DryRun,
  ignoreNotFound: boolean,
): Promise<string | undefined> {
  const path = resourcePath(kind, namespace, name);
  const answer =
    dryRun === 'client'
      ? await api.request('GET', path)
      : await api.request('DELETE', `${path}${dryRun === 'server' ? '?dryRun=All' : ''}`);
  if (answer.status === 404 && ignoreNotFound) return undefined;
  if (answer.status >= 300) return describeStatus(answer);
  const mode = { none: '', client: ' (dry run)', server: ' (server dry run)' }[dryRun];
  process.stdout.write(`${kind.singular} "${name}" deleted${mode}\n`);
  return undefined;
}
