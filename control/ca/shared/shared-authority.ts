/**
 * The authority of several control planes: they share the roots and their rotation, and each signs with an intermediate of its own, whose
 * key never leaves its machine.
 */
import { join } from 'node:path';
import * as z from 'zod';
import { changeRecord, type SharedState } from '../../store/state/state.ts';
import { openIntermediate, pem, readRoot, renewIntermediate } from '../authority-files.ts';
import { makePrivateFolder, writeDurably } from '../files.ts';
import { createRoot, exportIssuerKey, type Issuer } from '../key-material.ts';
import type { AuthorityPlace } from '../rotation/authority-place.ts';
import { parseRotation, RotationError, rotationText } from '../rotation/rotation-state.ts';

const ROTATION = 'ca/rotation';
const rootKey = (name: string): string => `ca/roots/${name === '.' ? 'first' : name}`;
const StoredRoot = z.strictObject({ certificate: z.string(), key: z.string() });

/** @param folder of the intermediates, and of `root-cert.pem` for users; made when absent, 0700 */
export function sharedAuthority(state: SharedState, folder: string, trustDomain: string): AuthorityPlace {
  /** That of the rotation when it was read. */
  let revision = 0;
  return {
    async read() {
      const entry = await state.fetch(ROTATION);
      revision = entry?.revision ?? 0;
      return parseRotation(entry?.text, ROTATION);
    },
    async write(next) {
      const written = await state.commit([{ key: ROTATION, text: rotationText(next), expected: revision }]);
      if (written === undefined)
        throw new RotationError('another control plane has taken a step of the rotation: see "tulle ca show"');
      revision = written;
    },
    async open(name, now) {
      return openIntermediate(join(folder, name), await openRoot(state, name, trustDomain, now), trustDomain, now);
    },
    renew: (name, root, now) => renewIntermediate(join(folder, name), root, trustDomain, now),
    // What was never trusted may be used by the next rotation, or be in use by one that another control plane begins.
    async clear() {},
    async remove(name) {
      await state.commit([{ key: rootKey(name), text: undefined }]);
    },
    async publish(bundle) {
      await makePrivateFolder(folder);
      await writeDurably(join(folder, 'root-cert.pem'), bundle, 0o644);
    },
    onChange: (changed) => void state.onChange('ca', changed),
  };
}

/** The root of a name; of control planes that make it at once, the first one's. */
async function openRoot(state: SharedState, name: string, trustDomain: string, now: number): Promise<Issuer> {
  const key = rootKey(name);
  const made = (await state.fetch(key)) ? undefined : await rootText(await createRoot(trustDomain, now));
  const entry = await changeRecord(state, key, (found) => (found ? undefined : made));
  const parsed = StoredRoot.safeParse(JSON.parse(entry?.text ?? 'null'));
  if (!parsed.success) throw new Error(`${key} of the store is not a root: restore it from a backup`);
  return readRoot(`store ${key}`, parsed.data, now);
}

/** As it is kept. */
export async function rootText({ certificate, key }: Issuer): Promise<string> {
  return JSON.stringify({ certificate: pem(certificate), key: await exportIssuerKey(key) });
}

/** Puts the root of an authority in files into an empty store. */
export async function shareRoot(state: SharedState, root: Issuer): Promise<void> {
  await state.commit([{ key: rootKey('.'), text: await rootText(root), expected: 0 }]);
}
