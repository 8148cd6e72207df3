/** MeshConfig.discoverySelectors: of resources in namespaces that no selector picks, the mesh knows nothing. */
import type { MeshConfig } from '../../shared/resources/mesh-config/mesh-config.ts';
import type { Resource } from '../../shared/resources/resource.ts';
import { namespaceOf } from './fields.ts';
import type { MeshSettings, MeshUpdate } from './view.ts';

type Selectors = NonNullable<MeshConfig['discoverySelectors']>;
type Labels = Readonly<Record<string, string>>;

/** As Kubernetes sets it on every namespace. */
const NAME_LABEL = 'kubernetes.io/metadata.name';
/** Has the mesh's own ConfigMap. */
const SYSTEM_NAMESPACE = 'istio-system';
const NO_LABELS: Labels = {};

/** Keeps which resources are seen, from one step of the mesh to the next. Without selectors every resource is, at no cost. */
export class DiscoveryFilter {
  private readonly all = new Set<Resource>();
  private readonly labels = new Map<string, Labels>();
  private selectors = '[]';
  /** undefined: all are. */
  private seen: Set<Resource> | undefined;

  /** @returns what the step changes among the resources that are seen */
  apply(
    { removed, added }: MeshUpdate,
    { config, rootNamespace }: Pick<MeshSettings, 'config' | 'rootNamespace'>,
  ): MeshUpdate {
    for (const resource of removed) this.all.delete(resource);
    for (const resource of added) this.all.add(resource);
    const moved = this.follow([...removed, ...added]);
    const selectors = config.discoverySelectors ?? [];
    const text = JSON.stringify([selectors, rootNamespace]);
    const before = this.seen;
    if (selectors.length === 0) return this.seeAll(before, { removed, added });
    const isSeen = (resource: Resource) => this.isSelected(resource, selectors, rootNamespace);
    if (before && text === this.selectors && !moved) {
      const gone = removed.filter((resource) => before.delete(resource));
      const come = added.filter(isSeen);
      for (const resource of come) before.add(resource);
      return { removed: gone, added: come };
    }
    this.selectors = text;
    const new_ = new Set(added);
    const held = before ?? new Set([...this.all, ...removed].filter((resource) => !new_.has(resource)));
    this.seen = new Set([...this.all].filter(isSeen));
    return difference(held, this.seen);
  }

  /** Whether a resource that is in no step is seen. */
  sees(resource: Resource, { config, rootNamespace }: Pick<MeshSettings, 'config' | 'rootNamespace'>): boolean {
    const selectors = config.discoverySelectors ?? [];
    return selectors.length === 0 || this.isSelected(resource, selectors, rootNamespace);
  }

  private seeAll(before: Set<Resource> | undefined, update: MeshUpdate): MeshUpdate {
    if (!before) return update;
    this.seen = undefined;
    return difference(before, this.all);
  }

  /** Takes the labels of namespaces. @returns whether some changed */
  private follow(resources: readonly Resource[]): boolean {
    const namespaces = resources.filter(({ kind }) => kind === 'Namespace');
    for (const resource of namespaces) {
      const { name, labels = NO_LABELS } = resource.metadata;
      if (this.all.has(resource)) this.labels.set(name, labels);
      else if (![...this.all].some((other) => other.kind === 'Namespace' && other.metadata.name === name))
        this.labels.delete(name);
    }
    return namespaces.length > 0;
  }

  private isSelected(resource: Resource, selectors: Selectors, rootNamespace: string): boolean {
    if (resource.kind === 'Namespace') return true;
    const name = namespaceOf(resource);
    if (name === rootNamespace || name === SYSTEM_NAMESPACE) return true;
    const labels = { [NAME_LABEL]: name, ...this.labels.get(name) };
    return selectors.some((selector) => matches(selector, labels));
  }
}

/** As a LabelSelector of Kubernetes: an empty one picks everything. */
function matches({ matchLabels = {}, matchExpressions = [] }: Selectors[number], labels: Labels): boolean {
  const has = (key: string) => Object.hasOwn(labels, key);
  if (!Object.entries(matchLabels).every(([key, value]) => has(key) && labels[key] === value)) return false;
  return matchExpressions.every(({ key, operator, values = [] }) => {
    switch (operator) {
      case 'In':
        return has(key) && values.includes(labels[key]!);
      case 'NotIn':
        return !has(key) || !values.includes(labels[key]!);
      case 'Exists':
        return has(key);
      case 'DoesNotExist':
        return !has(key);
      default:
        return false;
    }
  });
}

function difference(before: ReadonlySet<Resource>, after: ReadonlySet<Resource>): MeshUpdate {
  return {
    removed: [...before].filter((resource) => !after.has(resource)),
    added: [...after].filter((resource) => !before.has(resource)),
  };
}
