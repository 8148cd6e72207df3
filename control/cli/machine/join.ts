/** `tulle join`: makes this machine a workload of the mesh. */
import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { hostname } from 'node:os';
import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import { formatFindings } from '../../../machine/checks/finding.ts';
import { byInvitation, type JoinBy } from '../../../machine/join/certificate.ts';
import { type Running, start as startProgram, untilEnd } from '../../../machine/join/foreground.ts';
import { type JoinParts, joinMesh, start } from '../../../machine/join/join.ts';
import { uninstall } from '../../../machine/join/leave.ts';
import { statusOf } from '../../../machine/join/ready.ts';
import { type MachineRecord, readRecord } from '../../../machine/join/record.ts';
import { Undo } from '../../../machine/join/undo.ts';
import { ADMIN_PORT, HTTP_PROXY_PORT, proxyFlags } from '../../../machine/service/proxy-flags.ts';
import { type Invitation, parseInvitation } from '../../../shared/join/invitation.ts';
import { CliError } from '../cli-error.ts';
import { note } from '../output.ts';
import { coverageText } from './coverage.ts';
import { byEvidence, type EvidenceFlags, namesEvidence } from './join-evidence.ts';
import { captureChecks, redirectHost, releaseHost } from './redirection.ts';
import { type ThisMachine, thisMachine, workloadName } from './this-machine.ts';

export interface JoinFlags extends EvidenceFlags {
  /** `--no-service` */
  service: boolean;
  /** `--no-capture` */
  capture: boolean;
  /** `--no-dns` */
  dns: boolean;
  address?: string;
  name?: string;
  /** Hidden: what tulle-capture.service runs. */
  hostOn?: boolean;
  hostOff?: boolean;
}

const MAX_INVITATION = 8192;

/**
 * @param given the invitation, `-` (standard input) or `@FILE`
 * @param after what follows `--`: a command to run with the proxy, or the unit of an application
 * @throws CliError in one line
 */
export async function join(given: string | undefined, after: readonly string[], flags: JoinFlags): Promise<void> {
  const machine = await thisMachine();
  const held = await readRecord(machine.host, machine.layout);
  if (flags.hostOn || flags.hostOff) return await switchHost(held, flags.hostOn === true);
  if (flags.address !== undefined && isIP(flags.address) === 0)
    throw new CliError(`--address ${flags.address}: must be an IP address of this machine`);
  const application = applicationOf(after);
  const session = new Session(machine, flags);
  if (held) return await session.resume(held, application, await joinBy(given, flags));
  // The installer script names what it installed for this join.
  const installed = process.env['TULLE_INSTALLED'] as MachineRecord['installed'];
  delete process.env['TULLE_INSTALLED'];
  try {
    const by = await joinBy(given, flags);
    if (by === undefined)
      throw new CliError(
        'join: names no invitation; run the line that "tulle invite" prints on the control plane, or name evidence with --as',
      );
    await session.join(by, application, installed);
  } catch (error) {
    if (installed !== undefined) await uninstall(machine.host, installed);
    throw error;
  }
}

/**
 * What lies before `--` and behind it: the parser of commands gives both as one list.
 * @throws CliError where words behind the invitation are not behind `--`
 */
export function splitApplication(
  first: string | undefined,
  rest: readonly string[],
  words: readonly string[],
): [string | undefined, readonly string[]] {
  const at = words.indexOf('--');
  const behind = at < 0 ? [] : words.slice(at + 1);
  const before = [...(first === undefined ? [] : [first]), ...rest].slice(
    0,
    behind.length === 0 ? undefined : -behind.length,
  );
  if (before.length > 1) throw new CliError(`join: ${before[1]} is no flag; write "--" before a command or a unit`);
  return [before[0], behind];
}

