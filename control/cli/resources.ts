/** `tulle apply`, `get` and `delete`: thin clients of the Kubernetes-shaped REST API. */

import { kinds } from '../../shared/resources/index.ts';
import { type Kind, kindKey } from '../../shared/resources/kind.ts';
import type { Resource } from '../../shared/resources/resource.ts';
import type { FieldValidation } from '../../shared/resources/unknown-fields.ts';
import { type Answer, CliError, type ControlApi, describeStatus } from './connection.ts';
import { age, type OutputFormat, print, table } from './output.ts';
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
  /** Judge only. */
  dryRun: boolean;
  /** What becomes of unknown fields and fields that stand twice. */
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
 * Applies every resource of the files. All are validated first: with one fault anywhere nothing is written.
 * @throws CliError with every fault
 */
export async function apply(
  api: ControlApi,
  paths: readonly string[],
  namespace: string,
  { dryRun, fields }: ApplyOptions,
): Promise<void> {
  const sources = await checkSources(paths, fields);
  if (sources.length === 0) throw new CliError(`-f ${paths.join(' ')}: holds no resources`);
  for (const source of sources) {
    const outcome = await applyOne(api, source, namespace, { dryRun, fields });
    process.stdout.write(
      `${source.kind.singular}${source.kind.group ? `.${source.kind.group}` : ''}/${source.resource.metadata.name} ${outcome}${dryRun ? ' (dry run)' : ''}\n`,
    );
  }
}

async function applyOne(
  api: ControlApi,
  { kind, resource }: SourceResource,
  fallback: string,
  { dryRun, fields }: ApplyOptions,
): Promise<string> {
  const namespace = resource.metadata.namespace ?? fallback;
  const query = `?fieldValidation=${fields}${dryRun ? '&dryRun=All' : ''}`;
  const at = resourcePath(kind, namespace, resource.metadata.name);
  const desired: Resource = {
    ...resource,
    metadata: kind.namespaced ? { ...resource.metadata, namespace } : resource.metadata,
  };
  for (let attempt = 0; ; attempt++) {
    const current = await api.request('GET', at);
    const answer =
      current.status === 404
        ? await api.request('POST', `${resourcePath(kind, namespace)}${query}`, desired)
        : await replace(api, `${at}${query}`, must(current), desired);
    if (answer === 'unchanged') return 'unchanged';
    if (answer.status < 300) return current.status === 404 ? 'created' : 'configured';
    // Somebody wrote between our read and our write: read again, a few times.
    if (answer.status !== 409 || attempt >= 4)
      throw new CliError(`${kind.kind} ${namespace}/${desired.metadata.name}: ${describeStatus(answer)}`);
  }
}

async function replace(
  api: ControlApi,
  at: string,
  current: Resource,
  desired: Resource,
): Promise<Answer | 'unchanged'> {
  const { metadata, ...body } = desired;
  const { metadata: held, status: _status, ...heldBody } = current;
  const same =
    stable(body) === stable(heldBody) &&
    stable(metadata.labels ?? {}) === stable(held.labels ?? {}) &&
    stable(metadata.annotations ?? {}) === stable(held.annotations ?? {});
  if (same) return 'unchanged';
  return await api.request('PUT', at, { ...desired, metadata: { ...metadata, resourceVersion: held.resourceVersion } });
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
        ...columns.map((column) => cell(item, column.jsonPath)),
        age(item.metadata.creationTimestamp),
      ]),
    );
  });
}

function cell(item: Resource, path: string): string {
  let value: unknown = item;
  for (const part of path.split('.').filter(Boolean)) value = (value as Record<string, unknown> | undefined)?.[part];
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
      ? (await checkSources(targets.files)).map(({ kind, resource }) => ({
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
