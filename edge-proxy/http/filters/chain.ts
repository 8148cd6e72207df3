/** The filters of a connection manager, and which of them run for a request. */
import type { FilterOverrides, RouteEntry } from '../route-table.ts';
import type { HttpFilter } from '../stream.ts';

/** In the listener's order. */
export type Filters = readonly HttpFilter[];

export class FilterChain {
  private readonly all: Filters;
  /** Those that run where the route says nothing. */
  private readonly standard: Filters;
  /** Routes are compiled anew with every change of their table: what was chosen for one is forgotten with it. */
  private readonly chosen = new WeakMap<FilterOverrides, Filters>();

  constructor(filters: Filters) {
    this.all = filters;
    this.standard = filters.some((one) => one.disabled) ? filters.filter((one) => !one.disabled) : filters;
  }

  /** @param route null or undefined: none matched, or none was looked for */
  of(route: RouteEntry | null | undefined): Filters {
    const overrides = route?.overrides;
    if (overrides === undefined) return this.standard;
    let filters = this.chosen.get(overrides);
    if (filters === undefined) this.chosen.set(overrides, (filters = this.choose(overrides)));
    return filters;
  }

  private choose(overrides: FilterOverrides): Filters {
    return this.all.filter(({ name, disabled = false }) => !(overrides.get(name)?.disabled ?? disabled));
  }
}
