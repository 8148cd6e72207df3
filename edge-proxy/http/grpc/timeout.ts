/** grpc-timeout (github.com/grpc/grpc: "gRPC over HTTP2", Timeout): at most eight digits and a unit. */

const UNIT_MS: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1000, m: 1, u: 1e-3, n: 1e-6 };
const MOST = 99_999_999;

/** Milliseconds, rounded up; undefined where it is none. */
export function parseGrpcTimeout(value: string | undefined): number | undefined {
  if (value === undefined || !/^\d{1,8}[HMSmun]$/.test(value)) return undefined;
  return Math.ceil(Number(value.slice(0, -1)) * UNIT_MS[value[value.length - 1]!]!);
}

/** In the finest unit, from milliseconds on, whose number has at most eight digits; rounded down. */
export function formatGrpcTimeout(ms: number): string {
  let value = Math.floor(ms);
  for (const [unit, next] of [
    ['m', 1000],
    ['S', 60],
    ['M', 60],
  ] as const) {
    if (value <= MOST) return `${value}${unit}`;
    value = Math.floor(value / next);
  }
  return `${Math.min(value, MOST)}H`;
}
