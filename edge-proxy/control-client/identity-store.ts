/** The proxy's identity on disk: one file, so that key, certificate and trust bundle always belong together. */
import { decodeCertificates, readCertificate } from '../../shared/identity/certificate.ts';
import {
  formatIdentity,
  IDENTITY_FILE,
  parseIdentity,
  type StoredIdentity,
} from '../../shared/identity/identity-file.ts';
import { importPrivateKey, keyMatches } from '../../shared/identity/keys.ts';
import { identityOf } from '../../shared/identity/svid-identity.ts';
import type { Files, KeyPair } from '../runtime/runtime.ts';
import { readRoots, trustedPath } from '../x509/trusted-path.ts';

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
 * @param mayHaveExpired they have to have been valid until the certificate's end
 * @throws Error saying what does not; never with key material
 */
export async function checkIdentity(
  keyPair: KeyPair,
  trustBundle: string,
  now: number,
  mayHaveExpired = false,
): Promise<Identity> {
  const chain = decodeCertificates(keyPair.certificateChain);
  // The strict form: no other blocks, none that is broken.
  decodeCertificates(trustBundle);
  const end = mayHaveExpired ? readCertificate(chain[0]!).notAfter : Number.POSITIVE_INFINITY;
  const path = trustedPath(chain, readRoots(trustBundle), 'client', Math.min(now, end)).map(({ facts }) => facts);
  const leaf = path[0]!;
  const { spiffeId } = identityOf(path, undefined);
  const privateKey = await importPrivateKey(keyPair.privateKey).catch(() => {
    throw new Error('the private key cannot be read');
  });
  if (!(await keyMatches(privateKey, leaf.publicKey))) throw new Error('the private key is of another certificate');
  return { keyPair, trustBundle, spiffeId, notBefore: leaf.notBefore, notAfter: leaf.notAfter };
}

export class IdentityStore {
  readonly path: string;
  readonly #files: Files;
  readonly #folder: string;

  constructor(files: Files, folder: string) {
    this.#files = files;
    this.#folder = folder;
    this.path = `${folder.replace(/\/+$/, '')}/${IDENTITY_FILE}`;
  }

  /**
   * @returns undefined when there is none; it may have expired
   * @throws Error when it is corrupt, not valid yet, or does not fit together
   */
  async load(now: number): Promise<Identity | undefined> {
    const bytes = await this.#files.read(this.path);
    if (!bytes) return undefined;
    const { privateKey, certificateChain, trustBundle } = parse(bytes);
    return checkIdentity({ privateKey, certificateChain }, trustBundle, now, true);
  }

  /** Durable when the promise resolves; mode 0600 in a folder of 0700. */
  async save({ keyPair, trustBundle }: Identity): Promise<void> {
    const { privateKey, certificateChain } = keyPair;
    const text = formatIdentity({ privateKey, certificateChain, trustBundle });
    await this.#files.makeFolder(this.#folder, 0o700);
    await this.#files.writeAtomic(this.path, new TextEncoder().encode(text), 0o600);
  }
}

function parse(bytes: Uint8Array): StoredIdentity {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new Error('the file is corrupt');
  }
  return parseIdentity(text);
}
