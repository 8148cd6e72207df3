/** The files of a data folder as they are at one moment. */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { BackupLine } from './lines.ts';

/** Resources are dumped by themselves, audit logs are no state; names that begin with a dot are of writes and restores under way. */
const LEFT_OUT = /^(resources\.sqlite.*|audit[^/]*\.log|\..*|lost\+found)$/;

/**
 * @param isOwn of a name in the folder itself: others, as an audit log, are no part of the mesh
 *
 * Read without a turn of the event loop: all writers of the folder are of this process, so that the files are as a loss of power at this
 * moment would leave them, which every one of them is made to survive. Databases come with their write-ahead logs.
 */
export function folderFiles(folder: string, isOwn: (name: string) => boolean): Extract<BackupLine, { kind: 'file' }>[] {
  const files: Extract<BackupLine, { kind: 'file' }>[] = [];
  const visit = (below: string) => {
    for (const entry of readdirSync(join(folder, below), { withFileTypes: true })) {
      if (LEFT_OUT.test(entry.name) || (below === '' && !isOwn(entry.name))) continue;
      const path = below === '' ? entry.name : `${below}/${entry.name}`;
      if (entry.isDirectory()) visit(path);
      else if (entry.isFile()) {
        const mode = statSync(join(folder, path)).mode & 0o777;
        files.push({ kind: 'file', path, mode, data: readFileSync(join(folder, path)).toString('base64') });
      }
    }
  };
  visit('');
  return files;
}
