/**
 * A mesh whose machines capture connections: each is a network namespace with rules as machine/capture makes them, and a process
 * that holds the transparent listening sockets as systemd does.
 */
import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ControlApi } from '../../control/cli/connection.ts';
import { resourcePath } from '../../control/cli/resources/selection.ts';
import { nodeBinary, proxyCommand, type RuntimeName } from '../../control/cli/runtimes.mjs';
import { kindOf } from '../../shared/resources/index.ts';
import { ROOT } from '../kit/environment.ts';
import { type TestHost, TestNetwork } from '../kit/hosts.ts';
import { DrivenProgram, outputOf, Program } from '../kit/process.ts';
import { type Made, workloadEntry } from '../kit/resources.ts';
import { until } from '../kit/waiting.ts';
import type { Answer, Call } from './captured-client.ts';

/** Of a proxy on a busy machine. */
const START_LIMIT_MS = 90_000;
/** Of the proxies: their own connections are not captured. */
const UID = 1337;
const MARK = '0x2000';
/** Tables 254 and below are the system's. */
const TABLE = '15001';

/** As machine/capture: outbound connections of all but the proxy, inbound ones to all ports but SSH's and the mesh's. */
const RULES = `
table inet tulle {
  chain output {
    type route hook output priority mangle; policy accept;
    meta l4proto != tcp accept
    oif lo accept
    meta skuid ${UID} accept
    ct direction reply accept
    meta mark set ${MARK} accept
  }
  chain prerouting {
    type filter hook prerouting priority mangle; policy accept;
    meta l4proto != tcp accept
    iif lo meta mark != ${MARK} accept
    iif lo meta nfproto ipv4 meta l4proto tcp tproxy ip to 127.0.0.1:15001 accept
    iif lo meta nfproto ipv6 meta l4proto tcp tproxy ip6 to [::1]:15001 accept
    ct direction reply accept
    tcp dport { 22, 15000-15090 } accept
    fib daddr type != local accept
    meta nfproto ipv4 meta l4proto tcp tproxy ip to 127.0.0.1:15006 accept
    meta nfproto ipv6 meta l4proto tcp tproxy ip6 to [::1]:15006 accept
  }
}
`;

/** Makes the sockets as descriptors 3 to 6, and becomes a shell that starts what it reads with them. */
const HOLDER = `
import os, socket
for number, (family, level, option, any_, port) in enumerate([
    (socket.AF_INET, socket.SOL_IP, 19, '0.0.0.0', 15001), (socket.AF_INET6, socket.IPPROTO_IPV6, 75, '::', 15001),
    (socket.AF_INET, socket.SOL_IP, 19, '0.0.0.0', 15006), (socket.AF_INET6, socket.IPPROTO_IPV6, 75, '::', 15006)], 3):
  made = socket.socket(family)
  made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
  made.setsockopt(level, option, 1)
  if family == socket.AF_INET6: made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
  made.bind((any_, port))
  made.listen(1024)
  held = made.detach()
  if held != number: os.dup2(held, number)
  os.set_inheritable(number, True)
os.environ['TULLE_LISTEN_FDS'] = 'outbound=3,outbound6=4,inbound=5,inbound6=6'
os.execv('/bin/sh', ['sh', '-c', 'while read -r line; do eval "$line"; done'])
`;

const quoted = (words: readonly string[]) => words.map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(' ');

export interface RunningProxy {
  readonly pid: number;
  readonly adminPort: number;
  /** The exit code, once it has ended. */
  readonly exited: Promise<number>;
}

export interface MachineOptions {
  readonly name: string;
  readonly labels?: Readonly<Record<string, string>>;
  /** Name -> address, in the place of DNS. */
  readonly names?: Readonly<Record<string, string>>;
  readonly flags?: readonly string[];
  /** It runs tests/e2e/captured-app.ts. */
  readonly app?: boolean;
  /** No proxy, and nothing is captured. */
  readonly bare?: boolean;
}

export class Machine {
  readonly host: TestHost;
  readonly ip6: string;
  private readonly client: DrivenProgram;
  private readonly holder: DrivenProgram | undefined;
  /** The proxy's flags. */
  private readonly flags: readonly string[];
  private readonly runtime: RuntimeName;
  proxy: RunningProxy | undefined;

  constructor(
    host: TestHost,
    ip6: string,
    client: DrivenProgram,
    holder: DrivenProgram | undefined,
    runtime: RuntimeName,
    flags: readonly string[],
  ) {
    this.host = host;
    this.ip6 = ip6;
    this.client = client;
    this.holder = holder;
    this.runtime = runtime;
    this.flags = flags;
  }

  async call(call: Call): Promise<Answer> {
    return JSON.parse(await this.client.ask(JSON.stringify(call))) as Answer;
  }

  private asProxy(command: readonly string[], environment: Readonly<Record<string, string>> = {}): string {
    const user = ['setpriv', '--reuid', String(UID), '--regid', String(UID), '--clear-groups'];
    const words = ['env', ...Object.entries(environment).map(([key, value]) => `${key}=${value}`), ...user];
    return quoted([...words, ...command]);
  }

