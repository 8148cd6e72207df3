/** The filters of one request at work: what they keep, and how they learn that the exchange is over. */

import { Cancellation, type CancelSignal } from '../request/cancellation.ts';
import type { RequestContext } from '../request/request-context.ts';
import type { RouteTable } from '../routing/route-table.ts';
import type { FilterSet } from './chain.ts';
import type { BodyWatch, BufferedBody, FilterContext, StateSlot } from './hooks.ts';

export class FilterRun<Request extends RequestContext> implements FilterContext {
  readonly request: Request;
  readonly filters: FilterSet;
  requestBody: BufferedBody | undefined = undefined;
  responseBody: BufferedBody | undefined = undefined;
  watch: BodyWatch | undefined = undefined;
  private states: Map<StateSlot<unknown>, unknown> | undefined = undefined;
  private cancellation: Cancellation | undefined = undefined;
  private over = false;
  private readonly routes: () => RouteTable | undefined;
  /** All filters have let the head of the request pass. */
  headPassed = false;

  /** @param routes the current table; undefined: there is none */
  constructor(request: Request, filters: FilterSet, routes: () => RouteTable | undefined) {
    this.request = request;
    this.filters = filters;
    this.routes = routes;
  }

  /** Made when it is first requested: most requests need none. */
  get signal(): CancelSignal {
    this.cancellation ??= new Cancellation(this.over);
    return this.cancellation;
  }

  chooseRoute(): void {
    if (this.headPassed || this.over)
      throw new Error('the route is chosen while the head of the request passes the filters');
    this.request.route = this.routes()?.match(this.request) ?? null;
  }

  watchBodies(watch: BodyWatch): void {
    const { watch: first } = this;
    this.watch = first
      ? {
          onRequestData: (bytes) => {
            first.onRequestData(bytes);
            watch.onRequestData(bytes);
          },
          onResponseHead: (status, headers, end) => {
            first.onResponseHead(status, headers, end);
            watch.onResponseHead(status, headers, end);
          },
          onResponseData: (bytes) => {
            first.onResponseData(bytes);
            watch.onResponseData(bytes);
          },
        }
      : watch;
  }

  get<State>(slot: StateSlot<State>): State | undefined {
    return this.states?.get(slot) as State | undefined;
  }

  set<State>(slot: StateSlot<State>, state: State): void {
    this.states ??= new Map();
    this.states.set(slot, state);
  }

  /**
   * The exchange is over.
   * @param complete the client was sent a whole response
   * @param failed is given what an `onEnd` or a listener of the signal throws
   */
  end(complete: boolean, failed: (error: unknown) => void): void {
    this.over = true;
    this.cancellation?.abort(failed);
    for (const filter of this.filters.ends) {
      try {
        filter.onEnd!(this, complete);
      } catch (error) {
        failed(error);
      }
    }
  }
}
