/** One proxy's conversation with the control plane: its node, its subscriptions, and the poll it is held in. */
import type { Node } from '../../shared/xds/core.ts';
import {
  type DeltaDiscoveryRequest,
  RESOURCE_TYPES,
  type ResourceType,
  TYPE_URLS,
} from '../../shared/xds/discovery.ts';
import type { CompiledNode } from '../compile/node/compiled-node.ts';
import { digest } from '../compile/output/digest.ts';
import type { SharedResource } from '../compile/output/shared-resource.ts';
import { Subscription } from './subscription.ts';

const TYPES_BY_URL = new Map<string, ResourceType>(RESOURCE_TYPES.map((type) => [TYPE_URLS[type], type]));

/** The resource type of a type URL; undefined for one Tulle does not serve. */
export function typeOfUrl(typeUrl: string): ResourceType | undefined {
  return TYPES_BY_URL.get(typeUrl);
}

/** A DeltaDiscoveryResponse before it is encoded: its resources are shared with other proxies. */
export interface Response {
  readonly systemVersionInfo: string;
  readonly typeUrl: string;
  readonly nonce: string;
  readonly resources: readonly SharedResource[];
  readonly removedResources: readonly string[];
}

export class Session {
  readonly id: string;
  /** Whose session it is; nobody else may poll it. */
  readonly owner: string;
  readonly openedAt: number;
  node: Node;
  lastSeen: number;
  /** The last compiled state, the view and the node it came from, and how many changes of the mesh the view has seen. */
  compiled:
    | { readonly view: unknown; readonly step: number; readonly nodeDigest: string; readonly node: CompiledNode }
    | undefined;
  /** When what the proxy should run last became something else, and why. */
  lastChange: { readonly at: number; readonly reason: string } | undefined;
  /** Polls that are under way, held or not. */
  polls = 0;
  /** Counts polls, so that an older one knows that it has been superseded. */
  turn = 0;
  compileError: string | undefined;
  /** The view that could not be compiled. */
  failedAt: unknown;
  nodeDigest: string;
  readonly subscriptions: { readonly [T in ResourceType]: Subscription };
  /** Ends the poll being held, if any. */
  private wake: ((reason: WakeReason) => void) | undefined;
  private nonces = 0;

  constructor(id: string, owner: string, node: Node, now: number) {
    this.id = id;
    this.owner = owner;
    this.node = node;
    this.nodeDigest = digest(node);
    this.openedAt = now;
    this.lastSeen = now;
    this.subscriptions = Object.fromEntries(RESOURCE_TYPES.map((type) => [type, new Subscription()])) as {
      [T in ResourceType]: Subscription;
    };
  }

  get connected(): boolean {
    return this.wake !== undefined;
  }

  touch(node: Node, now: number): void {
    this.node = node;
    this.nodeDigest = digest(node);
    this.lastSeen = now;
  }

  take(requests: readonly DeltaDiscoveryRequest[]): void {
    const spoken = new Set<ResourceType>();
    for (const request of requests) {
      const type = typeOfUrl(request.typeUrl);
      if (type === undefined) continue; // refused by name before it gets here
      spoken.add(type);
      this.subscriptions[type].take(request);
    }
    for (const type of RESOURCE_TYPES)
      if (!spoken.has(type)) this.subscriptions[type].take({ typeUrl: TYPE_URLS[type] });
  }

  /** One response per type with something to say, in make-before-break order; what is said is noted as offered. */
  collect({ sets }: CompiledNode, systemVersionInfo: string): Response[] {
    const responses: Response[] = [];
    for (const type of RESOURCE_TYPES) {
      const subscription = this.subscriptions[type];
      if (!subscription.active) continue;
      const changes = subscription.changes(sets[type]);
      if (changes.upserts.length === 0 && changes.removed.length === 0) continue;
      const nonce = `${this.id}.${++this.nonces}`;
      subscription.offered(nonce, changes);
      const { upserts: resources, removed: removedResources } = changes;
      responses.push({ systemVersionInfo, typeUrl: TYPE_URLS[type], nonce, resources, removedResources });
    }
    return responses;
  }

  /** Waits until `rouse`, `ms` or the abort, whichever is first. One poll at a time: a new one ends the old. */
  wait(ms: number, signal: AbortSignal, after: (ms: number, run: () => void) => () => void): Promise<WakeReason> {
    return new Promise((resolve) => {
      const finish = (reason: WakeReason) => {
        if (this.wake !== finish) return;
        this.wake = undefined;
        cancel();
        signal.removeEventListener('abort', aborted);
        resolve(reason);
      };
      const aborted = () => finish('aborted');
      this.wake = finish;
      const cancel = after(ms, () => finish('timeout'));
      if (signal.aborted) return finish('aborted');
      signal.addEventListener('abort', aborted);
    });
  }

  rouse(reason: WakeReason): void {
    this.wake?.(reason);
  }
}

export type WakeReason = 'changed' | 'timeout' | 'aborted' | 'superseded' | 'closed';
