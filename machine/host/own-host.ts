/** This machine, by node:fs and node:child_process, which Node, Bun and Deno have. */
import { execFile } from 'node:child_process';
import { access, chmod, lchown, mkdir, open, readdir, readFile, rename, rm, rmdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import process from 'node:process';
import { type Host, HostError, type Ran } from './host.ts';
import { idsOf } from './passwd.ts';

const COMMAND_LIMIT_MS = 120_000;

export function ownHost(): Host {
  const run = (command: readonly string[]): Promise<Ran> =>
    new Promise((done) => {
      const [program, ...args] = command;
      const options = { timeout: COMMAND_LIMIT_MS, maxBuffer: 16 << 20, encoding: 'utf8' } as const;
      const child = execFile(program!, args, options, (failure, out, error) => {
        const code = failure ? (typeof failure.code === 'number' ? failure.code : 127) : 0;
        done({ code, out, error: error || (failure && code === 127 ? failure.message : '') });
      });
      child.stdin?.end();
    });
  const own = async (path: string, owner: string | undefined) => {
    if (owner === undefined) return;
    const known = idsOf(await readFile('/etc/passwd', 'utf8').catch(() => ''), owner);
    if (known) return await lchown(path, known.uid, known.gid).catch(inTheWay(path));
    const { code, error } = await run(['chown', '-h', `${owner}:${owner}`, path]);
    if (code !== 0) throw new HostError(`${path}: cannot be given to user ${owner}: ${error.trim()}`);
  };
  return {
    uid: process.getuid?.() ?? -1,
    run,
    read: (path) => readFile(path, 'utf8').catch(absent),
    async write(path, text, mode, owner) {
      const temporary = `${path}.${process.pid}.new`;
      const file = await open(temporary, 'wx', mode).catch(inTheWay(path));
      try {
        await file.writeFile(text);
        await file.chmod(mode);
        await file.sync();
        await file.close();
        await own(temporary, owner);
        await rename(temporary, path);
      } catch (error) {
        // The first error is the one to report.
        await file.close().catch(() => {});
        await rm(temporary, { force: true });
        throw error;
      }
    },
    async makeFolder(path, mode, owner) {
      await mkdir(dirname(path), { recursive: true }).catch(inTheWay(path));
      try {
        await mkdir(path, mode);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'EEXIST') return;
        inTheWay(path)(error as Error);
      }
      await chmod(path, mode);
      await own(path, owner);
    },
    exists: (path) =>
      access(path).then(
        () => true,
        () => false,
      ),
    remove: (path) => rm(path, { recursive: true, force: true }).catch(unlessEmptyMount(path)),
    // A folder with other files in it stays.
    removeEmptyFolder: (path) => rmdir(path).catch(() => {}),
  };
}

function absent(error: NodeJS.ErrnoException): undefined {
  if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return undefined;
  throw new HostError(`${error.path}: ${error.message}`);
}

/** The mount point of a volume stays when its files are removed. */
const unlessEmptyMount = (path: string) => async (error: NodeJS.ErrnoException) => {
  const isMount = error.code === 'EBUSY' || error.code === 'EROFS';
  if (!isMount || (await readdir(path).catch(() => ['?'])).length > 0) throw error;
};

const inTheWay = (path: string) => (error: Error) => {
  throw new HostError(`${path}: cannot be written: ${error.message}`);
};
