/** Envoy's counters of ext_authz (envoyproxy.io: External Authorization, Statistics). */

const COUNTERS = [
  'ok',
  'denied',
  'error',
  'invalid',
  'disabled',
  'failure_mode_allowed',
  'ignored_dynamic_metadata',
] as const;
export type AuthzCounter = (typeof COUNTERS)[number];

interface Counter {
  value: number;
}

/** Counts for one filter. */
export type CountVerdict = (what: AuthzCounter) => void;

/** @param counter of a name behind the connection manager's; undefined: nothing reads them */
export function verdictCounts(counter: ((name: string) => Counter) | undefined, statPrefix: string): CountVerdict {
  if (!counter) return () => {};
  const prefix = statPrefix === '' ? '' : `${statPrefix.replace(/\.$/, '')}.`;
  const counters = new Map(COUNTERS.map((name) => [name, counter(`ext_authz.${prefix}${name}`)]));
  return (what) => {
    counters.get(what)!.value++;
  };
}
