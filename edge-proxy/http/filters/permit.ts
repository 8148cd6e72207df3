/**
 * The proof that every filter of a request's chain let it through. The router asks for it in its type, so that code
 * which forwards a request no filter judged does not compile.
 */
import type { Hold, LocalReply, RequestContext, Verdict } from '../stream.ts';
import type { Filters } from './chain.ts';

/** Not exported as a value: only the end of `runRequestFilters` makes one. */
class JudgedRequest<Request extends RequestContext> {
  readonly #judged = true;
  readonly request: Request;

  constructor(request: Request) {
    this.request = request;
  }

  static is(value: unknown): value is JudgedRequest<RequestContext> {
    return typeof value === 'object' && value !== null && #judged in value;
  }
}

export type Permit<Request extends RequestContext = RequestContext> = JudgedRequest<Request>;

/** A filter neither let the request through nor failed: what it answers, and which filter comes after it. */
export interface Stopped {
  readonly answer: LocalReply | Hold | Promise<Verdict>;
  readonly next: number;
}

export const isPermit = JudgedRequest.is;

/**
 * Asks the filters in their order until one stops the request.
 * @param from the first that is asked
 * @returns the permit where all let it through. Throws what a filter throws.
 */
export function runRequestFilters<Request extends RequestContext>(
  filters: Filters,
  from: number,
  request: Request,
): Permit<Request> | Stopped {
  for (let i = from; i < filters.length; i++) {
    const answer = filters[i]!.onRequest?.(request);
    if (answer !== undefined) return { answer, next: i + 1 };
  }
  return new JudgedRequest(request);
}