  /** Runs a command by `tulle run` on the same sockets. @returns the line of its output that begins with `app: ` */
  async runApplication(...command: readonly string[]): Promise<string> {
    const words = [`${ROOT}/control/cli/tulle`, 'run', '--runtime', this.runtime, ...this.flags, '--', ...command];
    this.holder!.tell(`${this.asProxy(words)} &`);
    return this.holder!.line((line) => (line.startsWith('app: ') ? line : undefined));
  }

  /** Another proxy on the same sockets; it is ready when this returns. */
  async startProxy(environment: Readonly<Record<string, string>> = {}, ...more: string[]): Promise<RunningProxy> {
    const holder = this.holder!;
    const command = this.asProxy([...proxyCommand(this.runtime), ...this.flags, '--announce', ...more], environment);
    const pid = Promise.withResolvers<number>();
    const ready = Promise.withResolvers<number>();
    const exited = Promise.withResolvers<number>();
    holder.onLine((line) => {
      const [word, ...numbers] = line.split(' ');
      if (word === 'proxy') pid.resolve(Number(numbers[0]));
      if (line.startsWith('{"ready"')) ready.resolve((JSON.parse(line) as { adminPort: number }).adminPort);
      if (word === 'ended')
        void pid.promise.then((own) => {
          if (own !== Number(numbers[0])) return;
          exited.resolve(Number(numbers[1]));
          ready.reject(new Error(`the proxy ended:\n${holder.lines.join('\n')}`));
        });
    });
    holder.tell(`{ ${command} & own=$!; echo "proxy $own"; wait $own; echo "ended $own $?"; } &`);
    const limit = setTimeout(
      () => ready.reject(new Error(`the proxy is not ready:\n${holder.lines.join('\n')}`)),
      START_LIMIT_MS,
    );
    this.proxy = { pid: await pid.promise, adminPort: await ready.promise, exited: exited.promise };
    clearTimeout(limit);
    return this.proxy;
  }

  /** What the proxy's admin endpoint answers. */
  async admin(path: string): Promise<string> {
    const { body = '' } = await this.call({ http: { host: '127.0.0.1', port: this.proxy!.adminPort, path } });
    return body;
  }

  /** Whether its metric has a series for what Istio calls a destination. */
  async counted(metric: string, destination: string): Promise<boolean> {
    const lines = (await this.admin('/stats/prometheus')).split('\n');
    return lines.some((line) => line.startsWith(`${metric}{`) && line.includes(`_service_name="${destination}"`));
  }

  /** The output of its proxies. */
  get log(): readonly string[] {
    return this.holder?.lines ?? [];
  }

  async stop(): Promise<void> {
    if (this.proxy) process.kill(this.proxy.pid, 'SIGTERM');
    await this.proxy?.exited;
  }
}

export class CapturedMesh {
  readonly network: TestNetwork = new TestNetwork();
  private readonly runtime: RuntimeName;
  /** Proxies run as another user, who may not enter the folder of the test run. */
  private readonly folder = mkdtempSync('/tmp/tulle-captured-');
  private readonly programs: Program[] = [];
  private readonly machines: Machine[] = [];
  private api!: ControlApi;
  private url = '';

  constructor(runtime: RuntimeName) {
    this.runtime = runtime;
    chmodSync(this.folder, 0o755);
  }

  private launch<P extends Program>(program: P): P {
    this.programs.push(program);
    return program;
  }

  async startControl(): Promise<void> {
    const script = join(ROOT, 'control/cli/main.ts');
    const data = join(this.folder, 'control');
    const words = ['control', '--data', data, '--port', '0', '--address', this.network.address, '--announce'];
    const command = [nodeBinary(), '--disable-warning=ExperimentalWarning', script, ...words];
    const control = this.launch(new Program('control', command));
    const ready = await control.announcement<{ port: number; adminToken: string; trustBundle: string }>();
    this.url = `https://${this.network.address}:${ready.port}`;
    this.api = new ControlApi(this.url, ready.adminToken, ready.trustBundle);
    writeFileSync(join(this.folder, 'roots.pem'), ready.trustBundle);
  }

  /** Creates or replaces resources. */
  async apply(...resources: readonly Made[]): Promise<void> {
    for (const resource of resources) await until('the resource is applied', () => this.applyOne(resource));
  }

  private async applyOne(resource: Made): Promise<true> {
    const kind = kindOf(resource.apiVersion, resource.kind)!;
    const at = resourcePath(kind, resource.metadata.namespace, resource.metadata.name);
    const current = await this.api.request('GET', at);
    if (current.status !== 404) await this.api.call('PUT', at, resource);
    else await this.api.call('POST', resourcePath(kind, resource.metadata.namespace), resource);
    return true;
  }

  async remove(...resources: readonly Made[]): Promise<void> {
    for (const { apiVersion, kind, metadata } of resources)
      await this.api.request('DELETE', resourcePath(kindOf(apiVersion, kind)!, metadata.namespace, metadata.name));
  }

