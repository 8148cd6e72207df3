/** Annotations in which registration keeps its records on WorkloadEntries (istio.io/istio pilot/pkg/autoregistration). */

export const ENTRY_RECORDS = {
  /** The WorkloadGroup; an entry without it was not made by registration. */
  group: 'istio.io/autoRegistrationGroup',
  /** The control plane that the machine is, or was last, connected to. */
  controller: 'istio.io/workloadController',
  /** RFC 3339; absent while the machine is not connected. */
  connectedAt: 'istio.io/connectedAt',
  disconnectedAt: 'istio.io/disconnectedAt',
  /** Id of the join of the machine. */
  join: 'tulle.dev/join',
} as const;

/** `true`: the workload is unhealthy until its proxy reports that it is healthy (pkg/model/status in Istio). */
export const HEALTH_CHECKED = 'proxy.istio.io/health-checks-enabled';

/** They change when machines connect and disconnect, and say nothing to the mesh. */
const IN_STORE_ONLY: readonly string[] = [
  ENTRY_RECORDS.controller,
  ENTRY_RECORDS.connectedAt,
  ENTRY_RECORDS.disconnectedAt,
  ENTRY_RECORDS.join,
];

/** Annotations without what says nothing to the mesh; themselves where there is nothing to leave out. */
export function annotationsInMesh(annotations: Record<string, string>): Record<string, string> {
  if (!IN_STORE_ONLY.some((name) => Object.hasOwn(annotations, name))) return annotations;
  return Object.fromEntries(Object.entries(annotations).filter(([name]) => !IN_STORE_ONLY.includes(name)));
}
