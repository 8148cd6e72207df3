/**
 * Which service accounts may have identities: those of namespaces that exist, unless they were taken back. A ServiceAccount
 * resource is not needed (workloads of machines have none); deleting one takes the account back, making it again allows it.
 */
import * as z from 'zod';
import type { ResourceStore } from '../store/store.ts';
import { readIfPresent, writeDurably } from './files.ts';
import type { JoinClaim } from './join-tokens.ts';

/** One that was taken back. */
export interface Revocation extends JoinClaim {
  /** Milliseconds since the epoch. A ServiceAccount made later is a new one. */
  since: number;
}

const Stored = z.array(z.strictObject({ namespace: z.string(), serviceAccount: z.string(), since: z.number() }));

/** Where revocations live; `save` is durable when its promise resolves. */
export interface RevocationStore {
  load(): Promise<readonly Revocation[]>;
  save(revocations: readonly Revocation[]): Promise<void>;
}

/** The account has no identity, and asking again does not help. One line, with the remedy. */
export class AccountError extends Error {
  override name = 'AccountError';
}

export class Accounts {
  readonly #store: Pick<ResourceStore, 'get'>;
  readonly #revocations: RevocationStore;
  readonly #now: () => number;
  readonly #revoked: Map<string, Revocation>;
  #saving: Promise<void> = Promise.resolve();

  private constructor(
    store: Pick<ResourceStore, 'get'>,
    revocations: RevocationStore,
    now: () => number,
    revoked: readonly Revocation[],
  ) {
    this.#store = store;
    this.#revocations = revocations;
    this.#now = now;
    this.#revoked = new Map(revoked.map((one) => [keyOf(one), one]));
  }

  /** @throws Error when the revocations cannot be read: without them what was taken back would be given again */
  static async open(
    store: Pick<ResourceStore, 'get'>,
    revocations: RevocationStore,
    now: () => number = Date.now,
  ): Promise<Accounts> {
    return new Accounts(store, revocations, now, await revocations.load());
  }

  /** @throws AccountError when the account may not have an identity */
  async check({ namespace, serviceAccount }: JoinClaim): Promise<void> {
    if (!(await this.#store.get({ group: '', plural: 'namespaces', namespace: '', name: namespace })))
      throw new AccountError(
        `namespace "${namespace}" does not exist: create it first ("tulle apply", "kubectl create namespace")`,
      );
    const revoked = this.#revoked.get(keyOf({ namespace, serviceAccount }));
    if (!revoked) return;
    const key = { group: '', plural: 'serviceaccounts', namespace, name: serviceAccount };
    const created = (await this.#store.get(key))?.metadata.creationTimestamp;
    if (created !== undefined && Date.parse(created) >= revoked.since) return;
    throw new AccountError(
      `service account "${serviceAccount}" of namespace "${namespace}" was revoked at ${new Date(revoked.since).toISOString()}: create the ServiceAccount again to allow it`,
    );
  }

  /** Takes the account back, by command: also one whose ServiceAccount was made in this second. */
  revoke(claim: JoinClaim): Promise<void> {
    return this.#add(claim, Math.floor(this.#now() / 1000) * 1000 + 1000);
  }

  /**
   * Deletes the account's ServiceAccount: the account is taken back first, durably, so that a crash in between leaves it
   * revoked. Where the deletion fails, what held before holds again. Timestamps of resources are of whole seconds.
   */
  async whileDeleting<T>(claim: JoinClaim, deletion: () => Promise<T>): Promise<T> {
    const before = this.#revoked.get(keyOf(claim));
    await this.#add(claim, Math.max(before?.since ?? 0, Math.floor(this.#now() / 1000) * 1000));
    try {
      return await deletion();
    } catch (error) {
      if (before) this.#revoked.set(keyOf(claim), before);
      else this.#revoked.delete(keyOf(claim));
      await this.#save();
      throw error;
    }
  }

  list(): readonly Revocation[] {
    return [...this.#revoked.values()];
  }

  #add({ namespace, serviceAccount }: JoinClaim, since: number): Promise<void> {
    const revocation = { namespace, serviceAccount, since };
    this.#revoked.set(keyOf(revocation), revocation);
    return this.#save();
  }

  #save(): Promise<void> {
    // One after the other, so that an older state never overwrites a newer one; a failure does not stop the next.
    this.#saving = this.#saving.catch(() => {}).then(() => this.#revocations.save(this.list()));
    return this.#saving;
  }
}

const keyOf = ({ namespace, serviceAccount }: JoinClaim): string => `${namespace}/${serviceAccount}`;

export function fileRevocationStore(path: string): RevocationStore {
  return {
    async load() {
      const text = await readIfPresent(path);
      if (text === undefined) return [];
      try {
        return Stored.parse(JSON.parse(text));
      } catch {
        throw new Error(
          `${path} is not a list of revocations: restore it from a backup, or remove it to revoke nothing`,
        );
      }
    },
    save: (revocations) => writeDurably(path, JSON.stringify(revocations)),
  };
}
