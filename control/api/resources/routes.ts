/** What the routes of resources work with. */
import type { ResourceStore } from '../../store/store.ts';
import type { Neighbours } from '../neighbours.ts';
import type { ResourceKinds } from './kinds.ts';
import type { Pages } from './listing/paging.ts';
import type { OpenWatches } from './open-watches.ts';

export interface ResourceRoutes {
  store: ResourceStore;
  kinds: ResourceKinds;
  /** Namespaces that exist from the start and may not be deleted. */
  protectedNamespaces: readonly string[];
  report: (error: unknown) => void;
  /** Default: one that lists the store at the first write. */
  neighbours?: Neighbours | undefined;
  /** Ends the watches at a stop. Default: they end with their connections. */
  watches?: OpenWatches | undefined;
  /** How long the deletion of a collection may take, milliseconds. Default: a minute. */
  collectionMs?: number | undefined;
  /** Between the bookmarks of a watch, milliseconds. Default: BOOKMARK_MS. */
  bookmarkMs?: number | undefined;
}

/** The routes' dependencies, and what they keep between requests. */
export interface Api extends ResourceRoutes {
  readonly neighbours: Neighbours;
  readonly pages: Pages;
  readonly watches: OpenWatches;
  readonly bookmarkMs: number;
}
