/** A proxy without sockets: polls a session in process, applies what it is sent and acknowledges it. */
import { expect } from 'vitest';
import type { Cluster } from '../../../shared/xds/cluster.ts';
import { clusterNamesIn } from '../../../shared/xds/cluster-names.ts';
import type { Node } from '../../../shared/xds/core.ts';
import { knownFeatures, RESOURCE_TYPES, type ResourceType, TYPE_URLS } from '../../../shared/xds/discovery.ts';
import { bucketOf, bucketTexts } from '../../../shared/xds/held-digests.ts';
import { type CompiledNode, type CompileNode, inOneGo } from '../../compile/output/compiled-node.ts';
import { digestText } from '../../compile/output/digest.ts';
import type { MeshView } from '../../mesh/view.ts';
import { answerChunks } from '../answer.ts';
import { type Response, Session } from '../session.ts';

export interface Running {
  readonly version: string;
  readonly resource: unknown;
}

export class SimulatedProxy {
  readonly running = new Map<ResourceType, Map<string, Running>>();
  /** What it has named, where it fetches on demand. */
  readonly wanted = { virtualHosts: new Set<string>(), clusters: new Set<string>() };
  node: Node;
  private readonly compile: CompileNode;
  private session: Session;
  private compiled: CompiledNode | undefined;

  constructor(node: Node, compile: CompileNode) {
    this.node = node;
    this.compile = compile;
    for (const type of RESOURCE_TYPES) this.running.set(type, new Map());
    this.session = this.begin();
  }

  /** As after a restart of the control plane or of the proxy: a new session, in which the proxy says what it has. */
  begin(node = this.node): Session {
    this.node = node;
    this.compiled = undefined;
    this.session = new Session('s', 'owner', node, 0);
    this.session.take(
      RESOURCE_TYPES.map((type) => ({
        typeUrl: TYPE_URLS[type],
        resourceNamesSubscribe: ['*', ...(type === 'virtualHosts' || type === 'clusters' ? this.wanted[type] : [])],
        ...(node.clientFeatures
          ? { heldDigests: bucketTexts(this.held(type)).map((text) => (text === '' ? '' : digestText(text))) }
          : { initialResourceVersions: this.versions(type) }),
      })),
    );
    return this.session;
  }

  /** Names what it wants besides, and what it wants no longer. */
  want(type: 'virtualHosts' | 'clusters', names: readonly string[], unwanted: readonly string[] = []): void {
    for (const name of names) this.wanted[type].add(name);
    for (const name of unwanted) this.wanted[type].delete(name);
    this.session.take([
      {
        typeUrl: TYPE_URLS[type],
        resourceNamesSubscribe: [...names],
        resourceNamesUnsubscribe: [...unwanted],
      },
    ]);
  }

  private held(type: ResourceType) {
    return [...this.of(type)].map(([name, { version }]) => ({ name, version }));
  }

  private versions(type: ResourceType, buckets?: readonly number[]) {
    const named = this.held(type).filter(({ name }) => buckets?.includes(bucketOf(name)) ?? true);
    return Object.fromEntries(named.map(({ name, version }) => [name, version]));
  }

  /**
   * One poll, compiled as the discovery service does: from the node's last state where that is possible.
   * @returns how many resources were sent
   */
  poll(view: MeshView): number {
    this.compiled = inOneGo(this.compiled?.next?.(view) ?? this.compile(view, this.node));
    let collected = this.session.collect(this.compiled, '1');
    if (collected.namesWanted) {
      this.session.take(
        collected.namesWanted.map(({ typeUrl, buckets: namesSent }) => {
          const type = RESOURCE_TYPES.find((item) => TYPE_URLS[item] === typeUrl)!;
          return { typeUrl, namesSent, initialResourceVersions: this.versions(type, namesSent) };
        }),
      );
      collected = this.session.collect(this.compiled, '1');
    }
    expect(collected.namesWanted).toBeUndefined();
    let sent = 0;
    for (;;) {
      const { responses, more } = collected;
      this.take(responses);
      this.session.take(responses.map(({ typeUrl, nonce }) => ({ typeUrl, responseNonce: nonce })));
      for (const { resources, removedResources } of responses) sent += resources.length + removedResources.length;
      if (!more) return sent;
      collected = this.session.collect(this.compiled, '1');
    }
  }

  private take(responses: readonly Response[]): void {
    const bytes = Buffer.concat([...answerChunks({ session: 's', responses })]);
    const answer = JSON.parse(bytes.toString()) as {
      responses: {
        typeUrl: string;
        resources: { name: string; version: string; resource: object }[];
        removedResources: string[];
      }[];
    };
    for (const { typeUrl, resources, removedResources } of answer.responses) {
      const type = RESOURCE_TYPES.find((item) => TYPE_URLS[item] === typeUrl)!;
      for (const { name, version, resource } of resources) {
        const { '@type': _, ...rest } = resource as Record<string, unknown>;
        expect(this.of(type).get(name)?.version, `${type} ${name} was sent again`).not.toBe(version);
        this.of(type).set(name, { version, resource: rest });
      }
      for (const name of removedResources) {
        const held = this.of(type).delete(name);
        // A name that does not exist is answered with its removal.
        if (!held) expect(this.named(type, name), `${type} ${name} was held`).toBe(true);
      }
    }
    if (this.onDemand) this.expectClosed(answer.responses.some(({ removedResources }) => removedResources.length > 0));
  }

  private get onDemand(): boolean {
    return knownFeatures(this.node.clientFeatures).has('tulle.on-demand') && this.node.id.startsWith('sidecar~');
  }

  private named(type: ResourceType, name: string): boolean {
    return (type === 'virtualHosts' || type === 'clusters') && this.wanted[type].has(name);
  }

  /** Whatever was applied last: no virtual host runs without its clusters, none of these without its endpoints. */
  private expectClosed(removed: boolean): void {
    const clusters = this.of('clusters');
    for (const [name, { resource }] of this.of('virtualHosts'))
      for (const cluster of clusterNamesIn(resource))
        if (cluster.startsWith('outbound|') && this.exists('clusters', cluster))
          expect(clusters.has(cluster), `${name} has ${cluster} (removals: ${removed})`).toBe(true);
    // A patch may remove the endpoints of a cluster and leave the cluster.
    for (const [name, { resource }] of clusters)
      if ((resource as Cluster).type === 'EDS' && this.exists('endpoints', name))
        expect(this.of('endpoints').has(name), `${name} has endpoints`).toBe(true);
  }

  /** A VirtualService may name clusters that nothing makes. */
  private exists(type: ResourceType, name: string): boolean {
    return this.compiled?.sets[type].has(name) ?? false;
  }

  private of(type: ResourceType) {
    return this.running.get(type)!;
  }
}
