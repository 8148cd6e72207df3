/** Capture on hosts of their own: what is redirected, what is not, and that nothing of it remains. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { nodeBinary, type RuntimeName, runtimeCommand } from '../../control/cli/runtimes.mjs';
import type { CaptureState, TurnOnSettings } from '../../machine/capture/capture.ts';
import type { CaptureOptions, InboundCapture, OutboundCapture } from '../../machine/capture/capture-options.ts';
import { CAPTURE_PORTS } from '../../shared/join/capture-ports.ts';
import { ROOT, RUNTIMES } from '../kit/environment.ts';
import { HOSTS, type TestHost, TestNetwork } from '../kit/hosts.ts';
import { DrivenProgram, Program, runSync, works } from '../kit/process.ts';
import { until } from '../kit/waiting.ts';
import type { ConnectOptions } from './host-driver.ts';
import type { Accepted } from './inherited-server.ts';

/** The proxy's user; it has no name here. */
const UID = 61337;
/** Addresses that exist nowhere, so that only capture answers for them. */
const [NOWHERE, NOWHERE6] = ['203.0.113.7', '2001:db8::7'];
const PORT = 8080;
const CLI = [nodeBinary(), '--disable-warning=ExperimentalWarning', `${ROOT}/control/cli/main.ts`];

interface Options {
  outbound?: Partial<OutboundCapture>;
  inbound?: Partial<InboundCapture>;
  dnsPort?: number;
  dnsServers?: string[];
  ipv6?: boolean;
}

