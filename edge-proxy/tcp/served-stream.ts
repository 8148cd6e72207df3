/** A connection of the TCP proxy, as a change of the config sees it. */
import type { DownstreamInfo } from '../http/request/request-context.ts';
import type { ConnectionFacts } from '../listener/filter-chain.ts';

/** What decides where a connection belongs. */
export interface ServedStream {
  /** What its chain was chosen by. */
  readonly facts: ConnectionFacts | undefined;
  readonly downstream: DownstreamInfo;
}
