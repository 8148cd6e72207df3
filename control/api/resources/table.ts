/** What `kubectl get` prints: `Table` of meta.k8s.io/v1, from a kind's printer columns. */

import { escapeText } from '../../../shared/log/escape.ts';
import { age } from '../../../shared/resources/describe/age.ts';
import { CONDITION, hasConditions, violatedConditions } from '../../../shared/resources/describe/condition-column.ts';
import { printedValue } from '../../../shared/resources/describe/printed-value.ts';
import type { Kind, PrinterColumn } from '../../../shared/resources/kind.ts';
import type { Resource } from '../../../shared/resources/resource.ts';
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

/** Beside the columns of Istio's CRDs, and last, so that these are where they were. */
const conditionColumn: Omit<PrinterColumn, 'jsonPath'> = {
  name: CONDITION,
  type: 'string',
  description: 'Why a part of the resource is not in force, or empty.',
};

export function toTable(
  kind: Kind,
  resources: readonly Resource[],
  revision: string,
  include: IncludeObject,
  now: Date = new Date(),
): Table {
  const columns = columnsOf(kind);
  const withCondition = hasConditions(kind);
  return {
    kind: 'Table',
    apiVersion: 'meta.k8s.io/v1',
    metadata: { resourceVersion: revision },
    columnDefinitions: [...columns, ...(withCondition ? [conditionColumn] : [])].map(
      ({ name, type, description, priority }) => ({
        name,
        type,
        format: name === 'Name' && !kind.hasOwnTable ? 'name' : '',
        description,
        priority: priority ?? 0,
      }),
    ),
    rows: resources.map((resource) => {
      const cells = columns.map((column) => shown(cell(column, resource, now)));
      if (withCondition) cells.push(shown(violatedConditions(resource)));
      if (include === 'None') return { cells };
      return { cells, object: include === 'Object' ? resource : partial(resource) };
    }),
  };
}

function columnsOf(kind: Kind): readonly PrinterColumn[] {
  if (kind.hasOwnTable) return kind.columns;
  const own = kind.columns.filter((column) => column.name !== 'Name');
  return [nameColumn, ...own, ...(own.some((column) => column.name === 'Age') ? [] : [ageColumn])];
}

function partial({ metadata }: Resource): unknown {
  return { kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1', metadata };
}

function cell(column: PrinterColumn, resource: Resource, now: Date): unknown {
  const value = printedValue(column, resource);
  if (value === undefined || value === null) return null;
  if (column.isTime && value === '') return '<unknown>';
  if (column.type === 'date' || column.isTime) return age(String(value), now);
  return typeof value === 'object' ? JSON.stringify(value) : value;
}

/** kubectl writes cells to terminals. */
const shown = (value: unknown): unknown => (typeof value === 'string' ? escapeText(value) : value);