function optionsOf({ outbound, inbound, dnsPort, ...rest }: Options): CaptureOptions {
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
class Driver {
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

const show = (host: TestHost, ...command: string[]): string => {
  const [program = '', ...args] = host.run(command);
  const { out, error } = runSync(program, args);
  return out + error;
};

/** All that capture might change on a host. */
const stateOf = (host: TestHost): string =>
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
async function startProxy(host: TestHost, runtime: RuntimeName, sockets = 4, maker?: string): Promise<Program> {
  const server = runtimeCommand(runtime, `${ROOT}/tests/machine/inherited-server.ts`);
  const words = ['capture', 'exec', ...(maker ? ['--with', maker] : []), '--user', String(UID), '--', ...server];
  const program = new Program('proxy', host.run([...CLI, ...words]));
  await until(
    'the proxy serves',
    () => program.lines.filter((line) => line.startsWith('serves')).length === sockets || program.ended,
  );
  if (program.ended) throw program.failure('did not serve');
  return program;
}

const strictReversePaths = (host: TestHost) => {
  for (const name of ['all', 'default', 'lo'])
    show(host, 'sh', '-c', `echo 1 > /proc/sys/net/ipv4/conf/${name}/rp_filter`);
};

describe.skipIf(!HOSTS || !works('nft'))('capture', () => {
  let network: TestNetwork;
  let other: Driver;
  const drivers: Driver[] = [];
  const programs: Program[] = [];

  const driver = (host: TestHost, runtime?: RuntimeName): Driver => {
    const made = new Driver(host, runtime);
    drivers.push(made);
    return made;
  };
  const newHost = (): TestHost => {
    const host = network.add();
    strictReversePaths(host);
    return host;
  };
  const proxy = async (...args: Parameters<typeof startProxy>): Promise<Program> => {
    const program = await startProxy(...args);
    programs.push(program);
    return program;
  };

  beforeAll(async () => {
    network = new TestNetwork({ ipv6: true });
    other = driver(newHost());
    for (const port of [PORT, 9090]) await other.ask('listen', port, '::');
  });

  afterAll(async () => {
    await Promise.all(drivers.map((one) => one.stop()));
    await Promise.all(programs.map((program) => program.stop()));
    network?.close();
  });

  describe.each(RUNTIMES)('on %s', (runtime) => {
    it('captures both directions and both families, keeps the destination, and leaves nothing behind', async () => {
      const machine = driver(newHost(), runtime);
      const { address, address6 } = machine.host;
      const before = stateOf(machine.host);
      await machine.on();
      const rules = show(machine.host, 'nft', '-s', 'list', 'ruleset');
      expect(rules).toContain('table inet tulle');
      await machine.on();
      expect(show(machine.host, 'nft', '-s', 'list', 'ruleset'), 'a second run changes nothing').toBe(rules);
      await proxy(machine.host, runtime);

      const outbound = await machine.ask('connect', NOWHERE, 80);
      expect(outbound).toEqual({ socket: 'outbound', local: `${NOWHERE} 80`, remote: address });
      const outbound6 = await machine.ask('connect', NOWHERE6, 443);
      expect(outbound6).toEqual({ socket: 'outbound6', local: `${NOWHERE6} 443`, remote: address6 });
      const inbound = await other.ask('connect', address, PORT);
      expect(inbound).toEqual({ socket: 'inbound', local: `${address} ${PORT}`, remote: other.host.address });
      const inbound6 = await other.ask('connect', address6, PORT);
      expect(inbound6).toEqual({ socket: 'inbound6', local: `${address6} ${PORT}`, remote: other.host.address6 });

      for (const port of [CAPTURE_PORTS.outbound, CAPTURE_PORTS.inbound])
        for (const to of [address, address6]) {
          expect(await other.connect(to, port), `${to} ${port}`).toBe('ECONNREFUSED');
          expect(await machine.connect(to, port), `${to} ${port} of itself`).toBe('ECONNREFUSED');
        }
      expect(await machine.connect('127.0.0.1', CAPTURE_PORTS.outbound)).toBe('ECONNREFUSED');

      const state = await machine.ask<CaptureState>('show');
      expect(state).toMatchObject({
        on: true,
        backEnd: 'nft',
        listening: { outbound: true, inbound: true },
        counters: { outbound_connections: 2, inbound_connections: 2, without_proxy_connections: 0 },
        findings: [],
      });
      expect(await machine.ask('turnOff')).toBe(true);
      expect(stateOf(machine.host)).toBe(before);
      expect(await machine.ask('turnOff')).toBe(false);
    });
  });

  describe('of one machine', () => {
    let machine: Driver;

    beforeAll(async () => {
      machine = driver(newHost());
      await proxy(machine.host, 'node');
      for (const port of [22, PORT, 9000]) await machine.ask('listen', port, '::');
    });

    it.each<[string, Options, ConnectOptions]>([
      ['the proxy', {}, { uid: UID }],
      ['a user', { outbound: { excludeUids: [4321] } }, { uid: 4321 }],
      ['a group', { outbound: { excludeGids: [4321] } }, { gid: 4321 }],
      ['a port', { outbound: { excludePorts: [25, PORT] } }, {}],
      ['a range', { outbound: { excludeIPRanges: ['10.0.0.0/8', '10.1.0.0/16', 'fc00::/7'] } }, {}],
      ['all but a range', { outbound: { includeIPRanges: ['203.0.113.0/24', '2001:db8::/32'] } }, {}],
      ['all but a port', { outbound: { includeIPRanges: [], includePorts: [80] } }, {}],
      ['interfaces', { outbound: { excludeInterfaces: ['docker0', 't*'] } }, {}],
    ])('exempts %s', async (name, options, from) => {
      await machine.on(options);
      const { address, address6 } = other.host;
      expect(await machine.connect(address, PORT, from)).toBe('direct');
      expect(await machine.connect(address6, PORT, from)).toBe('direct');
      if (name === 'interfaces') return expect(await other.connect(machine.host.address, PORT)).toBe('direct');
      expect(await machine.connect(NOWHERE, 80)).toBe('outbound');
      expect(await machine.connect(NOWHERE6, 80)).toBe('outbound6');
    });

    it('captures workload ports alone, and never SSH', async () => {
      const from = async (port: number) => [
        await other.connect(machine.host.address, port),
        await other.connect(machine.host.address6, port),
      ];
      await machine.on();
      expect([...(await from(PORT)), ...(await from(9000)), ...(await from(22))]).toEqual([
        ...['inbound', 'inbound6', 'direct', 'direct', 'direct', 'direct'],
      ]);
      await machine.on({ inbound: { includePorts: '*', excludePorts: [9000] } });
      expect([...(await from(7777)), ...(await from(9000)), ...(await from(22))]).toEqual([
        ...['inbound', 'inbound6', 'direct', 'direct', 'direct', 'direct'],
      ]);
      await expect(machine.on({ inbound: { includePorts: [22] } })).rejects.toThrow('22 is SSH');
      await expect(machine.on({ inbound: { includePorts: [15006] } })).rejects.toThrow('15006 belongs to the mesh');
    });

    it('leaves IPv6 alone where only IPv4 is captured', async () => {
      await machine.on({ ipv6: false });
      expect(await machine.connect(other.host.address, PORT)).toBe('outbound');
      expect(await machine.connect(other.host.address6, PORT)).toBe('direct');
      expect(await other.connect(machine.host.address6, PORT)).toBe('direct');
      expect(show(machine.host, 'ip', '-6', 'rule')).not.toContain('15001');
    });

    it("sends the proxy's calls to its own workload to its inbound listener, and not what it hands over", async () => {
      await machine.on();
      const { address, address6 } = machine.host;
      expect(await machine.connect(address, PORT, { uid: UID })).toBe('inbound');
      expect(await machine.connect(address6, PORT, { uid: UID })).toBe('inbound6');
      for (const [to, localAddress] of [
        [address, '127.0.0.6'],
        [address6, '::6'],
        ['127.0.0.1', undefined],
        ['::1', undefined],
      ] as const)
        expect(await machine.connect(to, PORT, { uid: UID, localAddress }), to).toBe('direct');
      expect(await machine.connect(address, PORT), 'the application to itself').toBe('direct');
    });

    it('lets connections continue that began before', async () => {
      await machine.ask('turnOff');
      const out = await machine.ask<number>('keep', other.host.address, PORT);
      const back = await other.ask<number>('keep', machine.host.address, PORT);
      await machine.on();
      expect(await machine.ask('ping', out)).toBe('ping');
      expect(await other.ask('ping', back)).toBe('ping');
      const ssh = await other.ask<number>('keep', machine.host.address, 22);
      expect(await other.ask('ping', ssh)).toBe('ping');
    });

    it('redirects queries, but those of the proxy', async () => {
      await machine.ask('answer', CAPTURE_PORTS.dns, 'proxy', '127.0.0.1');
      await machine.ask('answer', CAPTURE_PORTS.dns, 'proxy6', '::1');
      await other.ask('answer', 53, 'real', other.host.address);
      await other.ask('answer', 53, 'real6', other.host.address6);
      const { address, address6 } = other.host;
      await machine.on({ dnsPort: CAPTURE_PORTS.dns });
      expect(await machine.ask('query', address)).toBe('proxy');
      expect(await machine.ask('query', address6)).toBe('proxy6');
      expect(await machine.ask('query', address, UID)).toBe('real');
      expect(await machine.ask('query', address6, UID)).toBe('real6');
      await machine.ask('listen', CAPTURE_PORTS.dns, '127.0.0.1');
      expect(await machine.connect(address, 53), 'over TCP').toBe('direct');
      await machine.on({ dnsPort: CAPTURE_PORTS.dns, dnsServers: ['192.0.2.53'] });
      expect(await machine.ask('query', address)).toBe('real');
      expect(await machine.ask('query', '192.0.2.53')).toBe('proxy');
    });

    it('takes a trial back, to what was captured before it', async () => {
      await machine.on({ outbound: { excludePorts: [80] } });
      const trial = await machine.on({}, { trialSeconds: 60 });
      expect(await machine.connect(NOWHERE, 80)).toBe('outbound');
      expect(await machine.ask('rollBack', 'another')).toBe(false);
      expect(await machine.ask('rollBack', trial)).toBe(true);
      expect((await machine.ask<CaptureState>('show')).options).toEqual(
        optionsOf({ outbound: { excludePorts: [80] } }),
      );
      const second = await machine.on({}, { trialSeconds: 60 });
      await machine.ask('confirm');
      expect(await machine.ask('rollBack', second)).toBe(false);
      await expect(machine.ask('confirm')).rejects.toThrow('nothing waits');
    });
  });
});
