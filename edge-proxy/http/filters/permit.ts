/**
 * The proof that every filter of a request's chain let it through. The router asks for it in its type, so that code
 * which forwards a request no filter judged does not compile.
 */
import type { ResponseHead } from '../message/message.ts';
import type { RequestContext } from '../stream.ts';
import type { FilterRun } from './filter-run.ts';
import type { HeadAnswer } from './hooks.ts';

/** Not exported as a value: only the end of `runRequestHeads` makes one. */
class JudgedRequest<Request extends RequestContext> {
  /** Of the type alone: no other object has it. */
  declare private readonly judged: true;
  readonly request: Request;

  constructor(request: Request) {
    this.request = request;
  }
}

export type Permit<Request extends RequestContext = RequestContext> = JudgedRequest<Request>;

/** A filter neither let the message through nor failed. */
export interface Stopped {
  /** Its position in its direction. */
  readonly at: number;
  readonly answer: Exclude<HeadAnswer, undefined> | Promise<HeadAnswer>;
}

export function isPermit<Request extends RequestContext>(result: Permit<Request> | Stopped): result is Permit<Request> {
  return result instanceof JudgedRequest;
}

/**
 * Shows the head of the request to its filters in their order, until one stops it.
 * @param from the first that is asked
 * @param end the request has no body
 * @returns the permit where all let it through. Throws what a filter throws.
 */
export function runRequestHeads<Request extends RequestContext>(
  run: FilterRun<Request>,
  from: number,
  end: boolean,
): Permit<Request> | Stopped {
  const { filters } = run.filters.request;
  for (let at = from; at < filters.length; at++) {
    const answer = filters[at]!.onRequestHead?.(run, end);
    if (answer !== undefined) return { at, answer };
  }
  run.headPassed = true;
  return new JudgedRequest(run.request);
}

/** @returns `passed` where all filters let the response through. Throws what a filter throws. */
export function runResponseHeads(
  run: FilterRun<RequestContext>,
  from: number,
  response: Pick<ResponseHead, 'status' | 'headers'>,
  end: boolean,
): 'passed' | Stopped {
  const { filters } = run.filters.response;
  for (let at = from; at < filters.length; at++) {
    const answer = filters[at]!.onResponseHead?.(run, response, end);
    if (answer !== undefined) return { at, answer };
  }
  return 'passed';
}
