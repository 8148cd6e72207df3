/**
 * Which service accounts may have identities: those of namespaces that exist and are not being deleted, unless they were taken back. A ServiceAccount
 * resource is not needed (workloads of machines have none); deleting one takes the account back, making it again allows it.
 */
import type { ResourceStore } from '../store/store.ts';
import { ttlSeconds } from './authority.ts';
import { type JoinClaim, joinTokenTtlSeconds } from './join-tokens.ts';

/** One that was taken back. */
export interface Revocation extends JoinClaim {
  /** Milliseconds since the epoch. A ServiceAccount made later is a new one. */
  since: number;
}

/** `since` undefined: the account is not revoked any more. */
export interface RevocationChange extends JoinClaim {
  since: number | undefined;
}

/** Where revocations live; what was recorded is durable when the promise resolves. One `record` at a time. */
export interface RevocationStore {
  load(): Promise<readonly Revocation[]>;
  /** @param all the revocations as they are with these changes, for a store that writes all of them */
  record(changes: readonly RevocationChange[], all: () => readonly Revocation[]): Promise<void>;
  /** Calls back with changes that others made, perhaps with own ones too. */
  follow?(changed: (changes: readonly RevocationChange[]) => void): void;
}

/**
 * Milliseconds after which nothing that an account was given is valid any more: join tokens, and certificates made with them. A
 * revocation is needed no longer: an identity then needs a join token that was made after it.
 */
const GIVEN_MS = (joinTokenTtlSeconds.max + ttlSeconds.max) * 1000;

/** The account has no identity, and asking again does not help. One line, with the remedy. */
export class AccountError extends Error {
  override name = 'AccountError';
}

export class Accounts {
  readonly #store: Pick<ResourceStore, 'get'>;
  readonly #revocations: RevocationStore;
  readonly #now: () => number;
  readonly #revoked: Map<string, Revocation>;
  /** Changes that the next write takes, and that write. */
  #pending: RevocationChange[] = [];
  #next: Promise<void> | undefined;
  #saving: Promise<void> = Promise.resolve();
  /** By account, the last deletion of its ServiceAccount that is under way. */
  readonly #deletions = new Map<string, Promise<unknown>>();

  private constructor(
    store: Pick<ResourceStore, 'get'>,
    revocations: RevocationStore,
    now: () => number,
    revoked: readonly Revocation[],
  ) {
    this.#store = store;
    this.#revocations = revocations;
    this.#now = now;
    const oldestFirst = [...revoked].sort((a, b) => a.since - b.since);
    this.#revoked = new Map(oldestFirst.map((one) => [keyOf(one), one]));
    this.#forgetExpired();
  }

