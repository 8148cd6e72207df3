/**
 * What each field of a kind does in this mesh, and the test that shows it. From one table a kind are made the warnings and
 * status conditions of fields without effect (`control/compile/node/not-compiled.ts`) and docs/istio-compatibility.md; a test
 * refuses a table that leaves out a field of its schema or of Istio's CRD.
 */
import { keyPath } from '../violations.ts';
import type { EffectOfValue } from './effects.ts';

/** Paths of test files, or `golden:<case>` for a case of istiod-golden that `control/compile/golden.test.ts` compares. */
export type Proofs = readonly string[];

export type FieldState =
  | { readonly state: 'in force'; readonly proofs: Proofs }
  /** It acts, but not in all points as in Istio. */
  | { readonly state: 'differs'; readonly reason: string; readonly proofs: Proofs }
  /** Some values have no effect; they are reported with what `reasonOf` returns. */
  | { readonly state: 'partly'; readonly reason: string; readonly reasonOf: EffectOfValue; readonly proofs: Proofs }
  /** No effect: reported wherever it is written. */
  | { readonly state: 'reported'; readonly reason: string }
  /** Validation refuses it. */
  | { readonly state: 'refused'; readonly reason: string; readonly proofs: Proofs }
  /** The same message as at another path, treated the same. */
  | { readonly state: 'as'; readonly path: string };

export const inForce = (...proofs: string[]): FieldState => ({ state: 'in force', proofs });
export const differs = (reason: string, ...proofs: string[]): FieldState => ({ state: 'differs', reason, proofs });
export const reported = (reason: string): FieldState => ({ state: 'reported', reason });
export const refused = (reason: string, ...proofs: string[]): FieldState => ({ state: 'refused', reason, proofs });
/** @param reason for the document: which values have no effect, and why */
export const partly = (reason: string, reasonOf: EffectOfValue, ...proofs: string[]): FieldState => ({
  state: 'partly',
  reason,
  reasonOf,
  proofs,
});

export const as = (path: string): FieldState => ({ state: 'as', path });

/**
 * States by path: `spec.http[].retries.attempts`; `[]` steps into a list, `{}` into the values of a map. `spec.http[].match[].**`
 * is the field with all that is below it, `**` the whole resource; the longest path that covers a field counts.
 */
export type FieldTable = Readonly<Record<string, FieldState>>;

/** The path and the state of the row that covers a field, with rows `as` another path resolved. */
export function rowOf(table: FieldTable, path: string): { row: string; field: FieldState } | undefined {
  const row = Object.hasOwn(table, path) ? path : covering(table, path);
  if (row === undefined) return undefined;
  const field = table[row]!;
  if (field.state !== 'as') return { row, field };
  return rowOf(table, `${field.path}${path.slice(messageOf(row).length)}`);
}

function covering(table: FieldTable, path: string): string | undefined {
  return Object.keys(table)
    .filter((row) => row.endsWith('**') && isBelow(path, messageOf(row)))
    .toSorted((a, b) => b.length - a.length)[0];
}

const isBelow = (path: string, message: string): boolean =>
  message === '' || path === message || (path.startsWith(message) && '.[{'.includes(path[message.length]!));

/** `spec.http[].match[]` of `spec.http[].match[].**`. */
const messageOf = (row: string): string => row.replace(/\.?\*\*$/, '');

/** The fields of a resource that are written and have no effect, each with the reason. */
export function fieldsWithoutEffect(table: FieldTable, resource: object): { path: string; message: string }[] {
  return reportingRows(table).flatMap(({ steps, reasonOf }) =>
    valuesAt(resource, steps, '').flatMap(({ path, value }) => {
      const message = reasonOf(value);
      return message === undefined ? [] : [{ path, message }];
    }),
  );
}

interface ReportingRow {
  readonly steps: readonly string[];
  readonly reasonOf: EffectOfValue;
}

const known = new WeakMap<FieldTable, readonly ReportingRow[]>();

function reportingRows(table: FieldTable): readonly ReportingRow[] {
  let rows = known.get(table);
  if (!rows) {
    rows = Object.keys(table).flatMap((row) => rowsAt(table, row, messageOf(row)));
    known.set(table, rows);
  }
  return rows;
}

/**
 * @param at where the row is: its own path, or below one that is `as` its message
 * @param followed rows `as` another path that lead here: a message within itself ends the walk
 */
function rowsAt(table: FieldTable, row: string, at: string, followed: readonly string[] = []): ReportingRow[] {
  const field = table[row]!;
  if (field.state === 'as')
    return Object.keys(table)
      .filter((other) => isBelow(messageOf(other), field.path) && other !== row && !followed.includes(other))
      .flatMap((other) => {
        const below = messageOf(other).slice(field.path.length);
        return rowsAt(table, other, `${at}${below}`, [...followed, row]);
      });
  if (field.state === 'reported') return [{ steps: stepsOf(at), reasonOf: () => field.reason }];
  return field.state === 'partly' ? [{ steps: stepsOf(at), reasonOf: field.reasonOf }] : [];
}

/** `spec.http[].match{}` as spec, http, [], match, {}. */
const stepsOf = (path: string): string[] => path.match(/\[\]|\{\}|[^.[{]+/g) ?? [];

function valuesAt(value: unknown, steps: readonly string[], path: string): { path: string; value: unknown }[] {
  const [step, ...rest] = steps;
  if (value === undefined || value === null) return [];
  if (step === undefined) return [{ path, value }];
  if (typeof value !== 'object') return [];
  if (step === '[]')
    return Array.isArray(value) ? value.flatMap((item, i) => valuesAt(item, rest, `${path}[${i}]`)) : [];
  if (step === '{}') return Object.entries(value).flatMap(([key, item]) => valuesAt(item, rest, keyPath(path, key)));
  const below = Object.hasOwn(value, step) ? (value as Record<string, unknown>)[step] : undefined;
  return valuesAt(below, rest, path === '' ? step : `${path}.${step}`);
}
