/** The formats of %START_TIME(...)%: those of strftime that name a moment in UTC, and Envoy's fractions of a second. */

type Part = (time: Date, epochMs: number) => string;

const two = (value: number) => String(value).padStart(2, '0');
const three = (value: number) => String(value).padStart(3, '0');
const DAYS = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'];
const MONTHS = [
  ...['January', 'February', 'March', 'April', 'May', 'June'],
  ...['July', 'August', 'September', 'October', 'November', 'December'],
];
/** Nanoseconds within the second: a request's time is known to the millisecond. */
const nanos = (time: Date) => `${three(time.getUTCMilliseconds())}000000`;

const PARTS: Readonly<Record<string, Part>> = {
  '%': () => '%',
  Y: (t) => String(t.getUTCFullYear()),
  y: (t) => two(t.getUTCFullYear() % 100),
  m: (t) => two(t.getUTCMonth() + 1),
  d: (t) => two(t.getUTCDate()),
  e: (t) => String(t.getUTCDate()).padStart(2, ' '),
  H: (t) => two(t.getUTCHours()),
  I: (t) => two(t.getUTCHours() % 12 || 12),
  M: (t) => two(t.getUTCMinutes()),
  S: (t) => two(t.getUTCSeconds()),
  p: (t) => (t.getUTCHours() < 12 ? 'AM' : 'PM'),
  j: (t) => three(Math.floor((t.getTime() - Date.UTC(t.getUTCFullYear(), 0)) / 86_400_000) + 1),
  a: (t) => DAYS[t.getUTCDay()]!.slice(0, 3),
  A: (t) => DAYS[t.getUTCDay()]!,
  b: (t) => MONTHS[t.getUTCMonth()]!.slice(0, 3),
  h: (t) => MONTHS[t.getUTCMonth()]!.slice(0, 3),
  B: (t) => MONTHS[t.getUTCMonth()]!,
  F: (t) => `${t.getUTCFullYear()}-${two(t.getUTCMonth() + 1)}-${two(t.getUTCDate())}`,
  T: (t) => `${two(t.getUTCHours())}:${two(t.getUTCMinutes())}:${two(t.getUTCSeconds())}`,
  R: (t) => `${two(t.getUTCHours())}:${two(t.getUTCMinutes())}`,
  z: () => '+0000',
  Z: () => 'UTC',
  s: (_, ms) => String(Math.floor(ms / 1000)),
  f: nanos,
};

/** @throws Error naming a conversion that is not understood */
export function compileTimeFormat(format: string): (epochMs: number) => string {
  const parts: Part[] = [];
  const conversion = /%([1-9])?f|%(.)|([^%]+)|%/g;
  for (const [whole, digits, letter, literal] of format.matchAll(conversion)) {
    if (literal !== undefined) parts.push(() => literal);
    else if (digits !== undefined) parts.push((time) => nanos(time).slice(0, Number(digits)));
    else {
      const part = PARTS[whole === '%f' ? 'f' : (letter ?? '')];
      if (!part) throw new Error(`%START_TIME(${format})%: "${whole}" is not supported`);
      parts.push(part);
    }
  }
  return (epochMs) => {
    const time = new Date(epochMs);
    let out = '';
    for (const part of parts) out += part(time, epochMs);
    return out;
  };
}
