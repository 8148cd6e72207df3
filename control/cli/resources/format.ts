/** The `-o` formats of `get`: table, wide, name, json, yaml, jsonpath=TEMPLATE, jsonpath-file=FILE. */

import { escapeJson } from '../../../shared/log/escape.ts';
import { CONDITION, hasConditions, violatedConditions } from '../../../shared/resources/describe/condition-column.ts';
import { printedValue } from '../../../shared/resources/describe/printed-value.ts';
import type { Kind, PrinterColumn } from '../../../shared/resources/kind.ts';
import type { Resource } from '../../../shared/resources/resource.ts';
import { writeYaml } from '../../../shared/resources/yaml/write.ts';
import { CliError, readText } from '../cli-error.ts';
import { age, table } from '../output.ts';
import { compileJsonPath } from './jsonpath.ts';
import { qualifiedName } from './selection.ts';

/** How objects are printed: `object` gives the text of a whole answer, `rows` that of resources of one kind. */
export type Format =
  | { kind: 'table'; wide: boolean }
  | { kind: 'name' }
  | { kind: 'object'; print: (value: unknown) => string };

/** @throws CliError naming the flag and what is allowed */
export function getFormat(value: string): Format {
  if (value === 'table' || value === 'wide') return { kind: 'table', wide: value === 'wide' };
  if (value === 'name') return { kind: 'name' };
  if (value === 'json')
    return { kind: 'object', print: (object) => `${escapeJson(JSON.stringify(object, null, 2))}\n` };
  if (value === 'yaml') return { kind: 'object', print: (object) => `${writeYaml(object).trimEnd()}\n` };
  const template = /^(jsonpath|jsonpath-file)=(.*)$/s.exec(value);
  if (template) {
    const text = template[1] === 'jsonpath' ? template[2]! : readText(template[2]!, '-o jsonpath-file');
    return { kind: 'object', print: compileJsonPath(text) };
  }
  throw new CliError(
    `-o ${value}: must be one of table, wide, name, json, yaml, jsonpath=TEMPLATE, jsonpath-file=FILE`,
  );
}

export interface TableShape {
  wide: boolean;
  /** A NAMESPACE column. */
  namespaces: boolean;
  /** Names with their type, as where several types are listed. */
  qualified: boolean;
  heads: boolean;
}

/** Resources of one kind as kubectl's table. */
export function resourceTable(kind: Kind, items: readonly Resource[], shape: TableShape): string {
  const columns = kind.columns.filter((column) => (shape.wide || !column.priority) && !isAge(column));
  const scope = shape.namespaces && kind.namespaced;
  const conditions = hasConditions(kind);
  const heads = [
    ...(scope ? ['NAMESPACE'] : []),
    'NAME',
    ...columns.map(({ name }) => name.toUpperCase()),
    'AGE',
    ...(conditions ? [CONDITION.toUpperCase()] : []),
  ];
  const rows = items.map((item) => [
    ...(scope ? [item.metadata.namespace ?? ''] : []),
    shape.qualified ? qualifiedName(kind, item.metadata.name) : item.metadata.name,
    ...columns.map((column) => cell(item, column)),
    age(item.metadata.creationTimestamp),
    ...(conditions ? [violatedConditions(item)] : []),
  ]);
  const text = table(heads, rows);
  return shape.heads ? text : text.slice(text.indexOf('\n') + 1);
}

const isAge = (column: PrinterColumn): boolean => column.name.toLowerCase() === 'age';

function cell(item: Resource, column: PrinterColumn): string {
  const value = printedValue(column, item);
  if (value === undefined || value === null) return '';
  return typeof value === 'string' ? value : JSON.stringify(value);
}
