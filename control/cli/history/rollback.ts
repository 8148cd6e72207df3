/** `tulle rollback`: writes what a revision held as a new revision, through the API as any other write. */
import type { ObjectMeta, Resource } from '../../../shared/resources/resource.ts';
import { CliError } from '../cli-error.ts';
import { type Answer, type ControlApi, describeStatus } from '../connection.ts';
import { note } from '../output.ts';
import { qualifiedName, resourcePath, type Selected } from '../resources/selection.ts';
import { resourceAt } from './history.ts';

/** The field manager of these writes. */
const MANAGER = 'tulle-rollback';

export interface RollbackOptions {
  namespace: string;
  to: number;
  /** The server judges the write and does not store it. */
  dryRun: boolean;
}

/** @throws CliError */
export async function rollback(api: ControlApi, selected: Required<Selected>, options: RollbackOptions): Promise<void> {
  const { namespace, to, dryRun } = options;
  const { kind, name } = selected;
  const old = await resourceAt(api, namespace, selected, to);
  const live = await api.request('GET', resourcePath(kind, namespace, name));
  if (live.status >= 300 && live.status !== 404) throw new CliError(describeStatus(live));
  const stored = live.status === 404 ? undefined : (live.body as Resource);
  const written = await write(api, selected, options, { old, stored });
  for (const warning of written.warnings) note(`Warning: ${warning}`);
  if (written.status >= 300) throw new CliError(describeStatus(written));
  const { resourceVersion } = (written.body as Resource).metadata;
  const what = qualifiedName(kind, name);
  if (dryRun) process.stdout.write(`${what} rolled back to revision ${to} (server dry run)\n`);
  else if (stored && resourceVersion === stored.metadata.resourceVersion)
    process.stdout.write(`${what} unchanged: it is as revision ${to} left it\n`);
  else process.stdout.write(`${what} rolled back to revision ${to}: it is revision ${resourceVersion} now\n`);
}

function write(
  api: ControlApi,
  { kind, name }: Required<Selected>,
  { namespace, dryRun }: RollbackOptions,
  { old, stored }: { old: Resource; stored: Resource | undefined },
): Promise<Answer> {
  const query = `?fieldManager=${MANAGER}${dryRun ? '&dryRun=All' : ''}`;
  const body = restored(old, stored);
  if (stored) return api.request('PUT', `${resourcePath(kind, namespace, name)}${query}`, body);
  return api.request('POST', `${resourcePath(kind, namespace)}${query}`, body);
}

/** Content, labels and annotations of the revision; identity, owners and finalizers are those of the resource now. */
function restored(old: Resource, stored: Resource | undefined): Resource {
  const { name, namespace, labels, annotations } = old.metadata;
  const place: ObjectMeta = namespace === undefined ? { name } : { name, namespace };
  const { labels: _, annotations: __, managedFields: ___, ...kept } = stored?.metadata ?? place;
  const metadata = { ...kept, ...(labels && { labels }), ...(annotations && { annotations }) };
  return { ...old, metadata };
}
