/** `tulle capture on|off|show|exec`: what of this host's traffic is redirected to the proxy. Needs root. */
import process from 'node:process';
import { createInterface } from 'node:readline/promises';
import { type Command, Option } from 'commander';
import { BACK_ENDS, type BackEndName } from '../../../machine/capture/back-end.ts';
import {
  type CaptureState,
  confirm,
  rollBack,
  show,
  turnOff,
  turnOn,
  waits,
} from '../../../machine/capture/capture.ts';
import { type CaptureOptions, defaultCapture } from '../../../machine/capture/capture-options.ts';
import { find } from '../../../machine/capture/commands.ts';
import { hasIpv6, mayChangeRules } from '../../../machine/capture/findings.ts';
import { idList, portList, rangeList, withTexts } from '../../../machine/capture/lists.ts';
import { ownCommand, startTimer } from '../../../machine/capture/roll-back.ts';
import {
  execWithSockets,
  SOCKET_MAKERS,
  type SocketMaker,
  socketsOfHost,
  userOf,
} from '../../../machine/capture/transparent-sockets.ts';
import { CliError } from '../cli-error.ts';
import { note, outputFormat, print } from '../output.ts';

const TRIAL_SECONDS = 60;
const PROXY_USER = 'tulle';

interface OnFlags {
  includeOutboundIpRanges?: string;
  excludeOutboundIpRanges?: string;
  includeOutboundPorts?: string;
  excludeOutboundPorts?: string;
  includeInboundPorts?: string;
  excludeInboundPorts?: string;
  excludeInterfaces?: string;
  excludeUids?: string;
  excludeGids?: string;
  proxyUid?: string;
  dnsPort?: string;
  dnsServers?: string;
  withoutProxy: 'open' | 'shut';
  ipv6: boolean;
  backEnd?: BackEndName;
  yes?: boolean;
  confirm?: boolean;
  confirmWithin: string;
}

/** How this program is started on another runtime, without its arguments; undefined where that is not installed. */
export type OnRuntime = (runtime: 'bun' | 'deno') => Promise<readonly string[] | undefined>;

export function registerCaptureCommands(program: Command, onRuntime: OnRuntime): void {
  const capture = program
    .command('capture')
    .description("Redirect this host's connections to its proxy. Needs root; docs/capture.md.");
  onCommand(capture);
  capture.command('off').description('Redirect nothing; whatever "on" changed is undone.').action(off);
  capture
    .command('show')
    .description('What is captured, by what, whether the proxy listens, and what is wrong.')
    .option('-o, --output <format>', 'table or json', 'table')
    .action(showState);
  capture
    .command('exec')
    .description('Make the transparent listening sockets, give up all rights, and become COMMAND with them.')
    .usage('[--user NAME] -- COMMAND')
    .option('--user <name>', `user of the command (default, as root: ${PROXY_USER})`)
    .addOption(
      new Option('--with <program>', 'what makes the sockets (default: the first found)').choices(SOCKET_MAKERS),
    )
    .argument('<command...>', 'program and arguments')
    .passThroughOptions()
    .action((words: string[], flags: ExecFlags) => exec(words, flags, onRuntime));
  capture.command('roll-back', { hidden: true }).argument('<trial>').argument('<seconds>').action(rollBackLater);
}

