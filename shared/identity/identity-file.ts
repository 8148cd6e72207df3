/** `identity.json` in a proxy's data folder: key, certificate and roots in one file, so that they always belong together. */
import * as z from 'zod';

export const IDENTITY_FILE = 'identity.json';

const Stored = z.strictObject({
  version: z.literal(1),
  /** PKCS#8, PEM. */
  privateKey: z.string(),
  /** PEM, leaf first. */
  certificateChain: z.string(),
  /** PEM roots. */
  trustBundle: z.string(),
});
export type StoredIdentity = Omit<z.infer<typeof Stored>, 'version'>;

export function formatIdentity({ privateKey, certificateChain, trustBundle }: StoredIdentity): string {
  return JSON.stringify({ version: 1, privateKey, certificateChain, trustBundle } satisfies z.infer<typeof Stored>);
}

/** @throws Error that quotes nothing of the text: it may hold the key */
export function parseIdentity(text: string): StoredIdentity {
  try {
    return Stored.parse(JSON.parse(text));
  } catch {
    throw new Error('the file is corrupt');
  }
}
