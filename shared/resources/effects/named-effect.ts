/** What annotations and labels of Istio do here, by their names. */
import { didYouMean } from '../read/suggest.ts';
import type { Proofs } from './field-table.ts';

export interface NamedEffect {
  /** Kinds on which it does what Istio documents; none: it does so nowhere. */
  readonly inForceOn?: readonly string[];
  /** Tests that show it. */
  readonly proofs?: Proofs;
  /** Where it has no effect, or on a kind that is not among `inForceOn`: why. */
  readonly reason: string;
  /** Of a value on a kind of `inForceOn`: the part that has no effect. */
  readonly ofValue?: (value: string) => string | undefined;
}

export type NamedEffects = Readonly<Record<string, NamedEffect>>;

export const unused = (reason: string): NamedEffect => ({ reason: `has no effect${reason}` });
export const on = (kinds: readonly string[], ...proofs: string[]): NamedEffect => ({
  inForceOn: kinds,
  proofs,
  reason: `has an effect on ${kinds.join(', ')} only`,
});

/** Istio's domain: nothing else may use it, so that an unknown name there is a mistake. */
const ISTIO = /^([a-z0-9-]+\.)*istio\.io\//;

/**
 * Of each name that has no effect on a resource of `kind`: why.
 * @param given values that are not strings are ignored
 * @param what `annotation` or `label`
 */
export function namesWithoutEffect(
  effects: NamedEffects,
  what: string,
  kind: string,
  given: Readonly<Record<string, unknown>>,
): { name: string; message: string }[] {
  return Object.entries(given).flatMap(([name, value]) => {
    const message = typeof value === 'string' ? reasonOf(effects, what, kind, name, value) : undefined;
    return message === undefined ? [] : [{ name, message }];
  });
}

function reasonOf(effects: NamedEffects, what: string, kind: string, name: string, value: string): string | undefined {
  if (!Object.hasOwn(effects, name))
    return ISTIO.test(name)
      ? `has no effect: Istio has no such ${what}${didYouMean(name, Object.keys(effects))}`
      : undefined;
  const { inForceOn = [], reason, ofValue } = effects[name]!;
  return inForceOn.includes(kind) ? ofValue?.(value) : reason;
}
