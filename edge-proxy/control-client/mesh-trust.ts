/**
 * Whom this proxy trusts, as the control plane says: certificates that are revoked, and the mesh's roots. Revocations are kept
 * on disk, so that a proxy that starts while the control plane is away refuses them as well.
 */
import * as z from 'zod';
import type { LogLevel } from '../../shared/log/log.ts';
import type { TrustUpdate } from '../../shared/xds/discovery.ts';
import type { Files } from '../runtime/runtime.ts';

const FILE = 'revoked.json';
const Stored = z.strictObject({ version: z.literal(1), revoked: z.record(z.string(), z.number()) });

export interface MeshTrustOptions {
  readonly files: Pick<Files, 'read' | 'writeAtomic'>;
  /** Folder of `revoked.json`. */
  readonly folder: string;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** Puts the list in force: serial numbers, lower-case hexadecimal. */
  readonly revoke: (serials: readonly string[]) => void;
  /** Puts other roots in force, PEM. @throws Error where they cannot be used */
  readonly trust: (trustBundle: string) => Promise<void>;
  readonly log: (line: string, level?: LogLevel) => void;
}

export class MeshTrust {
  readonly #options: MeshTrustOptions;
  readonly #path: string;
  /** Serial number -> when the certificate ends, milliseconds since the epoch. */
  #revoked = new Map<string, number>();
  #version: string | undefined;

  constructor(options: MeshTrustOptions) {
    this.#options = options;
    this.#path = `${options.folder.replace(/\/+$/, '')}/${FILE}`;
  }

  /** What is in force; undefined before the control plane has said it. */
  get version(): string | undefined {
    return this.#version;
  }

  /** Puts in force what the disk has. A file that cannot be read is logged: the control plane sends the whole list. */
  async restore(): Promise<void> {
    try {
      const bytes = await this.#options.files.read(this.#path);
      if (!bytes) return;
      const { revoked } = Stored.parse(JSON.parse(new TextDecoder().decode(bytes)));
      this.#revoked = new Map(Object.entries(revoked));
      this.#putInForce();
    } catch {
      this.#options.log(
        `${this.#path} cannot be read: revoked certificates are unknown until the control plane is reached`,
      );
    }
  }

  /** @throws Error in one line where the roots cannot be used: nothing is acknowledged then */
  async take({ version, whole, revoked = [], trustBundle }: TrustUpdate): Promise<void> {
    if (whole) this.#revoked = new Map();
    for (const { serial, notAfter } of revoked) this.#revoked.set(serial, notAfter);
    // At once: what follows may wait for the disk.
    this.#putInForce();
    if (trustBundle) await this.#options.trust(trustBundle);
    if (whole || revoked.length > 0) await this.#save();
    this.#version = version;
  }

  #putInForce(): void {
    const now = this.#options.now();
    for (const [serial, notAfter] of this.#revoked) if (now > notAfter) this.#revoked.delete(serial);
    this.#options.revoke([...this.#revoked.keys()]);
  }

  async #save(): Promise<void> {
    const text = JSON.stringify({ version: 1, revoked: Object.fromEntries(this.#revoked) } satisfies z.infer<
      typeof Stored
    >);
    try {
      await this.#options.files.writeAtomic(this.#path, new TextEncoder().encode(text), 0o600);
    } catch (error) {
      this.#options.log(`revoked certificates are not kept on disk: ${(error as Error).message}`);
    }
  }
}