function onCommand(capture: Command): void {
  capture
    .command('on')
    .description(
      "Redirect connections to the proxy's ports. It is taken back after a minute unless confirmed (Enter, or --confirm).",
    )
    .option('--include-outbound-ip-ranges <ranges>', 'captured destinations, as 10.0.0.0/8,fd00::/8; * for all', '*')
    .option('--exclude-outbound-ip-ranges <ranges>', 'destinations that are not captured')
    .option('--include-outbound-ports <ports>', 'ports captured whatever the destination')
    .option('--exclude-outbound-ports <ports>', 'ports that are not captured')
    .option('--include-inbound-ports <ports>', "the workload's ports; * for all but 22 and 15000 to 15090", '')
    .option('--exclude-inbound-ports <ports>', 'ports that are not captured')
    .option('--exclude-interfaces <names>', 'interfaces that are not captured, as docker0,br-*')
    .option('--exclude-uids <ids>', 'users whose connections and queries are not captured')
    .option('--exclude-gids <ids>', 'groups whose connections and queries are not captured')
    .option('--proxy-uid <id>', `user of the proxy, which is not captured (default: that of ${PROXY_USER})`)
    .option('--dns-port <port>', "port of the proxy's name server, to which queries are redirected (default: none are)")
    .option('--dns-servers <addresses>', 'only queries to these servers are redirected (default: all)')
    .addOption(
      new Option('--without-proxy <what>', 'outbound connections while no proxy listens; inbound ports are shut then')
        .choices(['open', 'shut'])
        .default('shut'),
    )
    .option('--no-ipv6', 'leave IPv6 alone')
    .addOption(new Option('--back-end <name>', 'default: nft, else iptables').choices(BACK_ENDS))
    .option('--yes', 'keep it without a confirmation, for units and scripts')
    .option('--confirm-within <seconds>', 'until when it is to be confirmed', String(TRIAL_SECONDS))
    .option('--confirm', 'keep what was turned on')
    .action(on);
}

async function on(flags: OnFlags): Promise<void> {
  needRights('on');
  if (flags.confirm) {
    confirm();
    return note('capture is kept');
  }
  const options = optionsOf(flags);
  const trialSeconds = secondsOf(flags.confirmWithin);
  const trial = turnOn(options, { backEnd: flags.backEnd, ...(flags.yes ? {} : { trialSeconds }) });
  if (trial === undefined) return note('capture is on');
  try {
    startTimer([...ownCommand(), 'capture', 'roll-back', trial, String(trialSeconds)], trial);
  } catch (error) {
    rollBack(trial);
    throw error;
  }
  if (process.stdin.isTTY) return await askToKeep(trialSeconds);
  note(`capture is on; "tulle capture on --confirm" keeps it, else it is taken back after ${trialSeconds} s`);
}

function secondsOf(text: string): number {
  if (!/^[1-9]\d{0,3}$/.test(text)) throw new CliError('--confirm-within: must be a number of seconds, 1 to 9999');
  return Number(text);
}

/** Returns with the answer; the timer's process rolls back where there is none. */
async function askToKeep(seconds: number): Promise<void> {
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  const signal = AbortSignal.timeout(seconds * 1000);
  try {
    await terminal.question(`capture is on; press Enter within ${seconds} s to keep it `, { signal });
  } catch {
    throw new CliError('capture: not confirmed; it is taken back');
  } finally {
    terminal.close();
  }
  confirm();
  note('capture is kept');
}

function optionsOf(flags: OnFlags): CaptureOptions {
  const uid =
    flags.proxyUid === undefined
      ? userOf(PROXY_USER).uid
      : onlyOne(idList(flags.proxyUid, '--proxy-uid'), '--proxy-uid');
  const defaults = defaultCapture(uid);
  const base: CaptureOptions = {
    ...defaults,
    outbound: {
      ...defaults.outbound,
      excludeUids: idList(flags.excludeUids ?? '', '--exclude-uids'),
      excludeGids: idList(flags.excludeGids ?? '', '--exclude-gids'),
      withoutProxy: flags.withoutProxy,
    },
    dnsPort: flags.dnsPort === undefined ? undefined : onlyOne(portList(flags.dnsPort, '--dns-port'), '--dns-port'),
    ...(flags.dnsServers === undefined ? {} : { dnsServers: rangeList(flags.dnsServers, '--dns-servers') }),
    ipv6: flags.ipv6 && hasIpv6(),
  };
  const { includeOutboundIpRanges, excludeOutboundIpRanges, ...texts } = flags;
  const named = {
    ...texts,
    ...(includeOutboundIpRanges === undefined ? {} : { includeOutboundIPRanges: includeOutboundIpRanges }),
    ...(excludeOutboundIpRanges === undefined ? {} : { excludeOutboundIPRanges: excludeOutboundIpRanges }),
  };
  return withTexts(
    base,
    named,
    (field) => `--${field.replace('IP', 'Ip').replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`,
  );
}

