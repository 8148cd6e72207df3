/**
 * Resources in which Tulle differs from istiod on purpose; docs/differences-from-istio.md has the reasons. The comparison leaves
 * out exactly these resources.
 */

/** Resources of a proxy, or fields, as `golden-compare.ts` names them: `listener 127.0.0.1_443`. By `<case>/<proxy>`. */
const DELIBERATE: Readonly<Record<string, readonly string[]>> = {
  // TLS services that share a port without capture are distinguished by SNI.
  'gw-egress/client-none': ['listener 127.0.0.1_443'],
  'gw-egress-tls/client-none': ['listener 127.0.0.1_443'],
  'se-https-port/client-none': ['listener 127.0.0.1_443'],
  // HTTP_PROXY listeners compare the port that a request names.
  'sidecar-egress-port/client': ['route 3128.ignorePortInHostMatching'],
  'sidecar-egress-port/client-none': ['route 3128.ignorePortInHostMatching'],
  // A destination without a port means the only port of its service, also where no egress listener has the service.
  'sidecar-vs-dr-scope/client': ['route 9080'],
  'sidecar-vs-dr-scope/client-none': ['route 9080'],
};

/**
 * The differences that are not deliberate, and the deliberate ones that are none any more.
 * @param label `<case>/<proxy>`
 */
export function withoutDeliberate(
  found: readonly string[],
  label: string,
): { readonly left: readonly string[]; readonly stale: readonly string[] } {
  const names = DELIBERATE[label] ?? [];
  const isOf = (difference: string, name: string) =>
    difference === name || [' ', '.', ':'].some((next) => difference.startsWith(`${name}${next}`));
  return {
    left: found.filter((difference) => !names.some((name) => isOf(difference, name))),
    stale: names
      .filter((name) => !found.some((difference) => isOf(difference, name)))
      .map((name) => `${label}: ${name}`),
  };
}
