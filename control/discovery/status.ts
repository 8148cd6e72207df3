/** What `tulle proxy-status` shows of each proxy. */
import { RESOURCE_TYPES, type ResourceType } from '../../shared/xds/discovery.ts';
import { ResourceSet } from '../compile/output/resource-set.ts';
import { isConnected } from './connected.ts';
import type { Session } from './session.ts';
import type { Refusal, SyncState } from './subscription.ts';

export interface TypeStatus {
  readonly state: SyncState;
  /** How many resources of the type the proxy runs. */
  readonly resources: number;
  /** Refused resources, each with the version and the proxy's own words. */
  readonly refused: readonly Refusal[];
  /** The refusals in one line, `name: message; …`; absent without any. */
  readonly error?: string;
  /** Why the state is STALE. */
  readonly reason?: string;
}

export interface ProxyStatus {
  /** The xDS node id. */
  readonly id: string;
  readonly cluster: string;
  readonly namespace: string;
  readonly serviceAccount: string;
  /** `userAgentName/userAgentVersion` of the proxy. */
  readonly version: string;
  /** A poll is being held right now, or ended less than a moment ago. */
  readonly connected: boolean;
  /** RFC 3339. */
  readonly connectedSince: string;
  readonly lastSeen: string;
  /** When the certificate that the proxy last polled with expires (RFC 3339); absent: it polled without one. */
  readonly certificateExpires?: string;
  /** When what the proxy should run last changed (RFC 3339), and the resources whose writes did that. */
  readonly lastChange?: { readonly at: string; readonly reason: string };
  /** Why this node's config could not be compiled, if so; it keeps what it had. */
  readonly error?: string;
  /** What is remarkable beside that, each with its remedy. */
  readonly notes: readonly string[];
  readonly types: { readonly [T in ResourceType]: TypeStatus };
}

/** From what was compiled last: asking for the status compiles nothing. */
export function proxyStatus(session: Session, notes: readonly string[], now: number): ProxyStatus {
  const { node, lastChange, certificate } = session;
  const sets = session.compiled && session.setsOf(session.compiled.node);
  const types = {} as Record<ResourceType, TypeStatus>;
  for (const type of RESOURCE_TYPES) {
    const subscription = session.subscriptions[type];
    const state = subscription.state(sets?.[type] ?? ResourceSet.EMPTY);
    const { size: resources, refusals: refused } = subscription;
    const error = refused.map(({ name, message }) => `${name}: ${message}`).join('; ');
    const reason = state === 'STALE' && staleReason(session, subscription.awaitsAck, now);
    types[type] = { state, resources, refused, ...(error !== '' && { error }), ...(reason && { reason }) };
  }
  return {
    id: node.id,
    cluster: node.cluster ?? '',
    namespace: text(node.metadata?.['NAMESPACE']),
    serviceAccount: text(node.metadata?.['SERVICE_ACCOUNT']),
    version: [node.userAgentName, node.userAgentVersion].filter(Boolean).join('/'),
    connected: isConnected(session, now),
    connectedSince: new Date(session.openedAt).toISOString(),
    lastSeen: new Date(session.lastSeen).toISOString(),
    ...(certificate && { certificateExpires: new Date(certificate.notAfter).toISOString() }),
    ...(lastChange && { lastChange: { at: new Date(lastChange.at).toISOString(), reason: lastChange.reason } }),
    ...(session.compileError === undefined ? {} : { error: session.compileError }),
    notes,
    types,
  };
}

const text = (value: unknown): string => (typeof value === 'string' ? value : '');

function staleReason(session: Session, awaitsAck: boolean, now: number): string {
  if (!isConnected(session, now)) return 'the proxy is not connected';
  if (session.compileError !== undefined) return 'its config cannot be compiled';
  return awaitsAck ? 'sent, not acknowledged yet' : 'to be sent with the next answer';
}
