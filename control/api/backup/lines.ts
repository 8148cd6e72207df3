/** A backup as lines of JSON, of which the last is a seal over all others: a half one is noticed. */
import { createHash } from 'node:crypto';
import type { DumpRecord } from '../../store/dump/dump.ts';

export const BACKUP_VERSION = 1;

export type BackupLine =
  | {
      kind: 'backup';
      version: typeof BACKUP_VERSION;
      /** RFC 3339. */
      created: string;
      /** Of Tulle. */
      tulle: string;
      trustDomain: string;
      /** Of the store. */
      revision: number;
    }
  /** Of the data folder: path with `/`, bytes in base64. */
  | { kind: 'file'; path: string; mode: number; data: string }
  | DumpRecord
  | { kind: 'end'; lines: number; sha256: string };

/** Adds the last line. */
export async function* sealed(lines: Iterable<BackupLine> | AsyncIterable<BackupLine>): AsyncGenerator<string> {
  const hash = createHash('sha256');
  let count = 0;
  for await (const line of lines) {
    const text = `${JSON.stringify(line)}\n`;
    hash.update(text);
    count++;
    yield text;
  }
  yield `${JSON.stringify({ kind: 'end', lines: count, sha256: hash.digest('hex') } satisfies BackupLine)}\n`;
}

/** The lines before the last one. @throws Error where it is cut off, was changed, or is of another version */
export async function* opened(texts: AsyncIterable<string>): AsyncGenerator<Exclude<BackupLine, { kind: 'end' }>> {
  const hash = createHash('sha256');
  let count = 0;
  let ended = false;
  for await (const text of texts) {
    if (ended) throw new Error('the backup continues after its end');
    const line = JSON.parse(text) as BackupLine;
    if (line.kind === 'end') {
      if (line.lines !== count || line.sha256 !== hash.digest('hex'))
        throw new Error('the checksum of the backup is wrong');
      ended = true;
      continue;
    }
    if (count === 0 && (line.kind !== 'backup' || line.version !== BACKUP_VERSION))
      throw new Error(`not a backup of version ${BACKUP_VERSION}`);
    hash.update(`${text}\n`);
    count++;
    yield line;
  }
  if (!ended) throw new Error('the backup is cut off');
}
