/** A backup of the whole mesh over HTTP, for administrators: it holds the keys of the authority. */
import { Hono } from 'hono';
import type { ResourceStore } from '../../store/store.ts';
import { permission } from '../access/permission.ts';
import type { ApiEnv } from '../caller.ts';
import { respondToError } from '../resources/status.ts';
import { folderFiles } from './folder-files.ts';
import { BACKUP_VERSION, type BackupLine, sealed } from './lines.ts';

export interface BackupRoutesOptions {
  readonly store: Pick<ResourceStore, 'dump'>;
  /** The data folder. */
  readonly folder: string;
  /** Which names in it are of the control plane. */
  readonly isOwn: (name: string) => boolean;
  readonly trustDomain: string;
  /** Of Tulle. */
  readonly version: string;
  readonly report?: (error: unknown) => void;
}

/** `POST /v1/backup` -> lines of JSON (lines.ts), not encrypted: `tulle backup` encrypts them before they are written. */
export function backupRoutes(options: BackupRoutesOptions): Hono<ApiEnv> {
  const { report = () => {} } = options;
  const app = new Hono<ApiEnv>();
  app.onError(respondToError(report));
  app.post('/v1/backup', permission('create', 'backups'), async (c) => {
    const lines = sealed(await backupLines(options));
    const encoder = new TextEncoder();
    const body = new ReadableStream<Uint8Array>({
      async pull(controller) {
        try {
          const { value, done } = await lines.next();
          if (done) controller.close();
          else controller.enqueue(encoder.encode(value));
        } catch (error) {
          report(error);
          controller.error(error);
        }
      },
      cancel: async () => void (await lines.return(undefined)),
    });
    return c.body(body, 200, { 'content-type': 'application/x-ndjson', 'cache-control': 'no-store' });
  });
  return app;
}

/** Files and, in an embedded store, resources are of one moment. */
async function backupLines(options: BackupRoutesOptions): Promise<AsyncGenerator<BackupLine>> {
  const { store, folder, isOwn, trustDomain, version } = options;
  const dumping = store.dump();
  const files = folderFiles(folder, isOwn);
  const { revision, records } = await dumping;
  const created = new Date().toISOString();
  return (async function* () {
    yield { kind: 'backup', version: BACKUP_VERSION, created, tulle: version, trustDomain, revision };
    yield* files;
    yield* records;
  })();
}
