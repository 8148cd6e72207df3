/**
 * Takes listening sockets out of a process in another network namespace and becomes a command that inherits them. A socket stays
 * in the namespace in which it was made: what it accepts belongs there, and what the command dials does not.
 *
 * pidfd_getfd(2) needs the rights of a debugger over the holder. The user who made the holder's user namespace has them.
 */
import process from 'node:process';
import { LISTEN_VARIABLE, type NamespaceSocket } from '../../shared/join/capture-ports.ts';
import { CaptureError } from '../capture/capture-options.ts';
import { find } from '../capture/commands.ts';
import { openLibc } from '../capture/libc.ts';
import { FIRST_DESCRIPTOR } from '../capture/transparent-sockets.ts';

export type SocketsOf = Readonly<Partial<Record<NamespaceSocket, number>>>;

export interface Taking {
  /** The process that has them. */
  readonly pid: number;
  /** Name -> its descriptor there. */
  readonly sockets: SocketsOf;
  /** The program's path, and its arguments. */
  readonly command: readonly [string, ...string[]];
  readonly environment: Readonly<Record<string, string | undefined>>;
}

/** pidfd_open and pidfd_getfd are system calls 434 and 438 on every architecture. */
const PIDFD_OPEN = 434;
const PIDFD_GETFD = 438;
const F_DUPFD = 0;
const [SIGPIPE, SIG_DFL] = [13, 0n];

const PYTHON = `
import ctypes, fcntl, os, sys
libc = ctypes.CDLL(None, use_errno=True)
def call(*words):
    result = libc.syscall(*[ctypes.c_long(int(word)) for word in words])
    if result < 0: raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result
pid, first, variable = sys.argv[1:4]
end = sys.argv.index('--')
what = 'sockets of process %s (pidfd_getfd)' % pid
try:
    held = call(${PIDFD_OPEN}, pid, 0)
    names = []
    for word in sys.argv[4:end]:
        name, number = word.split('=')
        names.append('%s=%d' % (name, fcntl.fcntl(call(${PIDFD_GETFD}, held, number, 0), fcntl.F_DUPFD, int(first))))
    what = sys.argv[end + 1]
    os.environ[variable] = ','.join(names)
    os.execv(sys.argv[end + 1], sys.argv[end + 1:])
except OSError as error:
    sys.exit('tulle: run --netns: %s: %s' % (what, error.strerror))
`;

const PERL = `
use strict; use warnings; use Fcntl;
my ($pid, $first, $variable) = splice @ARGV, 0, 3;
my $what = "sockets of process $pid (pidfd_getfd)";
sub check { return $_[0] if defined $_[0] && $_[0] != -1; print STDERR "tulle: run --netns: $what: $!\\n"; exit 1 }
my $held = check(syscall(${PIDFD_OPEN}, $pid + 0, 0));
my (@names, @kept);
while (@ARGV && (my $word = shift @ARGV) ne '--') {
  my ($name, $number) = split /=/, $word;
  my $taken = check(syscall(${PIDFD_GETFD}, $held, $number + 0, 0));
  open(my $socket, '+<&=', $taken) or check(undef);
  push @kept, $socket;
  push @names, $name . '=' . (check(fcntl($socket, F_DUPFD, $first + 0)) + 0);
}
$what = $ARGV[0];
$ENV{$variable} = join ',', @names;
{ no warnings; exec { $ARGV[0] } @ARGV }
check(undef);
`;

/** Whether this process, or a program that it can become, makes the system calls. */
export const canTake = (): boolean => ownFfi() !== undefined || interpreter() !== undefined;

/** Becomes the command. Returns only by throwing. @throws CaptureError */
export async function becomeWithSockets(taking: Taking): Promise<never> {
  const runtime = ownFfi();
  if (runtime) return await becomeByLibc(runtime, taking);
  const found = interpreter();
  if (!found || !process.execve) throw new CaptureError('run --netns: needs python3, perl, Bun or Deno; install one');
  const { pid, sockets, command, environment } = taking;
  const words = [pid, FIRST_DESCRIPTOR, LISTEN_VARIABLE, ...Object.entries(sockets).map((pair) => pair.join('='))];
  return process.execve(found.path, [...found.words, ...words.map(String), '--', ...command], environment);
}

const ownFfi = (): 'bun' | 'deno' | undefined =>
  process.versions['bun'] ? 'bun' : process.versions['deno'] ? 'deno' : undefined;

function interpreter(): { path: string; words: readonly [string, ...string[]] } | undefined {
  const python = find('python3');
  if (python) return { path: python, words: [python, '-c', PYTHON] };
  const perl = find('perl');
  return perl ? { path: perl, words: [perl, '-e', PERL] } : undefined;
}

async function becomeByLibc(runtime: 'bun' | 'deno', { pid, sockets, command, environment }: Taking): Promise<never> {
  const libc = await openLibc(runtime);
  const check = (result: number): number => {
    if (result >= 0) return result;
    throw new CaptureError(`run --netns: sockets of process ${pid} (pidfd_getfd): are refused by the kernel`);
  };
  const held = check(libc.call('syscall', PIDFD_OPEN, pid, 0, 0));
  const names = Object.entries(sockets).map(([name, number]) => {
    const taken = check(libc.call('syscall', PIDFD_GETFD, held, number, 0));
    return `${name}=${check(libc.call('fcntl', taken, F_DUPFD, FIRST_DESCRIPTOR))}`;
  });
  // The runtime ignores it, and the command would inherit that.
  libc.call('signal', SIGPIPE, SIG_DFL);
  const all = { ...environment, [LISTEN_VARIABLE]: names.join(',') };
  const assignments = Object.entries(all).flatMap(([name, value]) => (value === undefined ? [] : [`${name}=${value}`]));
  libc.execve(command[0], command, assignments);
  throw new CaptureError(`run --netns: ${command[0]}: cannot be run`);
}
