/** What tests of capture share: hosts with a driver and the proxy's stand-in, and what is asked of them. */
import { nodeBinary, type RuntimeName, runtimeCommand } from '../../control/cli/runtimes.mjs';
import type { TurnOnSettings } from '../../machine/capture/capture.ts';
import type { CaptureOptions, InboundCapture, OutboundCapture } from '../../machine/capture/capture-options.ts';
import type { SocketMaker } from '../../machine/capture/transparent-sockets.ts';
import { ROOT } from '../kit/environment.ts';
import { type TestHost, TestNetwork } from '../kit/hosts.ts';
import { DrivenProgram, outputOf, Program, runSync } from '../kit/process.ts';
import { until } from '../kit/waiting.ts';
import type { ConnectOptions } from './host-driver.ts';
import type { Accepted } from './inherited-server.ts';

/** The proxy's user; it has no name here. */
export const UID = 61337;
/** Addresses that exist nowhere, so that only capture answers for them. */
export const [NOWHERE, NOWHERE6] = ['203.0.113.7', '2001:db8::7'];
export const PORT = 8080;
export const CLI = [nodeBinary(), '--disable-warning=ExperimentalWarning', `${ROOT}/control/cli/main.ts`];

export interface Options {
  outbound?: Partial<OutboundCapture>;
  inbound?: Partial<InboundCapture>;
  dnsPort?: number;
  dnsServers?: string[];
  ipv6?: boolean;
}

export function optionsOf({ outbound, inbound, dnsPort, ...rest }: Options): CaptureOptions {
  const none = { excludeIPRanges: [], includePorts: [], excludePorts: [], excludeInterfaces: [] };
  return {
    proxyUid: UID,
    outbound: {
      ...{ includeIPRanges: '*', ...none, excludeUids: [], excludeGids: [], withoutProxy: 'shut' },
      ...outbound,
    },
    inbound: { includePorts: [PORT], excludePorts: [], ...inbound },
    dnsPort,
    ipv6: true,
    ...rest,
  };
}

/** A program on a host, asked by functions of host-driver.ts. */
export class Driver {
  readonly host: TestHost;
  private readonly program: DrivenProgram;

  constructor(host: TestHost, runtime: RuntimeName = 'node') {
    this.host = host;
    const command = host.run(runtimeCommand(runtime, `${ROOT}/tests/machine/host-driver.ts`));
    this.program = new DrivenProgram(`driver on ${runtime}`, command);
  }

  async ask<T>(name: string, ...args: unknown[]): Promise<T> {
    const { result, error } = JSON.parse(await this.program.ask(JSON.stringify([name, args]))) as {
      result: T;
      error?: string;
    };
    if (error !== undefined) throw new Error(error);
    return result;
  }

  on(options: Options = {}, settings: TurnOnSettings = {}): Promise<string | null> {
    return this.ask('turnOn', optionsOf(options), settings);
  }

  /** Which listener answered, or the error's code. */
  async connect(to: string, port: number, options: ConnectOptions = {}): Promise<string> {
    return (await this.ask<Accepted>('connect', to, port, options)).socket;
  }

  stop(): Promise<unknown> {
    return this.program.stop();
  }
}

export const show = (host: TestHost, ...command: string[]): string => {
  const [program = '', ...args] = host.run(command);
  const { out, error } = runSync(program, args);
  return out + error;
};

/** All that capture might change on a host. */
export const stateOf = (host: TestHost): string =>
  [
    ['nft', 'list', 'ruleset'],
    ...['-4', '-6'].flatMap((family) => [
      ['ip', family, 'rule'],
      ['ip', family, 'route', 'show', 'table', 'all'],
      ['ip', family, '-o', 'addr'],
    ]),
    [
      'sh',
      '-c',
      'grep -H . /proc/sys/net/ipv4/conf/*/* /proc/sys/net/ipv6/conf/*/* /proc/sys/net/ipv4/ip_forward 2>&1',
    ],
  ]
    .map((command) => show(host, ...command))
    .join('\n')
    .split('\n')
    // The kernel makes link-local addresses in its own time.
    .filter((line) => !line.includes(' fe80::'))
    .join('\n');

/** The stand-in of the proxy, on sockets that `tulle capture exec` makes. */
async function startProxy(host: TestHost, runtime: RuntimeName, maker?: SocketMaker): Promise<Program> {
  const server = runtimeCommand(runtime, `${ROOT}/tests/machine/inherited-server.ts`);
  const words = ['capture', 'exec', ...(maker ? ['--with', maker] : []), '--user', String(UID), '--', ...server];
  const program = new Program('proxy', host.run([...CLI, ...words]));
  await until(
    'the proxy serves',
    () => program.lines.filter((line) => line.startsWith('serves')).length === 4 || program.ended,
  );
  if (program.ended) throw program.failure('did not serve');
  demandNoRights(program);
  return program;
}

const strictReversePaths = (host: TestHost) => {
  for (const name of ['all', 'default', 'lo'])
    show(host, 'sh', '-c', `echo 1 > /proc/sys/net/ipv4/conf/${name}/rp_filter`);
};

/** @throws where the process kept what only the maker of its sockets needed */
function demandNoRights({ process: { pid } }: Program): void {
  const status = outputOf('cat', [`/proc/${pid}/status`]);
  const wanted = [`Uid:\t${UID}\t${UID}\t${UID}\t${UID}`, 'NoNewPrivs:\t1'];
  const capabilities = ['Inh', 'Prm', 'Eff', 'Amb'].map((set) => `Cap${set}:\t${'0'.repeat(16)}`);
  for (const line of [...wanted, ...capabilities])
    if (!status.includes(`${line}\n`)) throw new Error(`the proxy has rights: ${line} is not in\n${status}`);
}

/** A network of a captured machine and another host, whose server at PORT and 9090 is not captured. */
export class CapturedNetwork {
  readonly network: TestNetwork = new TestNetwork({ ipv6: true });
  readonly other: Driver;
  private readonly drivers: Driver[] = [];
  private readonly programs: Program[] = [];

  constructor() {
    this.other = this.driver(this.network.add());
  }

  async listen(): Promise<void> {
    for (const port of [PORT, 9090]) await this.other.ask('listen', port, '::');
  }

  driver(host: TestHost, runtime?: RuntimeName): Driver {
    const made = new Driver(host, runtime);
    this.drivers.push(made);
    return made;
  }

  /** A host that takes packets only by the interface of their source. */
  machine(runtime?: RuntimeName): Driver {
    const host = this.network.add();
    strictReversePaths(host);
    return this.driver(host, runtime);
  }

  async proxy(...args: Parameters<typeof startProxy>): Promise<Program> {
    const program = await startProxy(...args);
    this.programs.push(program);
    return program;
  }

  async close(): Promise<void> {
    // Records of capture are kept outside of the network namespaces.
    await Promise.all(this.drivers.map((driver) => driver.ask('turnOff')));
    await Promise.all([...this.drivers, ...this.programs].map((one) => one.stop()));
    this.network.close();
  }
}
