/** The maker of transparent sockets on Bun and Deno: calls of the C library. */
import process from 'node:process';
import { LISTEN_VARIABLE } from '../../shared/join/capture-ports.ts';
import { CaptureError } from './capture-options.ts';
import { type Libc, openLibc } from './libc.ts';
import type { PlannedSocket, SocketPlan } from './transparent-sockets.ts';

/** Of Linux, on every architecture that the runtimes are built for. */
const [AF_INET, AF_INET6, SOCK_STREAM] = [2, 10, 1];
const [SOL_IP, SOL_SOCKET, SOL_IPV6] = [0, 1, 41];
const [SO_REUSEADDR, IP_TRANSPARENT, IPV6_V6ONLY, IPV6_TRANSPARENT] = [2, 19, 26, 75];
const [F_DUPFD, PR_SET_NO_NEW_PRIVS, CAPABILITY_VERSION_3] = [0, 38, 0x2008_0522];
const [SIGPIPE, SIG_DFL] = [13, 0n];

export interface LibcLimits {
  readonly backlog: number;
  readonly firstDescriptor: number;
}

/** Becomes the command of `plan`. Returns only by throwing. @throws CaptureError */
export async function becomeByLibc(runtime: 'bun' | 'deno', plan: SocketPlan, limits: LibcLimits): Promise<never> {
  const libc = await openLibc(runtime);
  const names = plan.sockets.map((socket) => `${socket.name}=${listen(libc, socket, limits)}`);
  dropRights(libc, plan.user);
  // The runtime ignores it, and the command would inherit that.
  libc.call('signal', SIGPIPE, SIG_DFL);
  const [program] = plan.command;
  const environment = { ...process.env, [LISTEN_VARIABLE]: names.join(',') };
  const assignments = Object.entries(environment).map(([name, value]) => `${name}=${value}`);
  libc.execve(program, plan.command, assignments);
  throw new CaptureError(`capture exec: ${program}: cannot be run`);
}

/** @returns the descriptor, which the command inherits */
function listen(libc: Libc, { name, family, port }: PlannedSocket, limits: LibcLimits): number {
  const check = (result: number, why: string): number => {
    if (result >= 0) return result;
    throw new CaptureError(`capture exec: ${name} (port ${port}): ${why}`);
  };
  const six = family === 6;
  const socket = check(libc.call('socket', six ? AF_INET6 : AF_INET, SOCK_STREAM, 0), 'no socket can be made');
  const set = (level: number, option: number) =>
    check(libc.call('setsockopt', socket, level, option, Int32Array.of(1), 4), 'needs CAP_NET_ADMIN');
  set(SOL_SOCKET, SO_REUSEADDR);
  if (six) set(SOL_IPV6, IPV6_V6ONLY);
  set(six ? SOL_IPV6 : SOL_IP, six ? IPV6_TRANSPARENT : IP_TRANSPARENT);
  const to = six ? loopback6(port) : loopback4(port);
  check(libc.call('bind', socket, to, to.byteLength), 'the port is in use');
  check(libc.call('listen', socket, limits.backlog), 'the port is in use');
  return check(libc.call('fcntl', socket, F_DUPFD, limits.firstDescriptor), 'there are too many open files');
}

/** struct sockaddr_in of 127.0.0.1. */
function loopback4(port: number): Uint8Array {
  return Uint8Array.of(...family16(AF_INET), port >> 8, port & 255, 127, 0, 0, 1, ...new Uint8Array(8));
}

/** struct sockaddr_in6 of ::1. */
function loopback6(port: number): Uint8Array {
  return Uint8Array.of(...family16(AF_INET6), port >> 8, port & 255, 0, 0, 0, 0, ...new Uint8Array(15), 1, 0, 0, 0, 0);
}

/** In the host's byte order. */
const family16 = (family: number): Uint8Array => new Uint8Array(Uint16Array.of(family).buffer);

function dropRights(libc: Libc, user: SocketPlan['user']): void {
  const check = (result: number, what: string) => {
    if (result !== 0) throw new CaptureError(`capture exec: ${what}: is refused`);
  };
  if (user) {
    check(libc.call('setgroups', 0, 0n), `groups of user ${user.uid}`);
    check(libc.call('setresgid', user.gid, user.gid, user.gid), `group ${user.gid}`);
    check(libc.call('setresuid', user.uid, user.uid, user.uid), `user ${user.uid}`);
  }
  check(libc.call('capset', Uint32Array.of(CAPABILITY_VERSION_3, 0), new Uint32Array(6)), 'capabilities');
  check(libc.call('prctl', PR_SET_NO_NEW_PRIVS, 1n, 0n, 0n, 0n), 'no new privileges');
}
