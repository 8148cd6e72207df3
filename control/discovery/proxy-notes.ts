/** What is remarkable about proxies beside the state of their resources, each with its remedy. */
import { isConnected } from './connected.ts';
import type { Session } from './session.ts';

/** Sessions by what they might have in common. */
export class ProxyIndex {
  private readonly byId = new Map<string, Session[]>();
  private readonly byAddress = new Map<string, Session[]>();
  private readonly byName = new Map<string, Session[]>();

  private readonly ttlMs: number;

  /**
   * Of connected proxies only: one that left takes nothing away from others.
   * @param now milliseconds since the epoch
   * @param ttlMs after which a session that is not polled is forgotten; milliseconds
   */
  constructor(sessions: Iterable<Session>, now: number, ttlMs: number) {
    this.ttlMs = ttlMs;
    for (const session of sessions) {
      if (!isConnected(session, now)) continue;
      const [type, address = '', name = ''] = partsOf(session);
      add(this.byId, session.node.id, session);
      add(this.byName, name, session);
      if (type === 'sidecar' && !isLoopback(address)) add(this.byAddress, address, session);
    }
  }

  /** The notes on one proxy. @param now milliseconds since the epoch */
  notesOn(session: Session, now: number): string[] {
    return isConnected(session, now) ? this.conflictsOf(session) : [this.absenceOf(session)];
  }

  private conflictsOf(session: Session): string[] {
    const { id } = session.node;
    const notes: string[] = [];
    const same = this.byId.get(id) ?? [];
    const twins = same.filter(({ owner }) => owner === session.owner).length;
    if (twins > 1) notes.push(`${twins} proxies use this node id and identity: give each its own --ip or --name`);
    const others = new Set(same.map(({ owner }) => owner).filter((owner) => owner !== session.owner));
    if (others.size > 0)
      notes.push(`${[...others].join(', ')} uses this node id, too: one of them has the --name or --ip of another`);
    const [, address = ''] = partsOf(session);
    const neighbours = (this.byAddress.get(address) ?? []).filter(({ node }) => node.id !== id);
    if (neighbours.length > 0 && this.byAddress.get(address)?.includes(session))
      notes.push(
        `${neighbours[0]!.node.id}${neighbours.length > 1 ? ` and ${neighbours.length - 1} more` : ''} claims its address ${address}, too: ` +
          'two sidecars of one address listen on the same ports; give each its own --ip',
      );
    return notes;
  }

  private absenceOf(session: Session): string {
    const since = new Date(session.lastSeen).toISOString();
    const [, address, name = ''] = partsOf(session);
    const moved = (this.byName.get(name) ?? []).find(
      (other) => other.owner === session.owner && partsOf(other)[1] !== address,
    );
    const why = moved
      ? `${moved.node.id} of the same name and identity is connected: where its address changed, this entry is out of date`
      : 'it was stopped, cannot reach this control plane, or uses another one';
    return `not connected since ${since}: ${why}; the entry is forgotten after ${inWords(this.ttlMs)}`;
  }
}

/** A poll is held for less: as long may a proxy that has renewed its certificate be known by the one before. */
const HELD_MS = 30_000;

/**
 * A certificate that should have been renewed long ago (proxies renew at half of its life), or has expired.
 * @param now milliseconds since the epoch
 */
export function certificateNotes(session: Session, now: number): string[] {
  const { certificate } = session;
  if (!certificate) return [];
  const { notBefore, notAfter } = certificate;
  const at = new Date(notAfter).toISOString();
  // The poll that is held may have begun with the certificate before; the next one could not.
  if (now > notAfter)
    return isConnected(session, now)
      ? []
      : [`its certificate expired at ${at}: restart it with a new join token ("tulle token create")`];
  if (notAfter - now >= (notAfter - notBefore) / 4 - HELD_MS) return [];
  return [
    `its certificate expires at ${at} and is not renewed: lines "identity:" of its log have the reason, as a revoked service account ` +
      '("tulle token list"); once expired it must be restarted with a new join token ("tulle token create")',
  ];
}

function inWords(ms: number): string {
  const [count, unit] = ms >= 60_000 ? [ms / 60_000, 'minute'] : [ms / 1000, 'second'];
  const rounded = Math.max(1, Math.round(count));
  return `${rounded} ${unit}${rounded === 1 ? '' : 's'}`;
}

function partsOf({ node }: Session): string[] {
  return node.id.split('~');
}

function add(map: Map<string, Session[]>, key: string, session: Session): void {
  const list = map.get(key);
  if (list) list.push(session);
  else map.set(key, [session]);
}

const isLoopback = (address: string): boolean => address === '::1' || address.startsWith('127.');