/** @throws CliError, InvitationError; undefined: the command names neither an invitation nor evidence */
async function joinBy(given: string | undefined, flags: EvidenceFlags): Promise<JoinBy | undefined> {
  const inEnvironment = process.env[INVITATION_VARIABLE];
  delete process.env[INVITATION_VARIABLE];
  if (given !== undefined && namesEvidence(flags))
    throw new CliError('join: names an invitation and evidence (--as …); one of them is enough');
  if (namesEvidence(flags)) return byEvidence(flags, process.env);
  if (given !== undefined) return byInvitation(await readInvitation(given));
  return inEnvironment ? byInvitation(parseInvitation(inEnvironment)) : undefined;
}

/** For containers whose secrets are variables; the proxy and the application do not get it. */
const INVITATION_VARIABLE = 'TULLE_INVITATION';

interface ApplicationOf {
  /** A program and its arguments. */
  readonly command: readonly string[];
  /** A systemd unit. */
  readonly unit: string | undefined;
}

function applicationOf(words: readonly string[]): ApplicationOf {
  const [first] = words;
  const isUnit = words.length === 1 && first !== undefined && /^[^/]+\.(service|target)$/.test(first);
  return isUnit ? { command: [], unit: first } : { command: words, unit: undefined };
}

async function switchHost(held: MachineRecord | undefined, on: boolean): Promise<void> {
  if (!held) throw new CliError('this machine has not joined; run the line that "tulle invite" prints');
  await (on ? redirectHost(held) : releaseHost());
}

/** @throws CliError, InvitationError; never with the text */
async function readInvitation(given: string): Promise<Invitation> {
  if (given === '-') {
    if (process.stdin.isTTY) note('tulle: paste the invitation, then press Enter and Ctrl-D');
    return parseInvitation(await standardInput());
  }
  if (given.startsWith('@')) {
    try {
      return parseInvitation(readFileSync(given.slice(1), 'utf8'));
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      throw code === undefined ? error : new CliError(`join ${given}: ${message}`);
    }
  }
  const invitation = parseInvitation(given);
  note(
    'tulle: warning: the invitation was an argument, which every user of this machine can see with "ps": use - or @FILE',
  );
  return invitation;
}

async function standardInput(): Promise<string> {
  let text = '';
  for await (const chunk of process.stdin.setEncoding('utf8')) {
    text += chunk;
    if (text.length > MAX_INVITATION) break;
  }
  return text;
}

class Session {
  readonly #machine: ThisMachine;
  readonly #flags: JoinFlags;
  #proxy: Running | undefined;

  constructor(machine: ThisMachine, flags: JoinFlags) {
    this.#machine = machine;
    this.#flags = flags;
  }

