/**
 * `tulle run --netns`, from outside: has a holder make the namespace, and names the command that enters it. No rights are needed but
 * user namespaces: the user is root in the holder's, owns all it has, and is itself again in the command's, which is inside of that one.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import process from 'node:process';
import { createInterface } from 'node:readline';
import { CaptureError } from '../capture/capture-options.ts';
import { find } from '../capture/commands.ts';
import type { SocketsOf } from './take-sockets.ts';

const NEEDED = {
  unshare: 'install util-linux',
  nsenter: 'install util-linux',
  setpriv: 'install util-linux',
  ip: 'install iproute2',
  nft: 'install nftables',
} as const;
type Needed = keyof typeof NEEDED;

const START_MS = 60_000;

export interface Namespace {
  /** Of the holder, a child of this process. */
  readonly pid: number;
  /** Its descriptors. */
  readonly sockets: SocketsOf;
}

/**
 * Makes the namespace. Its holder is a child of this process, and ends with it, whatever program this process has become.
 * @param own how this program is started, up to the arguments of `namespace set-up`
 * @throws CaptureError with the remedy
 */
export async function makeNamespace(own: readonly string[]): Promise<Namespace> {
  const paths = programs();
  const words = ['--user', '--map-root-user', '--net', paths.setpriv, '--pdeathsig', 'TERM', '--'];
  const holder = spawn(paths.unshare, [...words, ...own, String(process.pid)], {
    // A signal of the terminal is for the command.
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const line = await firstLine(holder);
  const pid = holder.pid!;
  return { pid, sockets: Object.fromEntries(line.split(',').map((pair) => assignment(pair))) };
}

/** How `command` is started in the namespace of that process, as its own user, without rights, for as long as its parent lives. */
export function commandInside(pid: number, command: readonly string[]): string[] {
  const { nsenter, unshare, setpriv } = programs();
  const enter = [nsenter, '--preserve-credentials', '--user', '--net', '--target', String(pid), '--'];
  const be = [unshare, '--user', `--map-user=${process.getuid!()}`, `--map-group=${process.getgid!()}`, '--'];
  return [...enter, ...be, setpriv, '--no-new-privs', '--pdeathsig', 'KILL', '--', ...command];
}

function programs(): Record<Needed, string> {
  const found = Object.keys(NEEDED).map((name) => [name, find(name)] as const);
  for (const [name, path] of found)
    if (!path) throw new CaptureError(`run --netns: ${name} is not there: ${NEEDED[name as Needed]}`);
  return Object.fromEntries(found) as Record<Needed, string>;
}

const assignment = (pair: string): readonly [string, number] => {
  const [name = '', number] = pair.split('=');
  return [name, Number(number)];
};

/** @throws CaptureError with what the holder wrote */
function firstLine(holder: ChildProcess): Promise<string> {
  let errors = '';
  holder.stderr!.setEncoding('utf8').on('data', (text: string) => {
    errors += text;
  });
  return new Promise((resolve, reject) => {
    const fail = (why: string) => reject(new CaptureError(`run --netns: ${remedied(why)}`));
    const timer = setTimeout(() => {
      holder.kill('SIGKILL');
      fail('the namespace is not ready after a minute');
    }, START_MS);
    createInterface({ input: holder.stdout! }).once('line', (line) => {
      clearTimeout(timer);
      resolve(line);
    });
    holder.once('error', (error) => fail(error.message));
    holder.once('close', () => {
      clearTimeout(timer);
      fail(errors.trim().split('\n').at(-1) || 'the namespace was not made');
    });
  });
}

function remedied(why: string): string {
  if (!/unshare.*(not permitted|No space left|Permission denied)/.test(why)) return why;
  return `${why}: this host lets no user make namespaces; look at the sysctls user.max_user_namespaces, kernel.unprivileged_userns_clone and kernel.apparmor_restrict_unprivileged_userns, or let root run "tulle join"`;
}
