/**
 * Makes the transparent listening sockets of shared/join/capture-ports.ts and becomes a command that inherits them, for hosts
 * without systemd's socket units. Only then are the rights given up: the command runs as its own user, without capabilities
 * and without a way to new ones, as by `setpriv --reuid --regid --clear-groups --inh-caps=-all --no-new-privs`.
 *
 * Node cannot make such sockets: the process becomes Bun or Deno, which call the C library, or python3 or perl.
 */
import { readFileSync } from 'node:fs';
import process from 'node:process';
import { CAPTURE_SOCKETS, LISTEN_VARIABLE, type NamespaceSocket } from '../../shared/join/capture-ports.ts';
import { CaptureError } from './capture-options.ts';
import { find } from './commands.ts';
import { hasIpv6, mayChangeRules } from './findings.ts';
import { becomeByLibc } from './libc-sockets.ts';
import { PERL, PYTHON } from './socket-programs.ts';

export const SOCKET_MAKERS = ['bun', 'deno', 'python3', 'perl'] as const;
export type SocketMaker = (typeof SOCKET_MAKERS)[number];

/** What a maker does, in this order. */
export interface SocketPlan {
  readonly sockets: readonly PlannedSocket[];
  /** Undefined: the user stays. */
  readonly user: { readonly uid: number; readonly gid: number } | undefined;
  /** The program's path, and its arguments. */
  readonly command: readonly [string, ...string[]];
}

export interface PlannedSocket {
  readonly name: NamespaceSocket;
  readonly family: 4 | 6;
  readonly port: number;
}

/** The kernel takes the smaller one of this and net.core.somaxconn. */
export const BACKLOG = 4096;
/** Descriptors below may be the launcher's own. */
export const FIRST_DESCRIPTOR = 10;

/** Where they listen. It suffices: TPROXY finds them there, and no other host reaches them. */
const LOOPBACK = { 4: '127.0.0.1', 6: '::1' } as const;

/** All of a list that this network namespace can have. Default: those of a host. */
export function socketsOfHost(
  ipv6 = hasIpv6(),
  sockets: Readonly<Record<string, Omit<PlannedSocket, 'name'>>> = CAPTURE_SOCKETS,
): PlannedSocket[] {
  return (Object.keys(sockets) as NamespaceSocket[])
    .map((name) => ({ name, ...sockets[name]! }))
    .filter(({ family }) => family === 4 || ipv6);
}

/**
 * @param user a name of /etc/passwd or a number, whose group is the one of /etc/passwd
 * @throws CaptureError when there is none
 */
export function userOf(user: string): { uid: number; gid: number } {
  for (const line of readFileSync('/etc/passwd', 'utf8').split('\n')) {
    const [name, , uid, gid] = line.split(':');
    if (name === user || (uid === user && uid !== '')) return { uid: Number(uid), gid: Number(gid) };
  }
  if (/^\d{1,10}$/.test(user)) return { uid: Number(user), gid: Number(user) };
  throw new CaptureError(`capture: there is no user "${user}"; make it ("useradd --system ${user}"), or name another`);
}

export interface ExecSettings {
  /** Runtimes that this process may become, with their arguments up to those of `tulle capture exec`. */
  readonly runtimes: { readonly bun?: readonly string[]; readonly deno?: readonly string[] };
  /** Default: the first one found. */
  readonly maker?: SocketMaker;
}

/** Becomes the command of `plan`. Returns only by throwing. @throws CaptureError */
export async function execWithSockets(plan: SocketPlan, { runtimes, maker }: ExecSettings): Promise<never> {
  if (!mayChangeRules())
    throw new CaptureError('capture exec: transparent sockets need CAP_NET_ADMIN; run it as root, or by a socket unit');
  const here = process.versions.bun ? 'bun' : process.versions.deno ? 'deno' : undefined;
  const chosen = maker ?? here ?? firstMaker(runtimes);
  if (chosen === here) return await becomeByLibc(here, plan, { backlog: BACKLOG, firstDescriptor: FIRST_DESCRIPTOR });
  if (chosen === 'bun' || chosen === 'deno') {
    const command = runtimes[chosen];
    if (!command) throw new CaptureError(`capture exec: ${chosen} is not installed`);
    return become(command, process.env);
  }
  const path = find(chosen);
  if (!path) throw new CaptureError(`capture exec: ${chosen} is not installed`);
  return become([path, ...(chosen === 'perl' ? ['-e', PERL] : ['-c', PYTHON]), ...wordsOf(plan)], process.env);
}

function firstMaker(runtimes: ExecSettings['runtimes']): SocketMaker {
  const found = runtimes.bun
    ? 'bun'
    : runtimes.deno
      ? 'deno'
      : find('python3')
        ? 'python3'
        : find('perl')
          ? 'perl'
          : undefined;
  if (found) return found;
  throw new CaptureError(
    'capture exec: transparent sockets need Bun, Deno, python3 or perl; install one, or use a socket unit of systemd',
  );
}

/** The plan as arguments: user, group, backlog, first descriptor, variable, sockets, `--`, command. */
function wordsOf({ sockets, user, command }: SocketPlan): string[] {
  return [
    ...[user?.uid ?? '-', user?.gid ?? '-', BACKLOG, FIRST_DESCRIPTOR, LISTEN_VARIABLE].map(String),
    ...sockets.map(({ name, family, port }) => [name, family, port, LOOPBACK[family]].join(',')),
    '--',
    ...command,
  ];
}

function become([program, ...args]: readonly string[], env: NodeJS.ProcessEnv): never {
  if (!program || !process.execve)
    throw new CaptureError(`capture exec: needs a Node with process.execve (24 or newer), found ${process.version}`);
  return process.execve(program, [program, ...args], env);
}
