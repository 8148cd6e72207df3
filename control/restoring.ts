/** A data folder whose restore has begun and not ended. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';

/** The file in it that says so. */
export const RESTORING = '.restoring';

/** @throws Error with the remedy */
export function mustBeRestored(folder: string): void {
  if (existsSync(join(folder, RESTORING)))
    throw new Error(`data folder ${folder}: its restore has not ended; run "tulle restore" again, with --force`);
}