  async join(by: JoinBy, application: ApplicationOf, installed: MachineRecord['installed']): Promise<void> {
    const { layout } = this.#machine;
    const { capture, dns, address, name = workloadName(hostname()) } = this.#flags;
    const service = this.#service(application);
    const captured = layout.system && capture;
    const applications = application.unit === undefined ? [] : [application.unit];
    const ipv6 = Boolean((await this.#machine.host.read('/proc/net/if_inet6'))?.trim());
    const wanted = { name, address, capture: captured, ipv6, dns: captured && dns, service, applications, installed };
    const { record, notAfter, selfTest } = await joinMesh(by, wanted, this.#parts());
    note(`√ ${selfTest}`);
    note(joinedText(record, notAfter));
    await this.#stay(record, application);
  }

  /** The machine has joined before: what runs stays, what does not run is started. */
  async resume(held: MachineRecord, application: ApplicationOf, by: JoinBy | undefined): Promise<void> {
    const { rootHash } = by ?? held;
    if (rootHash !== held.rootHash)
      throw new CliError(
        `this machine is ${held.spiffeId} of another mesh; run "tulle leave" before it joins this one`,
      );
    if (application.unit !== undefined && !held.applications.includes(application.unit))
      throw new CliError(
        `${application.unit} was not named when the machine joined; run "tulle leave", then join with it`,
      );
    note(
      `this machine has joined as ${held.spiffeId}; nothing is changed ("tulle check" looks at it, "tulle leave" ends it)`,
    );
    if ((await statusOf(ADMIN_PORT, '/ready')) !== undefined) return;
    const undo = new Undo();
    try {
      await start(held, this.#parts(), undo);
    } catch (error) {
      const left = await undo.run();
      throw new CliError([(error as Error).message, ...left].join('; '));
    }
    await this.#stay(held, application);
  }

  #service({ command, unit }: ApplicationOf): MachineRecord['service'] {
    const { hasSystemd } = this.#machine;
    if (unit !== undefined && !hasSystemd)
      throw new CliError(`${unit}: systemd does not run this machine, so no unit can wait; name a command`);
    if (!this.#flags.service || command.length > 0) return 'foreground';
    if (hasSystemd) return 'systemd';
    note(
      'tulle: systemd does not run this machine (a container?): the proxy stays in the foreground, as with --no-service',
    );
    return 'foreground';
  }

  #parts(): JoinParts {
    const { host, layout, systemd, tulle } = this.#machine;
    return {
      ...{ host, layout, systemd, tulle },
      captureChecks,
      hostOn: redirectHost,
      hostOff: releaseHost,
      startProxy: async (record) => {
        const command = [...tulle, 'proxy', ...proxyFlags(record, layout.data)];
        const withSockets = [...tulle, 'capture', 'exec', '--', ...command];
        const proxy = startProgram(record.capture ? withSockets : command);
        this.#proxy = proxy;
        const stop = async () => {
          proxy.kill('SIGTERM');
          await Promise.race([proxy.ended, sleep(10_000, undefined, { ref: false })]);
        };
        return { failed: proxy.failed, stop };
      },
      onChecks: (categories) => note(`${formatFindings(categories, false)}\n`),
      report: (line) => note(`tulle: ${line}`),
      interrupted: interruption(),
    };
  }

  /** In the foreground until the end; what this command redirected, it puts back. */
  async #stay(record: MachineRecord, { command }: ApplicationOf): Promise<void> {
    if (record.service === 'systemd') return;
    stopInterruption();
    const code = await untilEnd(this.#proxy!, command, environmentOf(record));
    await releaseHost();
    process.exit(code);
  }
}

/** Of an application beside the proxy: where nothing is captured, its variables name the proxy. */
function environmentOf({ capture }: MachineRecord): NodeJS.ProcessEnv {
  const url = `http://127.0.0.1:${HTTP_PROXY_PORT}`;
  const direct = 'localhost,127.0.0.1,::1';
  return capture ? process.env : { no_proxy: direct, ...process.env, http_proxy: url, HTTP_PROXY: url };
}

let interrupt: ((signal: NodeJS.Signals) => void) | undefined;

function interruption(): Promise<never> {
  return new Promise((_, reject) => {
    interrupt = (signal) => reject(new CliError(`interrupted by ${signal}; nothing of the join is left`));
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, interrupt);
  });
}

function stopInterruption(): void {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    if (interrupt) process.removeListener(signal, interrupt);
}

function joinedText(record: MachineRecord, notAfter: string): string {
  const { spiffeId, service, group, applications } = record;
  return [
    '',
    'This machine is a workload of the mesh.',
    `  identity     ${spiffeId}`,
    `  certificate  until ${notAfter}, renewed by itself${record.ephemeral ? ' while it runs' : ''}`,
    `  group        ${group ?? 'none: it calls services, and is endpoint of none'}`,
    `  captured     ${coverageText(record)}`,
    `  service      ${service === 'systemd' ? 'tulle-proxy.service (journalctl -u tulle-proxy)' : 'this command, in the foreground'}`,
    ...(applications.length > 0 ? [`  waits for it ${applications.join(', ')}`] : []),
    '  check        tulle check',
    '  leave        tulle leave',
  ].join('\n');
}
