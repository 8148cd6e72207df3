/**
 * Revocations on disk: a journal of lines. The first is the list of all revocations at the time of the last compaction, each of
 * the others one change. A file of one line is what earlier versions wrote.
 */
import { open } from 'node:fs/promises';
import * as z from 'zod';
import type { Revocation, RevocationChange, RevocationStore } from './accounts.ts';
import { readIfPresent, writeDurably } from './files.ts';

const Account = { namespace: z.string(), serviceAccount: z.string() };
const StoredRevocation = z.strictObject({ ...Account, since: z.number() });
const StoredList = z.array(StoredRevocation);
const StoredChange = z.strictObject({ ...Account, since: z.number().nullable() });

/** The file is compacted when it has more changes than revocations, and more than this. */
const MAX_CHANGES = 1000;

export function fileRevocationStore(path: string): RevocationStore {
  /** Changes that the file holds; undefined: it has to be written whole first. */
  let changes: number | undefined;
  return {
    async load() {
      const text = await readIfPresent(path);
      if (text === undefined) return [];
      try {
        return readJournal(text);
      } catch {
        throw new Error(
          `${path} is not a list of revocations: restore it from a backup, or remove it to revoke nothing`,
        );
      }
    },
    async record(made, all) {
      const mayAppend = changes !== undefined && changes + made.length <= Math.max(MAX_CHANGES, all().length);
      const held = changes;
      changes = undefined;
      if (mayAppend) await append(path, made);
      else await writeDurably(path, `${JSON.stringify(all())}\n`);
      changes = mayAppend ? held! + made.length : 0;
    },
  };
}

/** A change whose write was cut short was never acknowledged. @throws where anything else is not as it was written */
function readJournal(text: string): readonly Revocation[] {
  const [first = '', ...lines] = text.split('\n');
  const revoked = new Map(StoredList.parse(JSON.parse(first)).map((one) => [keyOf(one), one]));
  for (const line of lines.slice(0, -1)) {
    const { since, ...account } = StoredChange.parse(JSON.parse(line));
    if (since === null) revoked.delete(keyOf(account));
    else revoked.set(keyOf(account), { ...account, since });
  }
  return [...revoked.values()];
}

async function append(path: string, changes: readonly RevocationChange[]): Promise<void> {
  const lines = changes.map(
    ({ namespace, serviceAccount, since }) =>
      `${JSON.stringify({ namespace, serviceAccount, since: since ?? null })}\n`,
  );
  // Without O_CREAT: a file that was removed meanwhile must not come back with these changes alone.
  const file = await open(path, 'r+');
  try {
    const text = Buffer.from(lines.join(''));
    const { bytesWritten } = await file.write(text, 0, text.length, (await file.stat()).size);
    // A write that the disk has no room for may end early without an error.
    if (bytesWritten < text.length) throw new Error(`only ${bytesWritten} of ${text.length} bytes were written`);
    await file.sync();
  } catch (error) {
    throw new Error(`cannot write ${path}: ${(error as Error).message}`, { cause: error });
  } finally {
    await file.close();
  }
}

const keyOf = ({ namespace, serviceAccount }: { namespace: string; serviceAccount: string }): string =>
  `${namespace}/${serviceAccount}`;
