/** PeerAuthentication: the mutual TLS mode of one port of one workload. */
import type { ResourceOfKind } from '../../../shared/resources/registry.ts';
import { namespaceOf, selects, specOf } from '../../mesh/fields.ts';
import { generator } from '../memo.ts';

/** Strictest first. */
const MODES = ['STRICT', 'PERMISSIVE', 'DISABLE'] as const;
export type MtlsMode = (typeof MODES)[number];
type PeerAuthentication = ResourceOfKind<'PeerAuthentication'>;

export interface Workload {
  namespace: string;
  labels: Readonly<Record<string, string>>;
}

/** UNSET is no mode: it inherits. */
function modeIn(mtls: { mode?: MtlsMode | 'UNSET' } | undefined): MtlsMode | undefined {
  return mtls?.mode === 'UNSET' ? undefined : mtls?.mode;
}

function disables(policy: PeerAuthentication): boolean {
  const { mtls, portLevelMtls = {} } = specOf(policy);
  return [mtls, ...Object.values(portLevelMtls)].some((item) => modeIn(item) === 'DISABLE');
}

/** The PeerAuthentications of one namespace. */
interface Place {
  scoped: { selector: Record<string, string>; resource: PeerAuthentication }[];
  wide: PeerAuthentication | undefined;
}

export interface MtlsModes {
  /** `port` is the workload's port, not the service's. */
  of(workload: Workload, port: number): MtlsMode;
  /** Ports of a workload that its policy names, with a mode of their own. */
  portsOf(workload: Workload): readonly number[];
  /** Some port may be in mode DISABLE. */
  readonly mayDisable: boolean;
}

/** The mode of a port that several workloads share: the strictest that one of them has. Without workloads: STRICT. */
export function strictestMtlsMode(modes: MtlsModes, workloads: readonly Workload[], port: number): MtlsMode {
  const found = new Set(workloads.map((workload) => modes.of(workload, port)));
  return MODES.find((mode) => found.has(mode)) ?? 'STRICT';
}

/** Port, then workload, then namespace, then root namespace; UNSET inherits; of several at one level the oldest counts. */
export const mtlsModes = generator<{ policies: readonly PeerAuthentication[]; rootNamespace: string }, MtlsModes>(
  { policies: true, rootNamespace: true },
  ({ policies, rootNamespace }) => {
    const places = new Map<string, Place>();
    for (const resource of policies) {
      const namespace = namespaceOf(resource);
      let place = places.get(namespace);
      if (!place) places.set(namespace, (place = { scoped: [], wide: undefined }));
      const selector = specOf(resource).selector?.matchLabels ?? {};
      if (Object.keys(selector).length > 0) place.scoped.push({ selector, resource });
      else place.wide ??= resource;
    }
    const ownPolicy = ({ namespace, labels }: Workload) =>
      places.get(namespace)?.scoped.find(({ selector }) => selects(selector, labels))?.resource;
    const wideMode = (namespace: string) => {
      const wide = places.get(namespace)?.wide;
      return wide && modeIn(specOf(wide).mtls);
    };
    return {
      mayDisable: policies.some((policy) => disables(policy)),
      portsOf(workload) {
        const own = ownPolicy(workload);
        return Object.keys((own && specOf(own).portLevelMtls) ?? {}).map(Number);
      },
      of(workload, port) {
        const { namespace } = workload;
        const own = ownPolicy(workload);
        const ofPort = own && specOf(own).portLevelMtls?.[String(port)];
        return (
          modeIn(ofPort) ??
          (own && modeIn(specOf(own).mtls)) ??
          wideMode(namespace) ??
          wideMode(rootNamespace) ??
          'PERMISSIVE'
        );
      },
    };
  },
);
