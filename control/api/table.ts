/** What `kubectl get` prints: `Table` of meta.k8s.io/v1, from a kind's printer columns. */
import type { Kind, PrinterColumn } from '../../shared/resources/kind.ts';
import type { Resource } from '../../shared/resources/resource.ts';
import { isObject } from './body.ts';
import { badRequest } from './status.ts';

export interface Table {
  kind: 'Table';
  apiVersion: 'meta.k8s.io/v1';
  metadata: { resourceVersion?: string };
  columnDefinitions: { name: string; type: string; format: string; description: string; priority: number }[];
  rows: { cells: unknown[]; object?: unknown }[];
}

/** `includeObject` of the request. */
export type IncludeObject = 'None' | 'Metadata' | 'Object';

/** @throws ApiError 400 */
export function parseIncludeObject(value: string | undefined): IncludeObject {
  const include = value || 'Metadata';
  if (include === 'None' || include === 'Metadata' || include === 'Object') return include;
  throw badRequest(`includeObject: must be one of None, Metadata, Object, found "${include}"`);
}

const nameColumn: PrinterColumn = {
  name: 'Name',
  type: 'string',
  jsonPath: '.metadata.name',
  description: 'Name must be unique within a namespace.',
};
const ageColumn: PrinterColumn = {
  name: 'Age',
  type: 'date',
  jsonPath: '.metadata.creationTimestamp',
  description: 'Time since creation.',
};

export function toTable(
  kind: Kind,
  resources: readonly Resource[],
  revision: string,
  include: IncludeObject,
  now: Date = new Date(),
): Table {
  const columns = columnsOf(kind);
  return {
    kind: 'Table',
    apiVersion: 'meta.k8s.io/v1',
    metadata: { resourceVersion: revision },
    columnDefinitions: columns.map(({ name, type, description, priority }) => ({
      name,
      type,
      format: name === 'Name' ? 'name' : '',
      description,
      priority: priority ?? 0,
    })),
    rows: resources.map((resource) => {
      const cells = columns.map((column) => cell(column, resource, now));
      if (include === 'None') return { cells };
      return { cells, object: include === 'Object' ? resource : partial(resource) };
    }),
  };
}

function columnsOf(kind: Kind): PrinterColumn[] {
  const own = kind.columns.filter((column) => column.name !== 'Name');
  return [nameColumn, ...own, ...(own.some((column) => column.name === 'Age') ? [] : [ageColumn])];
}

function partial({ metadata }: Resource): unknown {
  return { kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1', metadata };
}

function cell(column: PrinterColumn, resource: Resource, now: Date): unknown {
  const value = lookUp(resource, column.jsonPath);
  if (value === undefined || value === null) return null;
  if (column.type === 'date') return age(String(value), now);
  return typeof value === 'object' ? JSON.stringify(value) : value;
}

/** `.a.b[0].c` and `.a[*].b`, which gives a list. */
function lookUp(value: unknown, path: string): unknown {
  let found = value;
  const steps = path.match(/[^.[\]]+/g) ?? [];
  for (const [at, step] of steps.entries()) {
    if (step === '*') {
      const rest = steps.slice(at + 1).join('.');
      return Array.isArray(found)
        ? found.map((item) => lookUp(item, rest)).filter((item) => item !== undefined)
        : undefined;
    }
    if (Array.isArray(found)) found = found[Number(step)];
    else if (isObject(found) && Object.hasOwn(found, step)) found = found[step];
    else return undefined;
  }
  return found;
}

/** As kubectl prints durations: `42s`, `7m30s`, `5h`, `3d`. */
function age(timestamp: string, now: Date): string {
  const seconds = Math.max(0, Math.floor((now.getTime() - Date.parse(timestamp)) / 1000));
  if (Number.isNaN(seconds)) return '<invalid>';
  const minutes = Math.floor(seconds / 60);
  const hours = Math.floor(minutes / 60);
  if (seconds < 120) return `${seconds}s`;
  if (minutes < 10) return seconds % 60 === 0 ? `${minutes}m` : `${minutes}m${seconds % 60}s`;
  if (minutes < 180) return `${minutes}m`;
  if (hours < 48) return `${hours}h`;
  const days = Math.floor(hours / 24);
  return days < 730 ? `${days}d` : `${Math.floor(days / 365)}y`;
}
