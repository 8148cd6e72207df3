/** The product's discovery client over its own sockets and mTLS, with a target that keeps what it is sent and serves nothing. */
import { canonicalJson } from '../../control/compile/output/digest.ts';
import type { ConfigChanges } from '../../edge-proxy/control-client/config-target.ts';
import { ControlClient } from '../../edge-proxy/control-client/control-client.ts';
import { DiscoveryClient } from '../../edge-proxy/control-client/discovery-client.ts';
import { currentRuntime } from '../../edge-proxy/runtime/index.ts';
import type { KeyPair } from '../../edge-proxy/runtime/runtime.ts';
import type { Node } from '../../shared/xds/core.ts';
import {
  type Feature,
  RESOURCE_TYPES,
  type ResourceType,
  resourceName,
  type Snapshot,
} from '../../shared/xds/discovery.ts';

/** Type -> name -> canonical JSON; types without resources are absent. */
export type Held = { [T in ResourceType]?: Record<string, string> };

export interface RecordingProxyOptions {
  readonly url: string;
  /** PEM roots of the control plane. */
  readonly ca: string;
  readonly keyPair: KeyPair;
  readonly node: Node;
  /** Absent: those that the product announces. */
  readonly features?: readonly string[];
  /** Why it refuses a resource, by its canonical JSON; undefined: it takes it. Default: it takes all. */
  readonly refuses?: (json: string) => string | undefined;
}

export class RecordingProxy {
  readonly node: Node;
  readonly features: readonly string[] | undefined;
  private readonly running = new Map<ResourceType, Map<string, string>>();
  private readonly client: ControlClient;
  private readonly discovery: DiscoveryClient;
  private readonly refuses: (json: string) => string | undefined;

  constructor({ url, ca, keyPair, node, features, refuses = () => undefined }: RecordingProxyOptions) {
    this.node = node;
    this.features = features;
    this.refuses = refuses;
    const runtime = currentRuntime();
    this.client = new ControlClient({ runtime, url, trustedRoots: () => ca, identity: () => keyPair });
    this.discovery = new DiscoveryClient({
      client: this.client,
      node: () => node,
      target: { apply: (changes) => this.apply(changes) },
      log: () => {},
      time: runtime,
      ...(features && { features: features as readonly Feature[] }),
    });
    this.discovery.start();
  }

  get held(): Held {
    const held: Held = {};
    for (const [type, resources] of this.running)
      if (resources.size > 0) held[type] = Object.fromEntries([...resources].sort(byName));
    return held;
  }

  async stop(): Promise<void> {
    await this.discovery.stop();
    this.client.close();
  }

  private apply(changes: ConfigChanges): Map<string, string> {
    const refused = new Map<string, string>();
    for (const type of RESOURCE_TYPES) {
      const resources = this.running.get(type) ?? new Map<string, string>();
      this.running.set(type, resources);
      for (const resource of changes[type]?.upsert ?? []) {
        const name = resourceName(type, resource as never);
        const json = canonicalJson(resource);
        const why = this.refuses(json);
        if (why === undefined) resources.set(name, json);
        else refused.set(`${type}/${name}`, why);
      }
      for (const name of changes[type]?.remove ?? []) resources.delete(name);
    }
    return refused;
  }
}

/** What a proxy holds that has all of a snapshot. */
export function heldOf(snapshot: Snapshot): Held {
  const held: Held = {};
  for (const type of RESOURCE_TYPES) {
    const resources = snapshot[type as keyof Snapshot] ?? [];
    const entries = resources.map((item) => [resourceName(type, item), canonicalJson(item)] as [string, string]);
    if (entries.length > 0) held[type] = Object.fromEntries(entries.sort(byName));
  }
  return held;
}

const byName = ([a]: [string, string], [b]: [string, string]): number => (a < b ? -1 : 1);
