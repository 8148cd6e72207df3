/** What proxies are to trust, in versions: the mesh's roots and its revoked certificates. */
import { randomBytes } from 'node:crypto';
import type { TrustUpdate } from '../../../shared/xds/discovery.ts';
import type { JoinCertificate, Joins } from '../joins.ts';

interface Added extends JoinCertificate {
  /** The version that it came with. */
  readonly step: number;
}

/** Versions are of this process: after its restart every proxy is sent the whole list, which is short. */
export class TrustFeed {
  readonly #epoch = randomBytes(6).toString('hex');
  readonly #joins: Pick<Joins, 'revokedCertificates'>;
  readonly #trustBundle: () => string;
  readonly #listeners = new Set<() => void>();
  #step = 1;
  #added: Added[];

  constructor(joins: Pick<Joins, 'revokedCertificates' | 'onRevoked'>, trustBundle: () => string) {
    this.#joins = joins;
    this.#trustBundle = trustBundle;
    this.#added = joins.revokedCertificates().map((one) => ({ ...one, step: 1 }));
    joins.onRevoked(() => this.changed());
  }

  get version(): string {
    return `${this.#epoch}.${this.#step}`;
  }

  since(version: string | undefined): TrustUpdate {
    const [epoch, text] = version?.split('.') ?? [];
    const step = epoch === this.#epoch ? Number(text) : 0;
    const revoked = this.#added.filter((one) => one.step > step).map(({ serial, notAfter }) => ({ serial, notAfter }));
    return { version: this.version, whole: step === 0, revoked, trustBundle: this.#trustBundle() };
  }

  /** Roots or revoked certificates are others now. */
  changed(): void {
    this.#step++;
    const known = new Map(this.#added.map((one) => [one.serial, one.step]));
    // Those that have expired are no longer among them.
    this.#added = this.#joins
      .revokedCertificates()
      .map((one) => ({ ...one, step: known.get(one.serial) ?? this.#step }));
    for (const listener of this.#listeners) listener();
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}