  /** A Sidecar of the namespace. */
  sidecar(spec: object): Made {
    const metadata = { name: 'default', namespace: 'default' };
    return { apiVersion: 'networking.istio.io/v1', kind: 'Sidecar', metadata, spec };
  }

  /** Its proxy is ready, and its application, when this returns. */
  async add(options: MachineOptions): Promise<Machine> {
    const { name, labels = { app: name }, names = {}, flags = [], app = false, bare = false } = options;
    const host = this.network.add(names);
    const ip6 = `fd99::${host.address.split('.').at(-1)}`;
    const on = (...words: string[]) => {
      const [program = '', ...rest] = host.run(words);
      outputOf(program, rest);
    };
    on(
      'sh',
      '-c',
      `ip -6 addr add ${ip6}/64 dev $(ip -o link show type veth | sed 's/^[0-9]*: \\([^@:]*\\).*/\\1/') nodad`,
    );
    on('ip', 'route', 'add', 'default', 'via', this.network.address);
    on('ip', '-6', 'route', 'add', 'default', 'via', 'fd99::1');
    const node = [nodeBinary(), '--disable-warning=ExperimentalWarning'];
    const client = this.launch(
      new DrivenProgram(`client on ${name}`, host.run([...node, `${ROOT}/tests/e2e/captured-client.ts`])),
    );
    if (app) {
      const served = this.launch(
        new Program(`application ${name}`, host.run([...node, `${ROOT}/tests/e2e/captured-app.ts`, name])),
      );
      await served.announcement();
    }
    const account = labels['app'] ?? name;
    const data = join(this.folder, name);
    mkdirSync(data);
    chownSync(data, UID, UID);
    const control = ['--control-plane', this.url, '--trust-bundle', join(this.folder, 'roots.pem')];
    const own = ['--data', data, '--name', name, '--service-account', account, '--ip', host.address];
    const is = Object.entries(labels).map(([key, value]) => `${key}=${value}`);
    const more = ['--labels', is.join(','), '--interception-mode', 'TPROXY', '--dns-port', 'off', '--admin-port', '0'];
    if (bare) return this.keep(new Machine(host, ip6, client, undefined, this.runtime, []));
    const all = [...control, ...own, ...more, '--leave-on-stop', 'no', ...flags];
    on('sh', '-c', `nft -f - <<'END'\n${RULES}\nEND`);
    for (const [family, any] of [
      ['-4', '0.0.0.0/0'],
      ['-6', '::/0'],
    ] as const) {
      on('ip', family, 'rule', 'add', 'fwmark', MARK, 'lookup', TABLE);
      on('ip', family, 'route', 'add', 'local', any, 'dev', 'lo', 'table', TABLE);
    }
    on('ip', '-6', 'addr', 'add', '::6/128', 'dev', 'lo');
    const holder = this.launch(new DrivenProgram(`proxies of ${name}`, host.run(['python3', '-c', HOLDER])));
    const machine = this.keep(new Machine(host, ip6, client, holder, this.runtime, all));
    if (app) await this.apply(workloadEntry(name, host.address, { app: account, labels, serviceAccount: account }));
    const token = { namespace: 'default', serviceAccount: account };
    const joins = await until('there is a token', () =>
      this.api.call<{ token: string }>('POST', '/v1/join-tokens', token),
    );
    await machine.startProxy({ TULLE_JOIN_TOKEN: joins.token, TULLE_HOST_WAIT_MS: '30000' });
    return machine;
  }

  /** The flags and the join token of a proxy that a user of these ids starts on a machine. */
  async joining(name: string, host: TestHost): Promise<{ flags: string[]; token: string; uid: number }> {
    const data = join(this.folder, `${name}-own`);
    mkdirSync(data);
    chownSync(data, UID, UID);
    const control = ['--control-plane', this.url, '--trust-bundle', join(this.folder, 'roots.pem')];
    const own = ['--data', data, '--name', name, '--service-account', name, '--ip', host.address];
    const { token } = await this.api.call<{ token: string }>('POST', '/v1/join-tokens', {
      namespace: 'default',
      serviceAccount: name,
    });
    return { flags: [...control, ...own], token, uid: UID };
  }

  private keep(machine: Machine): Machine {
    this.machines.push(machine);
    return machine;
  }

  async stop(): Promise<void> {
    await Promise.all(this.machines.map((machine) => machine.stop()));
    await Promise.all(this.programs.map((program) => program.stop()));
    this.network.close();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Waits until a call is answered as it should be. */
export async function answered(machine: Machine, call: Call, expected: (answer: Answer) => boolean): Promise<Answer> {
  let last: Answer = {};
  const found = until(
    'the answer is as expected',
    async () => {
      last = await machine.call(call);
      return expected(last);
    },
    30_000,
  );
  await found.catch((error: Error) => {
    throw new Error(
      `${JSON.stringify(call)}: ${error.message}: ${JSON.stringify(last)}\n${machine.log.slice(-20).join('\n')}`,
    );
  });
  return last;
}
