/** Istio writes durations as Go does (`1h30m`, `30ms`); protobuf JSON wants seconds. */
const UNITS: Record<string, number> = { h: 3600e9, m: 60e9, s: 1e9, ms: 1e6, us: 1e3, ns: 1 };

/** Nanoseconds of a Go duration; undefined when it is none. */
export function goDurationNs(value: unknown): number | undefined {
  if (typeof value !== 'string' || !/^(\d+(\.\d+)?(h|ms|m|s|us|ns))+$/.test(value)) return undefined;
  let total = 0;
  for (const [, amount, , unit] of value.matchAll(/(\d+(\.\d+)?)(h|ms|m|s|us|ns)/g))
    total += Number(amount) * (UNITS[unit ?? ''] ?? 0);
  return Math.round(total);
}

/** `5m` -> `300s`, `30ms` -> `0.030s`; undefined when it is no duration. */
export function protoDuration(value: unknown): string | undefined {
  const ns = goDurationNs(value);
  if (ns === undefined) return undefined;
  const rest = ns % 1e9;
  const fraction =
    rest === 0
      ? ''
      : `.${String(rest)
          .padStart(9, '0')
          .replace(/(000){1,2}$/, '')}`;
  return `${Math.floor(ns / 1e9)}${fraction}s`;
}

/** Whole seconds of a Go duration. */
export function wholeSeconds(value: unknown): number | undefined {
  const ns = goDurationNs(value);
  return ns === undefined ? undefined : Math.round(ns / 1e9);
}
