/** The listening sockets that this process was started with: which descriptors they are. */
import {
  CAPTURE_PORTS,
  LISTEN_VARIABLE,
  NAMESPACE_SOCKETS,
  type NamespaceSocket,
} from '../../shared/join/capture-ports.ts';

/** Name of a socket -> its descriptor. */
export type InheritedSockets = Readonly<Partial<Record<NamespaceSocket, number>>>;

type Environment = Readonly<Record<string, string | undefined>>;

/** All of them: none may reach a child process, which does not have the descriptors. */
export const SOCKET_VARIABLES = [LISTEN_VARIABLE, 'LISTEN_FDS', 'LISTEN_FDNAMES', 'LISTEN_PID'] as const;

/** systemd's SD_LISTEN_FDS_START; the standard streams are below it. */
const FIRST = 3;
/** Workers inherit each under its own number, with every number below it taken. */
const LAST = 63;

/**
 * `TULLE_LISTEN_FDS=outbound=3,inbound=4`; without it systemd's protocol (sd_listen_fds(3)): LISTEN_FDS descriptors from 3
 * on, named by LISTEN_FDNAMES, for the process LISTEN_PID.
 * @returns undefined: none were passed to this process
 * @throws Error naming the variable and the rule
 */
export function readInheritedSockets(environment: Environment, pid: number): InheritedSockets | undefined {
  const own = environment[LISTEN_VARIABLE];
  if (own) return socketsOf(LISTEN_VARIABLE, own.split(',').map(assignment));
  const { LISTEN_FDS: count, LISTEN_FDNAMES: names, LISTEN_PID: receiver } = environment;
  if (!count || (receiver && receiver !== String(pid))) return undefined;
  if (!/^\d{1,2}$/.test(count) || Number(count) < 1 || Number(count) > LAST - FIRST + 1)
    throw new Error(`LISTEN_FDS=${shown(count)}: must be a number from 1 to ${LAST - FIRST + 1}`);
  if (!names)
    throw new Error(`LISTEN_FDNAMES: is required with LISTEN_FDS (FileDescriptorName= of the socket unit): ${NAMES}`);
  const named = names.split(':');
  if (named.length !== Number(count))
    throw new Error(`LISTEN_FDNAMES=${shown(names)}: must have a name for each of the ${count} of LISTEN_FDS`);
  return socketsOf(
    'LISTEN_FDNAMES',
    named.map((name, index) => [name, FIRST + index] as const),
  );
}

function assignment(text: string): readonly [string, number] {
  const [, name, descriptor] = /^([a-z0-9]+)=(\d{1,2})$/.exec(text) ?? [];
  const number = Number(descriptor);
  if (name === undefined || !(number >= FIRST && number <= LAST))
    throw new Error(`${LISTEN_VARIABLE}: "${shown(text)}" must be NAME=N, N from ${FIRST} to ${LAST}`);
  return [name, number];
}

function socketsOf(variable: string, pairs: readonly (readonly [string, number])[]): InheritedSockets {
  const sockets: Partial<Record<NamespaceSocket, number>> = {};
  for (const [name, descriptor] of pairs) {
    if (!isSocketName(name)) throw new Error(`${variable}: "${shown(name)}" is not known: ${NAMES}`);
    if (sockets[name] !== undefined) throw new Error(`${variable}: "${name}" is given twice`);
    if (Object.values(sockets).includes(descriptor))
      throw new Error(`${variable}: descriptor ${descriptor} is given twice`);
    sockets[name] = descriptor;
  }
  return sockets;
}

const isSocketName = (name: string): name is NamespaceSocket => Object.hasOwn(NAMESPACE_SOCKETS, name);

const NAMES = `must be of ${Object.keys(NAMESPACE_SOCKETS).join(', ')}`;

/** In one short line. */
const shown = (text: string) => text.slice(0, 64).replace(/[^\x20-\x7e]/g, '?');

const REMEDY =
  'let "tulle join" set up the machine, start the proxy with "tulle capture exec", or with a systemd socket unit (Transparent=yes)';

/** @throws Error naming what the mode lacks, and the remedy */
export function checkCapture(mode: 'NONE' | 'TPROXY', sockets: InheritedSockets | undefined): void {
  if (mode === 'NONE') {
    if (sockets)
      throw new Error(`${LISTEN_VARIABLE}: inherited sockets need --interception-mode TPROXY, and the mode is NONE`);
    return;
  }
  const lacking = [CAPTURE_PORTS.outbound, CAPTURE_PORTS.inbound].filter(
    (port) => descriptorsAt(sockets, port).length === 0,
  );
  if (lacking.length > 0)
    throw new Error(
      `--interception-mode TPROXY: no transparent listening socket for port ${lacking.join(' and port ')} was inherited; ${REMEDY}`,
    );
}

/** The descriptors that accept for a listener at this port, IPv4 first; empty: none. */
export function descriptorsAt(sockets: InheritedSockets | undefined, port: number): readonly number[] {
  if (!sockets) return [];
  return (Object.keys(NAMESPACE_SOCKETS) as NamespaceSocket[]).flatMap((name) => {
    const descriptor = sockets[name];
    return descriptor !== undefined && NAMESPACE_SOCKETS[name].port === port ? [descriptor] : [];
  });
}
