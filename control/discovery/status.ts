/** What `tulle proxy-status` shows of each proxy. */
import { RESOURCE_TYPES, type ResourceType } from '../../shared/xds/discovery.ts';
import { ResourceSet } from '../compile/output/resource-set.ts';
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
  /** When what the proxy should run last changed (RFC 3339), and the resources whose writes did that. */
  readonly lastChange?: { readonly at: string; readonly reason: string };
  /** Why this node's config could not be compiled, if so; it keeps what it had. */
  readonly error?: string;
  readonly types: { readonly [T in ResourceType]: TypeStatus };
}

/** Between two polls a healthy proxy is away for as long as applying config takes. */
const BETWEEN_POLLS_MS = 10_000;

export function isConnected(session: Session, now: number): boolean {
  return session.connected || now - session.lastSeen < BETWEEN_POLLS_MS;
}

/** From what was compiled last: asking for the status compiles nothing. */
export function proxyStatus(session: Session, now: number): ProxyStatus {
  const { node, lastChange } = session;
  const sets = session.compiled && session.setsOf(session.compiled.node);
  const types = {} as Record<ResourceType, TypeStatus>;
  for (const type of RESOURCE_TYPES) {
    const subscription = session.subscriptions[type];
    const state = subscription.state(sets?.[type] ?? ResourceSet.EMPTY);
    const { size: resources, refusals: refused } = subscription;
    const error = refused.map(({ name, message }) => `${name}: ${message}`).join('; ');
    types[type] = { state, resources, refused, ...(error === '' ? {} : { error }) };
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
    ...(lastChange && { lastChange: { at: new Date(lastChange.at).toISOString(), reason: lastChange.reason } }),
    ...(session.compileError === undefined ? {} : { error: session.compileError }),
    types,
  };
}

const text = (value: unknown): string => (typeof value === 'string' ? value : '');
