/** Envoy's counters of RBAC filters (envoyproxy.io: Role Based Access Control Filter, Statistics). */

interface Counter {
  value: number;
}

/** @param name `allowed`, `denied`, or one of `shadowCounters` */
export type CountVerdict = (name: string) => void;

/** The names of what shadow rules count, behind their prefix. */
export function shadowCounters(prefix: string): { readonly shadowAllowed: string; readonly shadowDenied: string } {
  const behind = prefix === '' || prefix.endsWith('.') ? prefix : `${prefix}.`;
  return { shadowAllowed: `${behind}shadow_allowed`, shadowDenied: `${behind}shadow_denied` };
}

/** @param counter of a name behind `rbac.`; a name is looked up once */
export function verdictCounts(counter: (name: string) => Counter): CountVerdict {
  const counters = new Map<string, Counter>();
  return (name) => {
    let one = counters.get(name);
    if (!one) counters.set(name, (one = counter(name)));
    one.value++;
  };
}
