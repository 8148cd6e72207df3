/** Conflicts of an apply as kube-apiserver words them. */
import { ApiError } from '../status.ts';
import type { Manager } from './managers.ts';
import type { Conflict } from './ownership.ts';
import { describePathElement } from './path-element.ts';

/** 409 with one cause for each field. */
export function conflictStatus(found: readonly Conflict[]): ApiError {
  const conflicts = [...found].sort((left, right) => compare(nameOf(left.manager), nameOf(right.manager)));
  const causes = conflicts.map(({ manager, path }) => ({
    reason: 'FieldManagerConflict',
    message: `conflict with ${nameOf(manager)}`,
    field: pathText(path),
  }));
  return new ApiError(409, 'Conflict', message(conflicts), { causes });
}

function message(conflicts: readonly Conflict[]): string {
  const [first] = conflicts;
  if (conflicts.length === 1 && first)
    return `Apply failed with 1 conflict: conflict with ${nameOf(first.manager)}: ${pathText(first.path)}`;
  const managers = [...new Set(conflicts.map(({ manager }) => manager))];
  const lines = managers.flatMap((manager) => [
    `conflicts with ${nameOf(manager)}:`,
    ...conflicts.filter((each) => each.manager === manager).map(({ path }) => `- ${pathText(path)}`),
  ]);
  return `Apply failed with ${conflicts.length} conflicts: ${lines.join('\n')}`;
}

const pathText = (path: Conflict['path']) => path.map(describePathElement).join('');

function nameOf({ name, subresource, operation, apiVersion }: Manager): string {
  const who = `${JSON.stringify(name)}${subresource === '' ? '' : ` with subresource ${JSON.stringify(subresource)}`}`;
  return operation === 'Update' ? `${who} using ${apiVersion}` : who;
}

const compare = (left: string, right: string) => (left < right ? -1 : left > right ? 1 : 0);
