/** What a schema's checks mean, for those who read schemas: zod itself keeps only that there is a check. */
import type { z } from 'zod';

/** A cross-field or value rule of a CRD (`x-kubernetes-validations`) as code. */
export interface Rule<Value> {
  /** Stable name, as violations carry it. */
  readonly name: string;
  /** The rule, as a message beside the field's path. */
  readonly says: string;
  /** Called with a value of the right type; what it throws counts as "holds" (see `withRules`). */
  readonly holds: (value: Value) => boolean;
  /** Where below the value the violation is shown; the value itself unless given. */
  readonly at?: readonly string[];
}

export interface Mark {
  readonly rule?: Rule<never>;
  /** Fields of which at most one may be set. */
  readonly oneOf?: readonly string[];
  /** Fields that identify a list's entries. */
  readonly keys?: readonly string[];
  /** Fields by which server-side apply merges the entries, which may be there twice. */
  readonly mergeKeys?: readonly string[];
  /** The list is a set of scalars. */
  readonly set?: true;
  /** The object or map is replaced as a whole by server-side apply. */
  readonly atomic?: true;
  /** How many entries a map may have. */
  readonly entries?: { readonly max?: number | undefined; readonly min?: number | undefined };
  /** How many characters a text may have. */
  readonly longest?: number;
  /** The text is a duration, of at least so many milliseconds. */
  readonly duration?: { readonly min?: number | undefined };
  /** The text is base64 (`format: byte`). */
  readonly base64?: true;
  /** The CRD allows null for an absent field. */
  readonly nullable?: true;
}

const marks = new WeakMap<object, Mark>();

/** Marks a check. Checks are shared by every copy zod makes of a schema, so the mark stays with all of them. */
export function mark<Check extends z.core.$ZodCheck<never>>(check: Check, meaning: Mark): Check {
  marks.set(check, meaning);
  return check;
}

/** The marks of a schema's checks, in order. */
export function marksOf(schema: z.core.$ZodType): Mark[] {
  const checks = (schema._zod.def as { checks?: readonly object[] }).checks ?? [];
  return checks.flatMap((check) => marks.get(check) ?? []);
}

/** For `withRules`. */
export function rule<Value>(
  name: string,
  says: string,
  holds: (value: Value) => boolean,
  at?: readonly string[],
): Rule<Value> {
  return { name, says, holds, ...(at ? { at } : {}) };
}
