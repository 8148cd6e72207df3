/** What the routes of resources work with. */
import type { ResourceStore } from '../../store/store.ts';
import type { Neighbours } from '../neighbours.ts';
import type { ResourceKinds } from './kinds.ts';

export interface ResourceRoutes {
  store: ResourceStore;
  kinds: ResourceKinds;
  /** Namespaces that exist from the start and may not be deleted. */
  protectedNamespaces: readonly string[];
  report: (error: unknown) => void;
  /** Default: one that lists the store at the first write. */
  neighbours?: Neighbours | undefined;
}

/** The routes' dependencies, and what they keep between requests. */
export interface Api extends ResourceRoutes {
  readonly neighbours: Neighbours;
}
