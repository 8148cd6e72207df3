/** The messages between a parent and its worker processes, JSON over the runtime's channel. */
import type { OverloadManager } from '../../shared/xds/overload.ts';
import type { Secret } from '../../shared/xds/tls.ts';
import type { ListenerState } from '../admin/admin.ts';
import type { HeldCertificates } from '../admin/certs.ts';
import type { ClusterState } from '../admin/clusters.ts';
import type { ListeningAddress } from '../listener/own-listeners.ts';
import type { HttpProxyAccess } from '../settings/http-proxy-access.ts';
import type { InheritedSockets } from '../settings/inherited-sockets.ts';
import type { OwnNode } from '../telemetry/own-node.ts';
import type { FetchedType, FetchLimits } from '../upstream/fetches.ts';
import type { Changes } from '../xds/apply.ts';

/** What a worker is before it has any config. */
export interface WorkerInit {
  readonly version: string;
  readonly own: OwnNode;
  readonly trustDomain?: string;
  readonly httpProxy?: HttpProxyAccess;
  readonly sockets?: InheritedSockets;
  readonly limits: {
    readonly perListener: readonly (readonly [string, number])[];
    readonly total?: number;
    readonly overload?: OverloadManager;
    readonly drainMs: number;
    readonly closeOnExpiry: boolean;
    readonly fetches?: FetchLimits;
  };
}

export type Command =
  | { readonly init: WorkerInit }
  | { readonly changes: Changes }
  | { readonly secrets: readonly Secret[]; readonly principal: string }
  | { readonly drain: number }
  | { readonly drainListeners: { readonly graceful: boolean; readonly inboundOnly: boolean } }
  | { readonly healthy: boolean }
  | { readonly revokePeers: readonly string[] }
  | { readonly refuseConnectionsTo: ListeningAddress }
  | { readonly read: 'metrics' | 'stats' | 'config' | 'certificates' | 'clusters' | 'used' }
  | { readonly close: true };

export interface Applied {
  readonly violations: readonly (readonly [string, string])[];
  readonly listeners: readonly ListenerState[];
}

/** What a command is answered with; undefined where it only had to be done. */
export type Answer =
  | Applied
  | string
  | readonly (readonly [string, number])[]
  | readonly HeldCertificates[]
  | readonly ClusterState[]
  | object
  | undefined;

/** The number of a worker's first message: it listens. */
export const READY = 0;

/** The number of messages that a worker sends unasked: something waits for a resource that is not here. */
export const WANTED = -1;

export interface Wanted {
  readonly type: FetchedType;
  readonly name: string;
}

export interface Numbered<T> {
  readonly id: number;
  readonly body: T;
}
