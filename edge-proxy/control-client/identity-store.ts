/** The proxy's identity on disk: one file, so that key, certificate and trust bundle always belong together. */
import * as z from 'zod';
import { importPrivateKey, keyMatchesCertificate } from '../../shared/identity/keys.ts';
import { parseCertificates, parseSvid } from '../../shared/identity/svid.ts';
import { verifyChain } from '../../shared/identity/verify.ts';
import type { Files, KeyPair } from '../runtime/runtime.ts';

const FILE = 'identity.json';
const Stored = z.strictObject({
  version: z.literal(1),
  privateKey: z.string(),
  certificateChain: z.string(),
  trustBundle: z.string(),
});

/** What a proxy is and whom it trusts. Immutable; a rotation makes a new one. */
export interface Identity {
  readonly keyPair: KeyPair;
  /** PEM roots. */
  readonly trustBundle: string;
  readonly spiffeId: string;
  /** Milliseconds since the epoch. */
  readonly notBefore: number;
  readonly notAfter: number;
}

/**
 * Checks that key, chain and bundle fit together and are valid at `now` (milliseconds since the epoch).
 * @throws Error saying what does not; never with key material
 */
export async function checkIdentity(keyPair: KeyPair, trustBundle: string, now: number): Promise<Identity> {
  const svid = parseSvid(keyPair.certificateChain);
  const roots = parseCertificates(trustBundle);
  const { spiffeId } = await verifyChain({ chain: svid.der, roots, now, purpose: 'client' });
  const privateKey = await importPrivateKey(keyPair.privateKey).catch(() => {
    throw new Error('the private key cannot be read');
  });
  if (!(await keyMatchesCertificate(privateKey, svid.chain[0]!)))
    throw new Error('the private key is of another certificate');
  return { keyPair, trustBundle, spiffeId, notBefore: svid.notBefore, notAfter: svid.notAfter };
}

export class IdentityStore {
  readonly path: string;
  readonly #files: Files;
  readonly #folder: string;

  constructor(files: Files, folder: string) {
    this.#files = files;
    this.#folder = folder;
    this.path = `${folder.replace(/\/+$/, '')}/${FILE}`;
  }

  /** @returns undefined when there is none @throws Error when it is corrupt, expired, or does not fit together */
  async load(now: number): Promise<Identity | undefined> {
    const bytes = await this.#files.read(this.path);
    if (!bytes) return undefined;
    const { privateKey, certificateChain, trustBundle } = parse(bytes);
    return checkIdentity({ privateKey, certificateChain }, trustBundle, now);
  }

  /** Durable when the promise resolves; mode 0600 in a folder of 0700. */
  async save({ keyPair, trustBundle }: Identity): Promise<void> {
    const { privateKey, certificateChain } = keyPair;
    const text = JSON.stringify({ version: 1, privateKey, certificateChain, trustBundle } satisfies z.infer<
      typeof Stored
    >);
    await this.#files.makeFolder(this.#folder, 0o700);
    await this.#files.writeAtomic(this.path, new TextEncoder().encode(text), 0o600);
  }
}

function parse(bytes: Uint8Array): z.infer<typeof Stored> {
  try {
    return Stored.parse(JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)));
  } catch {
    // The parser's own words could quote the key.
    throw new Error('the file is corrupt');
  }
}
