/** The filters of a connection manager, which of them run for a request, and in which direction they do something. */
import type { FilterOverrides, RouteEntry } from '../route-table.ts';
import type { HttpFilter } from './hooks.ts';

/** In the order in which a message passes them. */
export type Filters = readonly HttpFilter[];

/** The filters that have a hook for one direction. */
export interface Direction {
  readonly filters: Filters;
  /** One of them sees data or trailers. */
  readonly seesBody: boolean;
  /** One of them sees the bytes of tunnels. */
  readonly seesTunnels: boolean;
}

/** The filters of one request. */
export interface FilterSet {
  /** In the listener's order. */
  readonly all: Filters;
  readonly request: Direction;
  /** In the reverse of the listener's order. */
  readonly response: Direction;
  /** Those with an `onEnd`. */
  readonly ends: Filters;
}

export class FilterChain {
  private readonly all: Filters;
  /** Those that run where the route says nothing. */
  private readonly standard: FilterSet;
  /** Routes are compiled again with every change of their table: what was chosen for one is forgotten with it. */
  private readonly chosen = new WeakMap<FilterOverrides, FilterSet>();

  /** @param filters in the listener's order */
  constructor(filters: Filters) {
    this.all = filters;
    this.standard = compileSet(filters.filter((one) => !one.disabled));
  }

  /** @param route null or undefined: none matched, or none was looked for */
  of(route: RouteEntry | null | undefined): FilterSet {
    const overrides = route?.overrides;
    if (overrides === undefined) return this.standard;
    let set = this.chosen.get(overrides);
    if (set === undefined) this.chosen.set(overrides, (set = compileSet(this.choose(overrides))));
    return set;
  }

  private choose(overrides: FilterOverrides): Filters {
    return this.all.filter(({ name, disabled = false }) => !(overrides.get(name)?.disabled ?? disabled));
  }
}

function compileSet(filters: Filters): FilterSet {
  const sees = (one: HttpFilter) => (one.onRequestData ?? one.onRequestTrailers) !== undefined;
  const seesBack = (one: HttpFilter) => (one.onResponseData ?? one.onResponseTrailers) !== undefined;
  return {
    all: filters,
    request: compileDirection(
      filters.filter((one) => one.onRequestHead || sees(one)),
      sees,
    ),
    response: compileDirection(filters.filter((one) => one.onResponseHead || seesBack(one)).reverse(), seesBack),
    ends: filters.filter((one) => one.onEnd),
  };
}

function compileDirection(filters: Filters, seesBody: (one: HttpFilter) => boolean): Direction {
  return {
    filters,
    seesBody: filters.some(seesBody),
    seesTunnels: filters.some((one) => one.seesTunnels === true && seesBody(one)),
  };
}
