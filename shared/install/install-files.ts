/** What a control plane serves for bare machines: files, and their digests, which the installer script holds. */
import * as z from 'zod';

/** Names of files in the folder `install` of a built package. */
export const INSTALL_MANIFEST = 'manifest.json';
export const PACKAGE_FILE = 'tulle.tgz';
export const EXECUTABLE_TARGETS = ['linux-x64', 'linux-arm64'] as const;
export type ExecutableTarget = (typeof EXECUTABLE_TARGETS)[number];
export const executableFile = (target: ExecutableTarget): string => `tulle-${target}`;

/** Where the control plane serves them. */
export const INSTALL_PATH = '/install';
export const SCRIPT_FILE = 'join.sh';

const Digest = z.string().regex(/^[0-9a-f]{64}$/);

export const InstallFile = z.strictObject({
  name: z.string().regex(/^[a-z0-9][a-z0-9.-]{0,63}$/),
  /** SHA-256, lower-case hexadecimal. */
  sha256: Digest,
  bytes: z.int().positive(),
});
export type InstallFile = z.infer<typeof InstallFile>;

/** `manifest.json`, as `npm run build` writes it. */
export const InstallManifest = z.strictObject({
  version: z.string().max(64),
  files: z.array(InstallFile).min(1).max(8),
});
export type InstallManifest = z.infer<typeof InstallManifest>;

/** `GET /install`: the digest of the script, which the line of `tulle invite` holds, and of the files that the script holds. */
export const InstallListing = z.object({ script: InstallFile, files: z.array(InstallFile) });
export type InstallListing = z.infer<typeof InstallListing>;
