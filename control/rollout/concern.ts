/** Which proxies a change concerns: percentages are of them, so that the first step of a change meets its traffic. */
import type { Resource } from '../../shared/resources/resource.ts';
import { namesConcerned } from '../discovery/concerned.ts';
import { fields, labelsOf, namespaceOf, selects, specOf, strings } from '../mesh/fields.ts';
import type { MeshView } from '../mesh/view.ts';

export interface ProxyOfRollout {
  /** The xDS node id. */
  readonly id: string;
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Whether it uses one of these virtual hosts or clusters; of one that is sent everything: always. */
  uses(names: readonly string[]): boolean;
}

const NONE: ReadonlySet<string> = new Set();

/**
 * Those of the proxies that one of the revisions concerns, by its namespace, selector and hosts; all of them where that is none,
 * so that a change always has proxies to begin with.
 */
export function concernedProxies<P extends ProxyOfRollout>(
  revisions: readonly Resource[],
  view: MeshView,
  proxies: readonly P[],
): readonly P[] {
  const { rootNamespace } = view.settings;
  const change = { resources: new Map(), written: revisions, deleted: [], services: NONE, endpoints: NONE };
  const names = namesConcerned({ ...change, settings: false }, view);
  const found = proxies.filter(
    (proxy) => revisions.some((revision) => isInReach(revision, proxy, rootNamespace)) && (!names || proxy.uses(names)),
  );
  return found.length > 0 ? found : proxies;
}

function isInReach(resource: Resource, { namespace, labels }: ProxyOfRollout, rootNamespace: string): boolean {
  const own = namespaceOf(resource);
  const spec = specOf(resource) as Record<string, unknown>;
  switch (resource.kind) {
    case 'VirtualService':
    case 'DestinationRule': {
      const exportTo = strings(spec['exportTo']);
      return exportTo.length === 0 || exportTo.some((to) => to === '*' || (to === '.' ? own : to) === namespace);
    }
    case 'Gateway':
      return selects(labelsOf(spec['selector']), labels);
    default: {
      const selector = fields(spec['selector'] ?? spec['workloadSelector']);
      const wanted = labelsOf(selector['matchLabels'] ?? selector['labels']);
      return (own === rootNamespace || own === namespace) && selects(wanted, labels);
    }
  }
}
