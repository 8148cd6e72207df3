/** The HTTP connection manager of one filter chain: what its connections share. A request is read in exchange.ts. */
import type { ConnectionFacts } from '../../listener/filter-chain.ts';
import type { Reassign } from '../../listener/listener.ts';
import type { Connection } from '../../runtime/runtime.ts';
import type { DownstreamInfo } from '../stream.ts';
import type { SessionOwner } from './downstream-stream.ts';
import { compileParts, type ManagerParts } from './manager-config.ts';
import type { ConnectionManagerOptions } from './manager-options.ts';
import { Session } from './session.ts';

export class ConnectionManager implements SessionOwner<Session> {
  private readonly parts: ManagerParts;
  readonly sessions = new Set<Session>();
  /** Requests under way. */
  activeRequests = 0;
  private drained = false;

  /** @throws RangeError naming a field whose value is not supported */
  constructor(options: ConnectionManagerOptions) {
    this.parts = compileParts(options, () => this.drained || options.draining());
  }

  /**
   * Serves HTTP/1.1 on a connection until it closes.
   * @param firstBytes what was already read from it
   */
  accept(connection: Connection, downstream: DownstreamInfo, firstBytes?: Uint8Array, facts?: ConnectionFacts): void {
    const session = new Session(this, this.parts, connection, downstream, facts);
    this.sessions.add(session);
    connection.handler = session;
    if (firstBytes && firstBytes.length > 0) session.onData(firstBytes);
  }

  /** Hands its connections to where they belong now; the request under way finishes as it began. */
  succeed(reassign: Reassign): void {
    for (const session of [...this.sessions]) {
      const next = session.facts && reassign(session.facts, session.downstream);
      if (next === this) continue;
      if (next instanceof ConnectionManager) next.adopt(session);
      else session.retire();
    }
  }

  private adopt(session: Session): void {
    const { sessions } = session.manager;
    if (session.busy) {
      session.manager.activeRequests--;
      this.activeRequests++;
    }
    sessions.delete(session);
    this.sessions.add(session);
    session.manager = this;
    session.parts = this.parts;
  }

  /** Closes every connection, whatever it is doing. */
  cut(): void {
    for (const session of [...this.sessions]) session.abort();
  }

  /** Times have become shorter under pressure. */
  rescale(): void {
    for (const session of [...this.sessions]) session.rescale();
  }

  /** Closes idle connections, the others with their current response. */
  drain(): void {
    this.drained = true;
    for (const session of [...this.sessions]) session.drain();
  }
}
