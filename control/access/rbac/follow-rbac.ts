/** The index of roles and bindings as the store has them: compiled once after a change, when the next request needs it. */
import type { Resource } from '../../../shared/resources/resource.ts';
import { type ResourceStore, StoreError, type WatchEvent } from '../../store/store.ts';
import type { Attributes } from '../attributes.ts';
import type { Authorizer } from '../authorizer.ts';
import type { User } from '../user.ts';
import { type Binding, RBAC_GROUP, RbacIndex, type RbacObjects, type Role, rulesOf } from './rbac-index.ts';

export const RBAC_PLURALS = ['roles', 'clusterroles', 'rolebindings', 'clusterrolebindings'] as const;
type Plural = (typeof RBAC_PLURALS)[number];

const RETRY_MS = 500;

export interface RbacFollowerOptions {
  readonly store: Pick<ResourceStore, 'list' | 'watch' | 'update'>;
  readonly onError: (error: unknown) => void;
}

export class RbacFollower implements Authorizer {
  readonly #options: RbacFollowerOptions;
  readonly #objects = new Map<Plural, Map<string, Resource>>();
  readonly #stop = new AbortController();
  #following: Promise<unknown> = Promise.resolve();
  #index: RbacIndex | undefined;

  constructor(options: RbacFollowerOptions) {
    this.#options = options;
  }

  /** Resolves once every role and binding is known. @throws StoreError */
  async start(): Promise<void> {
    const revisions = await Promise.all(RBAC_PLURALS.map((plural) => this.#list(plural)));
    await this.#aggregate();
    this.#following = Promise.all(RBAC_PLURALS.map((plural, i) => this.#follow(plural, revisions[i]!)));
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#following;
  }

  allows(user: User, attributes: Attributes): string | undefined {
    return this.index.allows(user, attributes);
  }

  rulesOf(user: User, namespace: string) {
    return this.index.rulesOf(user, namespace);
  }

  get index(): RbacIndex {
    return (this.#index ??= new RbacIndex(this.#current()));
  }

  #current(): RbacObjects {
    const of = (plural: Plural) => [...(this.#objects.get(plural)?.values() ?? [])];
    return {
      roles: of('roles') as unknown as Role[],
      clusterRoles: of('clusterroles') as unknown as Role[],
      roleBindings: of('rolebindings') as unknown as Binding[],
      clusterRoleBindings: of('clusterrolebindings') as unknown as Binding[],
    };
  }

  async #list(plural: Plural): Promise<number> {
    const { items, revision } = await this.#options.store.list({ kind: { group: RBAC_GROUP, plural } });
    this.#objects.set(plural, new Map(items.map((item) => [idOf(item), item])));
    this.#index = undefined;
    return revision;
  }

  async #follow(plural: Plural, from: number): Promise<void> {
    const { store, onError } = this.#options;
    const { signal } = this.#stop;
    let revision = from;
    while (!signal.aborted) {
      try {
        for await (const event of store.watch({ kind: { group: RBAC_GROUP, plural } }, revision, signal)) {
          this.#take(plural, event);
          revision = event.revision;
          if (plural === 'clusterroles') await this.#aggregate();
        }
      } catch (error) {
        if (signal.aborted) return;
        if (!(error instanceof StoreError && error.code === 'gone')) {
          onError(error);
          await pause(RETRY_MS, signal);
        }
        revision = await this.#list(plural).catch(() => revision);
      }
    }
  }

  #take(plural: Plural, { type, resource }: WatchEvent): void {
    const objects = this.#objects.get(plural)!;
    if (type === 'DELETED') objects.delete(idOf(resource));
    else objects.set(idOf(resource), resource);
    this.#index = undefined;
  }

  /** Writes into ClusterRoles with an aggregation rule what they come to, as Kubernetes' controller does: clients read it there. */
  async #aggregate(): Promise<void> {
    const { clusterRoles } = this.#current();
    for (const role of clusterRoles) {
      if (!role.aggregationRule) continue;
      const rules = rulesOf(role, { clusterRoles });
      if (JSON.stringify(rules) === JSON.stringify(role.rules ?? [])) continue;
      const key = { group: RBAC_GROUP, plural: 'clusterroles', namespace: '', name: role.metadata.name };
      const written = { ...(role as unknown as Resource), rules } as Resource;
      // Another replica or a user was first: its write comes as an event, after which this is done again.
      await this.#options.store.update(key, written).catch((error: unknown) => {
        if (!(error instanceof StoreError && ['conflict', 'not-found'].includes(error.code)))
          this.#options.onError(error);
      });
    }
  }
}

const idOf = ({ metadata }: Resource) => `${metadata.namespace ?? ''}/${metadata.name}`;

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(done, ms);
    function done() {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    }
    signal.addEventListener('abort', done);
  });
}
