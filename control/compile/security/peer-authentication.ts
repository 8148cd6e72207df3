/** PeerAuthentication: the mutual TLS mode of one port of one workload. */
import type { Resource } from '../../../shared/resources/resource.ts';
import { fields, labelsOf, namespaceOf, selects, specOf } from '../../mesh/fields.ts';
import { generator } from '../memo.ts';

export type MtlsMode = 'STRICT' | 'PERMISSIVE' | 'DISABLE';
export interface Workload {
  namespace: string;
  labels: Readonly<Record<string, string>>;
}

function modeIn(mtls: unknown): MtlsMode | undefined {
  const mode = fields(mtls)['mode'];
  return mode === 'STRICT' || mode === 'PERMISSIVE' || mode === 'DISABLE' ? mode : undefined;
}

/** The PeerAuthentications of one namespace. */
interface Place {
  scoped: { selector: Record<string, string>; resource: Resource }[];
  wide: Resource | undefined;
}

export interface MtlsModes {
  /** `port` is the workload's port, not the service's. */
  of(workload: Workload, port: number): MtlsMode;
}

/** Port, then workload, then namespace, then root namespace; UNSET inherits; of several at one level the oldest counts. */
export const mtlsModes = generator<{ policies: readonly Resource[]; rootNamespace: string }, MtlsModes>(
  { policies: true, rootNamespace: true },
  ({ policies, rootNamespace }) => {
    const places = new Map<string, Place>();
    for (const resource of policies) {
      const namespace = namespaceOf(resource);
      let place = places.get(namespace);
      if (!place) places.set(namespace, (place = { scoped: [], wide: undefined }));
      const selector = labelsOf(fields(specOf(resource)['selector'])['matchLabels']);
      if (Object.keys(selector).length > 0) place.scoped.push({ selector, resource });
      else place.wide ??= resource;
    }
    const wideMode = (namespace: string) => {
      const wide = places.get(namespace)?.wide;
      return wide && modeIn(specOf(wide)['mtls']);
    };
    return {
      of({ namespace, labels }, port) {
        const own = places.get(namespace)?.scoped.find(({ selector }) => selects(selector, labels))?.resource;
        const ofPort = own && fields(specOf(own)['portLevelMtls'])[String(port)];
        return (
          modeIn(ofPort) ??
          (own && modeIn(specOf(own)['mtls'])) ??
          wideMode(namespace) ??
          wideMode(rootNamespace) ??
          'PERMISSIVE'
        );
      },
    };
  },
);
