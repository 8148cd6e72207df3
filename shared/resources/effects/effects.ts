/**
 * What the fields of a message do in this mesh. A table of effects names every field of its schema: a field is in force,
 * is refused, or has no effect for a reason that the user is given. Validation, the API, `tulle compile` and the control
 * plane's log all read the same table, and a test walks the schemas against it.
 */

/** The field does what Istio documents. */
export const IN_FORCE = 'in force';
/** Validation refuses every value of the field. */
export const REFUSED = 'refused';

/** Of one value of the field: the reason why it has no effect; undefined: it is in force. */
export type EffectOfValue = (value: unknown) => string | undefined;

/** IN_FORCE, REFUSED or the reason why no value has an effect; by value; or field by field, in lists too. */
export type Effect = string | EffectOfValue | Effects;
export interface Effects {
  readonly [field: string]: Effect;
}

type Item<Value> = Value extends readonly (infer Element)[] ? Item<Element> : NonNullable<Value>;
type EffectFor<Value> = string | EffectOfValue | (Value extends object ? EffectsOf<Value> : never);
/** A table that names every field of `Message`: a new field of a schema does not compile without its effect. */
export type EffectsOf<Message> = { readonly [Field in keyof Message]-?: EffectFor<Item<Message[Field]>> };

/** A field that was written and has no effect. */
export interface WithoutEffect {
  path: string;
  /** The reason, as the end of a sentence about the field. */
  message: string;
}

/**
 * The fields of `value` that have no effect, outermost first.
 * @param defaults Istio's: a field that repeats its default changes nothing in Istio either, and is left out unless its
 *   effect depends on the value
 */
export function withoutEffect(value: object, effects: Effects, defaults: object = {}): WithoutEffect[] {
  return Object.entries(value).flatMap(([field, given]: [string, unknown]) => {
    const effect = Object.hasOwn(effects, field) ? effects[field] : undefined;
    if (given === undefined || effect === undefined || effect === IN_FORCE || effect === REFUSED) return [];
    const byDefault = (defaults as Record<string, unknown>)[field];
    if (typeof effect === 'object') return below(field, given, effect, byDefault);
    if (typeof effect === 'string') return equal(given, byDefault) ? [] : [{ path: field, message: effect }];
    const message = effect(given);
    return message === undefined ? [] : [{ path: field, message }];
  });
}

function below(field: string, given: unknown, effects: Effects, byDefault: unknown): WithoutEffect[] {
  const items = Array.isArray(given)
    ? given.map((item: unknown, i) => [`${field}[${i}]`, item] as const)
    : [[field, given] as const];
  return items.flatMap(([path, item]) =>
    typeof item === 'object' && item !== null
      ? withoutEffect(item, effects, Array.isArray(given) ? {} : isObject(byDefault) ? byDefault : {}).map((each) => ({
          ...each,
          path: `${path}.${each.path}`,
        }))
      : [],
  );
}

const isObject = (value: unknown): value is object => typeof value === 'object' && value !== null;

/** Both are JSON, written in the order of their schema. */
function equal(a: unknown, b: unknown): boolean {
  return a === b || (isObject(a) && isObject(b) && JSON.stringify(a) === JSON.stringify(b));
}

/** The effect of `defaultConfig.tracing`, where lists and maps are stepped through; a field below one that has none has none. */
export function effectAt(effects: Effects, path: readonly string[]): Exclude<Effect, Effects> | undefined {
  let here: Effect | undefined = effects;
  for (const step of path) {
    if (typeof here !== 'object') return here;
    here = Object.hasOwn(here, step) ? here[step] : undefined;
  }
  return typeof here === 'object' ? undefined : here;
}