function onlyOne(values: readonly number[], flag: string): number {
  const [value] = values;
  if (value === undefined || values.length > 1) throw new CliError(`${flag}: must be one number`);
  return value;
}

function off(): void {
  needRights('off');
  note(turnOff() ? 'capture is off' : 'capture was off');
}

function needRights(command: string): void {
  if (!mayChangeRules()) throw new CliError(`capture ${command}: needs root (CAP_NET_ADMIN); run it with sudo`);
}

function showState(flags: { output: string }): void {
  const format = outputFormat(flags.output, ['table', 'json']);
  needRights('show');
  const state = show();
  print(format, state, () => describe(state).join('\n'));
}

function describe({ on: isOn, backEnd, options, trial, listening, counters, findings }: CaptureState): string[] {
  const heard = (there: boolean) => (there ? 'listens' : 'does not listen');
  const all = (list: '*' | readonly (string | number)[]) => (list === '*' ? 'all' : list.join(', ') || 'none');
  const lines = isOn ? [`capture is on (${backEnd})`] : ['capture is off'];
  if (trial) lines.push(`unconfirmed: taken back at ${trial.until} unless "tulle capture on --confirm"`);
  if (options)
    lines.push(
      `outbound: ${all(options.outbound.includeIPRanges)}; ports ${all(options.outbound.includePorts)} besides; without a proxy ${options.outbound.withoutProxy}`,
      `not outbound: ${all(options.outbound.excludeIPRanges)}; ports ${all(options.outbound.excludePorts)}; interfaces ${all(options.outbound.excludeInterfaces)}`,
      `exempt: user ${options.proxyUid} (the proxy), users ${all(options.outbound.excludeUids)}, groups ${all(options.outbound.excludeGids)}`,
      `inbound: ports ${all(options.inbound.includePorts)} without ${all(options.inbound.excludePorts)}`,
      `queries: ${options.dnsPort === undefined ? 'not redirected' : `to port ${options.dnsPort}`}; IPv6: ${options.ipv6 ? 'captured' : 'left alone'}`,
    );
  if (isOn) lines.push(`the proxy ${heard(listening.outbound)} for outbound, ${heard(listening.inbound)} for inbound`);
  for (const [name, count] of Object.entries(counters)) lines.push(`${name.replaceAll('_', ' ')}: ${count}`);
  for (const { severity, message, remedy } of findings) lines.push(`${severity}: ${message}; ${remedy}`);
  return lines;
}

interface ExecFlags {
  user?: string;
  with?: SocketMaker;
}

async function exec(words: string[], flags: ExecFlags, onRuntime: OnRuntime): Promise<void> {
  const [program = '', ...args] = words;
  const path = program.includes('/') ? program : find(program);
  if (!path) throw new CliError(`capture exec: ${program}: not found`);
  const user = flags.user ?? (process.getuid?.() === 0 ? PROXY_USER : undefined);
  const plan = {
    sockets: socketsOfHost(),
    user: user === undefined ? undefined : userOf(user),
    command: [path, ...args] as [string, ...string[]],
  };
  const again = async (runtime: 'bun' | 'deno') => {
    const command = await onRuntime(runtime);
    return command && [...command, ...process.argv.slice(2)];
  };
  const runtimes = { bun: await again('bun'), deno: await again('deno') };
  await execWithSockets(plan, { runtimes, maker: flags.with });
}

/** Ends early once the trial was confirmed, or another one replaced it. */
async function rollBackLater(trial: string, seconds: string): Promise<void> {
  const until = Date.now() + Number(seconds) * 1000;
  while (Date.now() < until && waits(trial)) await new Promise((done) => setTimeout(done, 500));
  rollBack(trial);
}
