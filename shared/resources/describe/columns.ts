/** Printer columns that many kinds share. */
import type { PrinterColumn } from '../kind.ts';

export const AGE: PrinterColumn = {
  name: 'Age',
  type: 'date',
  jsonPath: '.metadata.creationTimestamp',
  description: 'When the resource was created',
};

export function column(name: string, jsonPath: string, description: string, priority?: number): PrinterColumn {
  return { name, type: 'string', jsonPath, description, ...(priority === undefined ? {} : { priority }) };
}

/** The number of entries at the paths, together. */
export function count(name: string, paths: readonly [string, ...string[]], description: string): PrinterColumn {
  const [jsonPath, ...counts] = paths;
  return { name, type: 'integer', jsonPath, counts, description };
}
