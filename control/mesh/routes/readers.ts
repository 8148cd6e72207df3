/** The readers of routes: the only list of them. A kind of routes is added here; HTTPRoute has a reader in tests alone. */
import type { RouteReader } from './route-reader.ts';
import { virtualServices } from './virtual-service.ts';

export const ROUTE_READERS: readonly RouteReader[] = [virtualServices];
