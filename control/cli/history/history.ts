/** `tulle history`: what each write left of a resource, and what it changed. */

import { escapeLines } from '../../../shared/log/escape.ts';
import type { Kind } from '../../../shared/resources/kind.ts';
import type { Resource } from '../../../shared/resources/resource.ts';
import { writeYaml } from '../../../shared/resources/yaml/write.ts';
import type { Revision } from '../../api/resources/history/history.ts';
import { CliError } from '../cli-error.ts';
import { type ControlApi, describeStatus } from '../connection.ts';
import { age, type OutputFormat, print, table } from '../output.ts';
import { LAST_APPLIED } from '../resources/last-applied.ts';
import { resourcePath, type Selected, selection } from '../resources/selection.ts';
import { lineDiff } from './line-diff.ts';

/** One resource that the words name. @throws CliError */
export function oneResource(command: string, words: readonly string[]): Required<Selected> {
  const [selected, ...more] = selection(words);
  if (selected?.name === undefined || more.length > 0)
    throw new CliError(`${command}: name one resource, as "tulle ${command} virtualservice/reviews"`);
  return { kind: selected.kind, name: selected.name };
}

interface HistoryBody {
  revisions: Revision[];
}

const historyPath = (namespace: string, { kind, name }: Required<Selected>) =>
  `${resourcePath(kind, namespace, name)}/history`;

/** The resource as a revision left it. @throws CliError when it is not kept */
export function resourceAt(
  api: ControlApi,
  namespace: string,
  selected: Required<Selected>,
  revision: number,
): Promise<Resource> {
  return api.call<Resource>('GET', `${historyPath(namespace, selected)}?revision=${revision}`);
}

/** @throws CliError */
export async function showHistory(
  api: ControlApi,
  selected: Required<Selected>,
  { namespace, format }: { namespace: string; format: OutputFormat },
): Promise<void> {
  const body = await api.call<HistoryBody>('GET', historyPath(namespace, selected));
  print(format, body, () =>
    body.revisions.length === 0
      ? 'No revisions are kept.'
      : table(
          ['REVISION', 'AGE', 'TIME', 'OPERATION', 'USER', 'FIELD MANAGER'],
          body.revisions.map(({ revision, time, operation, user = '<control plane>', fieldManager = '-' }) => [
            ...[String(revision), age(time), time, operation, user, fieldManager],
          ]),
        ),
  );
}

/** With the format `table` what the write changed, else the resource as it left it. @throws CliError */
export async function showRevision(
  api: ControlApi,
  selected: Required<Selected>,
  { namespace, format, revision }: { namespace: string; format: OutputFormat; revision: number },
): Promise<void> {
  const resource = await resourceAt(api, namespace, selected, revision);
  if (format !== 'table') return print(format, resource, () => '');
  const { revisions } = await api.call<HistoryBody>('GET', historyPath(namespace, selected));
  const at = revisions.findIndex((each) => each.revision === revision);
  const isDeletion = revisions[at]?.operation === 'Delete';
  const previous = isDeletion ? undefined : revisions[at + 1];
  const before = isDeletion ? resource : previous && (await stateBefore(api, namespace, selected, previous));
  const [left, right] = masked(selected.kind, before, isDeletion ? undefined : resource);
  const names = `--- ${previous?.revision ?? (isDeletion ? revision : '/dev/null')}\n+++ ${isDeletion ? '/dev/null' : revision}\n`;
  process.stdout.write(escapeLines(names + lineDiff(left, right)));
}

/** The state before a write; undefined after a deletion, and where it is not kept. */
async function stateBefore(
  api: ControlApi,
  namespace: string,
  selected: Required<Selected>,
  { revision, operation }: Revision,
): Promise<Resource | undefined> {
  if (operation === 'Delete') return undefined;
  const answer = await api.request('GET', `${historyPath(namespace, selected)}?revision=${revision}`);
  if (answer.status === 404) return undefined;
  if (answer.status >= 300) throw new CliError(describeStatus(answer));
  return answer.body as Resource;
}

/** Both as YAML, values of Secrets by whether they differ. */
function masked(kind: Kind, before: Resource | undefined, after: Resource | undefined): [string, string] {
  if (kind.kind !== 'Secret' || kind.group !== '') return [yaml(before), yaml(after)];
  const data = (resource: Resource | undefined) =>
    ((resource as unknown as { data?: Record<string, string> } | undefined)?.data ?? {}) as Record<string, string>;
  const hidden = (resource: Resource | undefined, other: Resource | undefined, when: string) => {
    if (!resource) return undefined;
    const shown = Object.entries(data(resource)).map(([name, value]) => {
      const differs = name in data(other) && data(other)[name] !== value;
      return [name, differs ? `*** (${when})` : '***'];
    });
    const { stringData: _, ...rest } = resource as Resource & { stringData?: unknown };
    return { ...withoutApplied(rest), data: Object.fromEntries(shown) } as unknown as Resource;
  };
  return [yaml(hidden(before, after, 'before')), yaml(hidden(after, before, 'after'))];
}

/** What kubectl and tulle last applied holds the values once more. */
function withoutApplied(resource: Resource): Resource {
  const { annotations, ...metadata } = resource.metadata;
  if (!annotations) return resource;
  const { [LAST_APPLIED]: _, ...others } = annotations;
  return { ...resource, metadata: { ...metadata, annotations: others } };
}

/** Without what every write changes. */
function yaml(resource: Resource | undefined): string {
  if (!resource) return '';
  const { resourceVersion: _, generation: __, ...metadata } = resource.metadata;
  return writeYaml({ ...resource, metadata });
}
