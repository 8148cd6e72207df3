/** What a bare machine downloads to join: the installer script, the package, and the single executables. No secrets. */
import { createHash } from 'node:crypto';
import { createReadStream, existsSync, type ReadStream, readFileSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { Hono } from 'hono';
import {
  INSTALL_MANIFEST,
  INSTALL_PATH,
  type InstallFile,
  type InstallListing,
  InstallManifest,
  SCRIPT_FILE,
} from '../../shared/install/install-files.ts';
import type { ApiEnv } from './caller.ts';
import { installScript } from './install-script.ts';
import { ApiError, respondToError } from './resources/status.ts';
import { networkOf } from './server/connection-limits.ts';

/**
 * A machine downloads once; more at a time than this wait, so that anonymous callers cannot take all of the bandwidth. Of one
 * source (an IPv4 address or an IPv6 /64) a quarter of it, so that none keeps the others from it.
 */
const MAX_DOWNLOADS = 32;
const MAX_OF_SOURCE = 8;
/** A download that takes nothing for so long has ended. */
const STALLED_MS = 30_000;
const NOT_BUILT =
  'this control plane runs from source and has nothing to install: run "npm run build" there and restart it, or install tulle on the machine and use "tulle invite --installed"';

export interface InstallRoutesOptions {
  /** The folder that `npm run build` filled; undefined: there is none. */
  readonly folder: string | undefined;
  readonly report: (error: unknown) => void;
  /** Default: STALLED_MS. */
  readonly stalledMs?: number;
}

/**
 * Anonymous: who downloads verifies by digest, since the line of `tulle invite` holds that of the script.
 *
 * - `GET /install` -> {script: {name, sha256, bytes}, files: [{name, sha256, bytes}]}
 * - `GET /install/join.sh`, `GET /install/FILE`
 *
 * Without a build all of them answer 404 and say how to make one.
 * @throws Error where the folder's manifest is not one
 */
export function installRoutes({ folder, report, stalledMs = STALLED_MS }: InstallRoutesOptions): Hono<ApiEnv> {
  const built = folder === undefined ? undefined : readBuild(folder);
  const app = new Hono<ApiEnv>();
  app.onError(respondToError(report));
  const downloads: string[] = [];

  app.get(INSTALL_PATH, (c) => c.json(needed(built).listing));

  app.get(`${INSTALL_PATH}/${SCRIPT_FILE}`, (c) => {
    c.header('content-type', 'text/x-shellscript; charset=utf-8');
    return c.body(needed(built).script);
  });

  app.get(`${INSTALL_PATH}/:name`, async (c) => {
    const { files, path } = needed(built);
    const file = files.find(({ name }) => name === c.req.param('name'));
    if (!file) throw new ApiError(404, 'NotFound', `there is no ${c.req.param('name')} to install`);
    const from = join(path, file.name);
    if ((await stat(from)).size !== file.bytes)
      throw new Error(`${from}: has another size than ${INSTALL_MANIFEST} says; run "npm run build" again`);
    const headers = { 'content-type': 'application/octet-stream', 'content-length': String(file.bytes) };
    // Its answer has no body: a file that was opened for it would never be closed.
    if (c.req.method === 'HEAD') return c.body(null, 200, headers);
    const source = networkOf(c.env?.remoteAddress ?? '');
    if (downloads.length >= MAX_DOWNLOADS || downloads.filter((one) => one === source).length >= MAX_OF_SOURCE) {
      c.header('retry-after', '2');
      throw new ApiError(503, 'ServiceUnavailable', 'too many downloads at a time: attempt it again');
    }
    downloads.push(source);
    const content = createReadStream(from);
    endWhenStalled(content, stalledMs);
    content.once('close', () => downloads.splice(downloads.indexOf(source), 1));
    return c.body(Readable.toWeb(content) as ReadableStream, 200, headers);
  });
  return app;
}

function endWhenStalled(content: ReadStream, stalledMs: number): void {
  let before = -1;
  const timer = setInterval(() => {
    if (content.bytesRead === before) content.destroy(new Error('the download stalled'));
    before = content.bytesRead;
  }, stalledMs);
  timer.unref();
  content.once('close', () => clearInterval(timer));
}

interface Build {
  readonly path: string;
  readonly script: string;
  readonly files: readonly InstallFile[];
  readonly listing: InstallListing;
}

/** @returns undefined where nothing was built */
function readBuild(path: string): Build | undefined {
  const manifest = join(path, INSTALL_MANIFEST);
  if (!existsSync(manifest)) return undefined;
  const parsed = InstallManifest.safeParse(JSON.parse(readFileSync(manifest, 'utf8')));
  if (!parsed.success) throw new Error(`${manifest}: is not what "npm run build" writes; run it again`);
  const { files } = parsed.data;
  const script = installScript(files);
  const sha256 = createHash('sha256').update(script).digest('hex');
  const listing = { script: { name: SCRIPT_FILE, sha256, bytes: Buffer.byteLength(script) }, files };
  return { path, script, files, listing };
}

function needed(built: Build | undefined): Build {
  if (built) return built;
  throw new ApiError(404, 'NotFound', NOT_BUILT);
}
