/** The value of a printer column for one resource: what `kubectl get` and `tulle get` show. */
import type { PrinterColumn } from '../kind.ts';
import type { Resource } from '../resource.ts';

/** A number for a column that counts, else the value at its path, or undefined. */
export function printedValue(column: PrinterColumn, resource: unknown): unknown {
  if (column.print) return column.print(resource as Resource);
  if (column.counts === undefined) return lookUp(resource, column.jsonPath);
  return [column.jsonPath, ...column.counts].reduce((sum, path) => sum + sizeOf(lookUp(resource, path)), 0);
}

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null;

const sizeOf = (value: unknown): number => (isObject(value) ? Object.keys(value).length : 0);

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