  /** @throws Error when the revocations cannot be read: without them what was taken back would be given again */
  static async open(
    store: Pick<ResourceStore, 'get'>,
    revocations: RevocationStore,
    now: () => number = Date.now,
  ): Promise<Accounts> {
    const accounts = new Accounts(store, revocations, now, await revocations.load());
    revocations.follow?.((changes) => accounts.#take(changes));
    return accounts;
  }

  /** @throws AccountError when the account may not have an identity */
  async check({ namespace, serviceAccount }: JoinClaim): Promise<void> {
    const found = await this.#store.get({ group: '', plural: 'namespaces', namespace: '', name: namespace });
    if (found?.metadata.deletionTimestamp !== undefined)
      throw new AccountError(`namespace "${namespace}" is being deleted: workloads in it get no identity`);
    if (!found)
      throw new AccountError(
        `namespace "${namespace}" does not exist: create it first ("tulle apply", "kubectl create namespace")`,
      );
    const account = keyOf({ namespace, serviceAccount });
    const revoked = this.#revoked.get(account);
    if (!revoked || this.#isExpired(revoked)) return;
    // Read with the revocation: the ServiceAccount that is deleted may be of the same second, and still be found.
    const isDeleting = this.#deletions.has(account);
    const key = { group: '', plural: 'serviceaccounts', namespace, name: serviceAccount };
    const created = (await this.#store.get(key))?.metadata.creationTimestamp;
    if (!isDeleting && created !== undefined && Date.parse(created) >= revoked.since) {
      // Deleting that ServiceAccount revokes the account again. Where this is not recorded, the next check finds the same.
      this.#forget(revoked).catch(() => {});
      return;
    }
    throw new AccountError(
      `service account "${serviceAccount}" of namespace "${namespace}" was revoked at ${new Date(revoked.since).toISOString()}: create the ServiceAccount again to allow it`,
    );
  }

  /** Takes the account back, by command: also one whose ServiceAccount was made in this second. */
  revoke(claim: JoinClaim): Promise<void> {
    return this.#add(claim, Math.floor(this.#now() / 1000) * 1000 + 1000);
  }

  /**
   * Deletes the account's ServiceAccount: the account is revoked first, durably, so that a crash in between leaves it
   * revoked. Where that or the deletion fails, what held before holds again. Deletions of one account run one after the other.
   */
  async whileDeleting<T>(claim: JoinClaim, deletion: () => Promise<T>): Promise<T> {
    const key = keyOf(claim);
    const before = this.#deletions.get(key) ?? Promise.resolve();
    const run = () => this.#revokeAndDelete(claim, deletion);
    const deleted = before.then(run, run);
    this.#deletions.set(key, deleted);
    try {
      return await deleted;
    } finally {
      if (this.#deletions.get(key) === deleted) this.#deletions.delete(key);
    }
  }

  async #revokeAndDelete<T>(claim: JoinClaim, deletion: () => Promise<T>): Promise<T> {
    const { namespace, serviceAccount } = claim;
    const key = keyOf(claim);
    const before = this.#revoked.get(key);
    // Timestamps of resources are of whole seconds.
    const since = Math.max(before?.since ?? 0, Math.floor(this.#now() / 1000) * 1000);
    const revocation = { namespace, serviceAccount, since };
    this.#set(revocation);
    try {
      await this.#record(revocation);
      return await deletion();
    } catch (error) {
      // A revocation by command that came in the meantime stays.
      if (this.#revoked.get(key) === revocation) {
        if (before) this.#revoked.set(key, before);
        else this.#revoked.delete(key);
        await this.#record({ namespace, serviceAccount, since: before?.since });
      }
      throw error;
    }
  }

  list(): readonly Revocation[] {
    this.#forgetExpired();
    return [...this.#revoked.values()];
  }

  #add({ namespace, serviceAccount }: JoinClaim, since: number): Promise<void> {
    const revocation = { namespace, serviceAccount, since };
    this.#set(revocation);
    return this.#record(revocation);
  }

  /** What another control plane has recorded. */
  #take(changes: readonly RevocationChange[]): void {
    for (const { since, ...account } of changes) {
      if (this.#revoked.get(keyOf(account))?.since === since) continue;
      if (since === undefined) this.#revoked.delete(keyOf(account));
      else this.#set({ ...account, since });
    }
  }

  /** The last made is the last. */
  #set(revocation: Revocation): void {
    this.#forgetExpired();
    const key = keyOf(revocation);
    this.#revoked.delete(key);
    this.#revoked.set(key, revocation);
  }

  /** Unless it was replaced meanwhile. */
  async #forget(revoked: Revocation): Promise<void> {
    if (this.#revoked.get(keyOf(revoked)) !== revoked) return;
    this.#revoked.delete(keyOf(revoked));
    await this.#record({ ...revoked, since: undefined });
  }

  #isExpired({ since }: Revocation): boolean {
    return since < this.#now() - GIVEN_MS;
  }

  /** Those that were made first come first. The file is rid of them when it is written whole. */
  #forgetExpired(): void {
    for (const [key, revocation] of this.#revoked) {
      if (!this.#isExpired(revocation)) return;
      this.#revoked.delete(key);
    }
  }

  /** One write after the other. The changes that come while one is under way share the next; a failure does not stop it. */
  #record(change: RevocationChange): Promise<void> {
    this.#pending.push(change);
    if (!this.#next) {
      this.#next = this.#saving
        .catch(() => {})
        .then(() => {
          const changes = this.#pending;
          this.#pending = [];
          this.#next = undefined;
          return this.#revocations.record(changes, () => this.list());
        });
      this.#saving = this.#next;
    }
    return this.#next;
  }
}

const keyOf = ({ namespace, serviceAccount }: JoinClaim): string => `${namespace}/${serviceAccount}`;
