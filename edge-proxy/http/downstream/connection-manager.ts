/** The HTTP connection manager of one filter chain: what its connections share. A request is read in exchange.ts. */
import type { ConnectionFacts } from '../../listener/filter-chain.ts';
import type { Reassign } from '../../listener/listener.ts';
import type { Connection } from '../../runtime/runtime.ts';
import type { Exchange } from '../exchange/exchange.ts';
import type { DownstreamInfo } from '../request/request-context.ts';
import { codecFor } from './codec-choice.ts';
import { compileManager, type SessionConfig, tunnelConfig } from './manager-config.ts';
import type { ConnectionManagerOptions } from './manager-options.ts';
import { type OpenCodec, Session, type SessionGroup } from './session.ts';

export class ConnectionManager implements SessionGroup {
  private readonly config: SessionConfig;
  /** Of sessions in tunnels; undefined where it is no HTTP proxy. */
  private readonly tunnelled: SessionConfig | undefined;
  private readonly openCodec: OpenCodec;
  readonly sessions = new Set<Session>();
  activeRequests = 0;
  private drained = false;

  /** @throws RangeError naming a field whose value is not supported */
  constructor(options: ConnectionManagerOptions) {
    const serveTunnel = (connection: Connection, downstream: DownstreamInfo) =>
      void this.sessions.add(new Session(this, this.tunnelled!, connection, downstream, undefined, this.openCodec));
    const draining = () => this.drained || options.draining();
    this.config = compileManager(options, draining, options.httpProxy && serveTunnel);
    this.tunnelled = options.httpProxy && tunnelConfig(this.config, options);
    this.openCodec = options.openCodec ?? codecFor(options.config.codecType);
  }

  /**
   * Serves HTTP on a connection until it closes.
   * @param firstBytes what was already read from it
   */
  accept(connection: Connection, downstream: DownstreamInfo, firstBytes?: Uint8Array, facts?: ConnectionFacts): void {
    this.sessions.add(new Session(this, this.config, connection, downstream, facts, this.openCodec));
    if (firstBytes && firstBytes.length > 0) connection.handler.onData(firstBytes);
  }

  /**
   * Hands its connections over to the managers that serve them now. Exchanges under way continue as they began; those that
   * are still there at the end of the drain time are judged again.
   */
  handOverTo(reassign: Reassign): (() => void) | undefined {
    const leaving: Session[] = [];
    const staying: { session: Session; exchange: Exchange; manager: ConnectionManager }[] = [];
    for (const session of [...this.sessions]) {
      const manager = session.facts && reassign(session.facts, session.downstream);
      if (manager === this) continue;
      if (manager instanceof ConnectionManager) {
        for (const exchange of session.underWay) staying.push({ session, exchange, manager });
        manager.adopt(session);
      } else {
        session.stopAfterCurrent();
        leaving.push(session);
      }
    }
    if (leaving.length + staying.length === 0) return undefined;
    return () => {
      for (const session of leaving) session.destroy();
      for (const { session, exchange, manager } of staying) {
        // Where a later change has moved it again, the end of that change's drain time judges it.
        if (session.group === manager) exchange.judgeAgain(manager.config.exchange);
      }
    };
  }

  private adopt(session: Session): void {
    const { group } = session;
    group.activeRequests -= session.active;
    this.activeRequests += session.active;
    group.sessions.delete(session);
    this.sessions.add(session);
    session.group = this;
    session.config = this.config;
  }

  /** Closes every connection at once. */
  closeAll(): void {
    for (const session of [...this.sessions]) session.destroy();
  }

  /** Applies the present timer scale to running timers. */
  applyTimerScale(): void {
    for (const session of [...this.sessions]) session.applyTimerScale();
  }

  /** Connections end with their current response, or are idle for a moment. */
  drain(): void {
    this.drained = true;
    for (const session of [...this.sessions]) session.drain();
  }
}
