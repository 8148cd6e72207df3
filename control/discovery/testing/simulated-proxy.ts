/** A proxy without sockets: polls a session in process, applies what it is sent and acknowledges it. */
import { expect } from 'vitest';
import type { Node } from '../../../shared/xds/core.ts';
import { RESOURCE_TYPES, type ResourceType, TYPE_URLS } from '../../../shared/xds/discovery.ts';
import { bucketOf, bucketTexts } from '../../../shared/xds/held-digests.ts';
import { type CompiledNode, type CompileNode, inOneGo } from '../../compile/node/compiled-node.ts';
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
        resourceNamesSubscribe: ['*'],
        ...(node.clientFeatures
          ? { heldDigests: bucketTexts(this.held(type)).map((text) => (text === '' ? '' : digestText(text))) }
          : { initialResourceVersions: this.versions(type) }),
      })),
    );
    return this.session;
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
    const { responses } = collected;
    this.take(responses);
    this.session.take(responses.map(({ typeUrl, nonce }) => ({ typeUrl, responseNonce: nonce })));
    return responses.reduce(
      (sum, { resources, removedResources }) => sum + resources.length + removedResources.length,
      0,
    );
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
      for (const name of removedResources) expect(this.of(type).delete(name), `${type} ${name} was held`).toBe(true);
    }
  }

  private of(type: ResourceType) {
    return this.running.get(type)!;
  }
}
