/** An authorization service, however it is spoken to. */
import type { FilterContext } from '../hooks.ts';
import type { Verdict } from './verdict.ts';

/** What is asked of it about one request, besides the request itself. */
export interface Question {
  readonly context: FilterContext;
  /** Bytes of the body that it may be sent; 0: none. */
  readonly maxBodyBytes: number;
  readonly contextExtensions: Readonly<Record<string, string>>;
}

export interface AuthorizationService {
  /** Resolves with `NO_ANSWER` where none comes; never rejects. */
  check(question: Question): Promise<Verdict>;
}
