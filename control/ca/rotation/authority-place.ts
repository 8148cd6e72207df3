/** Where an authority keeps its roots, the intermediate that it signs with, and how far a change of roots has come. */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type AuthorityMaterial, openMaterial, renewIntermediate } from '../authority-files.ts';
import { writeDurably } from '../files.ts';
import type { Issuer } from '../key-material.ts';
import { type RotationState, readRotation, writeRotation } from './rotation-state.ts';

/** Authorities have names: `.` is the first one, those of rotations are `root-2`, `root-3` … */
export interface AuthorityPlace {
  read(): Promise<RotationState>;
  /** Durable when the promise resolves. @throws RotationError: another control plane has changed it since `read` */
  write(state: RotationState): Promise<void>;
  /** Opens an authority, or makes one. @param now milliseconds since the epoch @throws AuthorityError */
  open(name: string, now: number): Promise<AuthorityMaterial>;
  /** A fresh intermediate. */
  renew(name: string, root: Issuer, now: number): Promise<AuthorityMaterial>;
  /** Before an authority is made: removes what a rotation that was cut short left of it, which was never trusted. */
  clear(name: string): Promise<void>;
  /** It is trusted no more. */
  remove(name: string): Promise<void>;
  /** Writes the roots that are trusted, PEM, where users take them from. */
  publish(bundle: string): Promise<void>;
  /** Calls back when another control plane has changed what `read` returns. */
  onChange?(changed: () => void): void;
}

/** A folder of one control plane. */
export function authorityFolder(folder: string, trustDomain: string): AuthorityPlace {
  return {
    read: () => readRotation(folder),
    write: (state) => writeRotation(folder, state),
    open: (name, now) => openMaterial(join(folder, name), trustDomain, now),
    renew: (name, root, now) => renewIntermediate(join(folder, name), root, trustDomain, now),
    clear: (name) => rm(join(folder, name), { recursive: true, force: true }),
    async remove(name) {
      if (name !== '.') return rm(join(folder, name), { recursive: true, force: true });
      for (const file of ['root-key.pem', 'ca-key.pem', 'ca-cert.pem', 'cert-chain.pem'])
        await rm(join(folder, file), { force: true });
    },
    publish: (bundle) => writeDurably(join(folder, 'root-cert.pem'), bundle, 0o644),
  };
}
