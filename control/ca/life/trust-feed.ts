/** What proxies are to trust, in versions: the mesh's roots and its revoked certificates. */
import { createHash } from 'node:crypto';
import type { TrustUpdate } from '../../../shared/xds/discovery.ts';
import type { JoinCertificate, Joins } from '../joins.ts';

/** A list that proxies may have. */
interface Version {
  readonly version: string;
  readonly serials: ReadonlySet<string>;
}

/** Versions to which what was added is known; proxies with an older one get the whole list, which is short. */
const KEPT = 64;

/** A version is a digest of what it holds: control planes that hold the same have the same one, and none resends it. */
export class TrustFeed {
  readonly #joins: Pick<Joins, 'revokedCertificates'>;
  readonly #trustBundle: () => string;
  readonly #listeners = new Set<() => void>();
  #revoked: readonly JoinCertificate[] = [];
  /** The newest last. */
  #versions: readonly Version[] = [];

  constructor(joins: Pick<Joins, 'revokedCertificates' | 'onRevoked'>, trustBundle: () => string) {
    this.#joins = joins;
    this.#trustBundle = trustBundle;
    this.#take();
    joins.onRevoked(() => this.changed());
  }

  get version(): string {
    return this.#versions.at(-1)!.version;
  }

  since(version: string | undefined): TrustUpdate {
    const known = this.#versions.find((one) => one.version === version)?.serials;
    const added = known ? this.#revoked.filter(({ serial }) => !known.has(serial)) : this.#revoked;
    const revoked = added.map(({ serial, notAfter }) => ({ serial, notAfter }));
    return { version: this.version, whole: !known, revoked, trustBundle: this.#trustBundle() };
  }

  /** Roots or revoked certificates are others now. */
  changed(): void {
    const before = this.version;
    this.#take();
    if (this.version !== before) for (const listener of this.#listeners) listener();
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Those that have expired are no longer among them. */
  #take(): void {
    this.#revoked = this.#joins.revokedCertificates();
    const serials = new Set(this.#revoked.map(({ serial }) => serial).sort());
    const hash = createHash('sha256').update(this.#trustBundle());
    for (const serial of serials) hash.update(`\0${serial}`);
    const version = hash.digest('base64url').slice(0, 22);
    const others = this.#versions.filter((one) => one.version !== version);
    this.#versions = [...others, { version, serials }].slice(-KEPT);
  }
}
