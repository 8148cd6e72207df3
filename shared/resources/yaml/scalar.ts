/**
 * What a YAML scalar means to kubectl: the rules of goyaml v2 (sigs.k8s.io/yaml), which are YAML 1.1's with a few turns
 * of their own. `on`, `yes` and `y` are true; `0777` is 511; `1:30` is text; a date is text.
 */

const WORDS: ReadonlyMap<string, boolean | null | number> = new Map<string, boolean | null | number>([
  ...['y', 'Y', 'yes', 'Yes', 'YES', 'true', 'True', 'TRUE', 'on', 'On', 'ON'].map((word) => [word, true] as const),
  ...['n', 'N', 'no', 'No', 'NO', 'false', 'False', 'FALSE', 'off', 'Off', 'OFF'].map((word) => [word, false] as const),
  ...['', '~', 'null', 'Null', 'NULL'].map((word) => [word, null] as const),
  ...['.nan', '.NaN', '.NAN'].map((word) => [word, Number.NaN] as const),
  ...['.inf', '.Inf', '.INF', '+.inf', '+.Inf', '+.INF'].map((word) => [word, Number.POSITIVE_INFINITY] as const),
  ...['-.inf', '-.Inf', '-.INF'].map((word) => [word, Number.NEGATIVE_INFINITY] as const),
]);
/** First characters of everything that is not text: others need no look at the rest. */
const HINT = /^[-+.0-9yYnNtTfFoO~]/;
const FLOAT = /^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$/;
const DOT_FLOAT = /^\.[0-9]+([eE][-+]?[0-9]+)?$/;
const INTEGER = /^([-+]?)(0[xX][0-9a-fA-F]+|0[bB][01]+|0[oO]?[0-7]+|0|[1-9][0-9]*)$/;

/** The value of a plain (unquoted, untagged) scalar. Infinite and NaN are JavaScript's: JSON has neither. */
export function resolvePlain(text: string): string | number | boolean | null {
  if (text !== '' && !HINT.test(text)) return text;
  const word = WORDS.get(text);
  if (word !== undefined) return word;
  const first = text.charCodeAt(0);
  if (first === 0x2e) return DOT_FLOAT.test(text) ? (finite(Number(text)) ?? text) : text;
  if (first > 0x39) return text;
  const digits = text.replaceAll('_', '');
  const whole = integerOf(digits);
  if (whole !== undefined) return whole;
  // Also a whole number beyond 64 bits, and `089`, which is no octal number.
  return FLOAT.test(digits) ? (finite(Number(digits)) ?? text) : text;
}

/**
 * The value of a scalar with an explicit tag (`!!str 5`).
 * @throws RangeError when the text is no value of that tag
 */
export function resolveTagged(tag: string, text: string): string | number | boolean | null {
  const name = tag.replace(/^tag:yaml\.org,2002:/, '!!');
  if (name === '!!binary') throw new RangeError('!!binary is not supported: write the base64 text as a string');
  const value = resolvePlain(text);
  const fits: Record<string, boolean> = {
    '!!bool': typeof value === 'boolean',
    '!!int': typeof value === 'number' && Number.isInteger(value),
    '!!float': typeof value === 'number',
    '!!null': value === null,
  };
  if (!Object.hasOwn(fits, name)) return text;
  if (!fits[name])
    throw new RangeError(`"${text.slice(0, 40)}" is not a ${name.slice(2)}, as its tag ${name} requires`);
  return value;
}

/**
 * A map key as JSON needs it, or undefined where kubectl refuses it (null). Numbers and booleans become text.
 * @param text how the value was written: `0x10` is the key "16", `1e6` the key "1e+06"
 */
export function keyText(value: string | number | boolean | null, text: string): string | undefined {
  if (value === null) return undefined;
  if (typeof value !== 'number') return String(value);
  const whole = integerLiteral(text.replaceAll('_', ''));
  return whole === undefined ? floatText(value) : String(whole);
}

/** Go's strconv.FormatFloat(value, 'g', -1, 32): the fewest digits that give the same 32-bit float. */
function floatText(value: number): string {
  const single = Math.fround(value);
  if (Number.isNaN(single)) return '.nan';
  if (!Number.isFinite(single)) return single > 0 ? '.inf' : '-.inf';
  let digits = 1;
  while (digits < 9 && Math.fround(Number(single.toPrecision(digits))) !== single) digits++;
  const [mantissa = '', exponentText = '0'] = single.toExponential(digits - 1).split('e');
  const exponent = Number(exponentText);
  if (exponent < -4 || exponent >= 6) {
    return `${mantissa}e${exponent < 0 ? '-' : '+'}${String(Math.abs(exponent)).padStart(2, '0')}`;
  }
  return single.toFixed(Math.max(0, digits - 1 - exponent));
}

const INT64_MIN = -(2n ** 63n);
const INT64_MAX = 2n ** 63n - 1n;
const UINT64_MAX = 2n ** 64n - 1n;

/** As strconv.ParseInt and ParseUint with base 0 read it; undefined when it is none or does not fit 64 bits. */
function integerOf(text: string): number | undefined {
  // The common case, with nothing that BigInt would be needed for.
  if (/^(0|[1-9][0-9]{0,14})$/.test(text)) return Number(text);
  const value = integerLiteral(text);
  return value === undefined ? undefined : Number(value);
}

function integerLiteral(text: string): bigint | undefined {
  const match = INTEGER.exec(text);
  if (!match) return undefined;
  const [, sign = '', body = ''] = match;
  if (body.length > 70) return undefined;
  const literal = BigInt(/^0[0-7]+$/.test(body) ? `0o${body.slice(1)}` : body);
  const value = sign === '-' ? -literal : literal;
  return value >= INT64_MIN && value <= (sign === '' ? UINT64_MAX : INT64_MAX) ? value : undefined;
}

function finite(value: number): number | undefined {
  return Number.isFinite(value) ? value : undefined;
}
