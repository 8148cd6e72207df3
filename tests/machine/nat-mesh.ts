/**
 * A mesh with a workload behind NAT: hosts on one network, and behind a router that masquerades another host, which no other host can
 * dial. Every proxy is a process in its host's network namespace.
 */
import { join } from 'node:path';
import { nodeBinary, type RuntimeName, runtimeCommand } from '../../control/cli/runtimes.mjs';
import { ROOT } from '../kit/environment.ts';
import { type TestHost, TestNetwork } from '../kit/hosts.ts';
import { LoopbackMesh } from '../kit/mesh.ts';
import { outputOf, type Program, type Ran, run } from '../kit/process.ts';

export const TUNNEL_PORT = 15012;
/** Ports are the same on every host. */
const [ADMIN_PORT, HTTP_PROXY_PORT] = [15000, 15080];
const [INSIDE, ROUTER] = ['192.168.77.2', '192.168.77.1'];

export interface MeshProxy {
  readonly host: TestHost;
  readonly address: string;
  readonly program: Program;
  readonly command: readonly string[];
}

export interface ProxyOptions {
  readonly name: string;
  readonly host: TestHost;
  readonly runtime: RuntimeName;
  readonly labels: Readonly<Record<string, string>>;
  readonly flags?: readonly string[];
  readonly address?: string;
  /** Application ports by service port name. */
  readonly apps?: Readonly<Record<string, number>>;
}

export class NatMesh {
  readonly mesh: LoopbackMesh = new LoopbackMesh();
  readonly network: TestNetwork = new TestNetwork();
  /** Behind the router. */
  readonly inside: TestHost;

  constructor() {
    const [router, inside] = [this.network.add(), this.network.add()];
    on(inside, 'ip', 'link', 'del', linkOf(inside));
    on(router, 'ip', 'link', 'add', 'lan', 'type', 'veth', 'peer', 'name', 'wan', 'netns', inside.namespace);
    on(router, 'ip', 'addr', 'add', `${ROUTER}/24`, 'dev', 'lan');
    on(router, 'ip', 'link', 'set', 'lan', 'up');
    on(router, 'sysctl', '-qw', 'net.ipv4.ip_forward=1');
    on(
      router,
      'nft',
      `add table ip nat; add chain ip nat post { type nat hook postrouting priority 100; }; add rule ip nat post oifname != "lan" masquerade`,
    );
    on(inside, 'ip', 'addr', 'add', `${INSIDE}/24`, 'dev', 'wan');
    on(inside, 'ip', 'link', 'set', 'wan', 'up');
    on(inside, 'ip', 'route', 'add', 'default', 'via', ROUTER);
    this.inside = { ...inside, address: INSIDE };
  }

  startControl(): Promise<void> {
    return this.mesh.startControl({ flags: ['--address', '0.0.0.0'] });
  }

  /** A program on a host. */
  launch(host: TestHost, name: string, command: readonly string[], env: Record<string, string> = {}): Program {
    return this.mesh.launch(name, host.run(command), env);
  }

  /** A proxy that is ready; its service account is its name. */
  async start(options: ProxyOptions): Promise<MeshProxy> {
    const { name, host, runtime, labels, flags = [], address = host.address, apps = {} } = options;
    const port = new URL(this.mesh.url).port;
    const is = Object.entries(labels).map(([key, value]) => `${key}=${value}`);
    const isGateway = flags.includes('--tunnel-port');
    const command = [
      ...runtimeCommand(runtime, join(ROOT, 'edge-proxy/main.ts')),
      ...['--control-plane', `https://${this.network.address}:${port}`, '--trust-bundle', this.mesh.trustBundleFile],
      ...[
        '--data',
        join(this.mesh.folder, 'proxies', name),
        '--name',
        name,
        '--service-account',
        name,
        '--ip',
        address,
      ],
      ...['--labels', is.join(','), '--admin-port', `${ADMIN_PORT}`, '--announce'],
      ...(isGateway ? ['--type', 'router'] : ['--http-proxy-port', `${HTTP_PROXY_PORT}`]),
      ...Object.entries(apps).flatMap(([key, value]) => ['--app-port', `${key}=${value}`]),
      ...flags,
    ];
    const token = await this.mesh.joinToken(name);
    const program = this.launch(host, `${name} (${runtime})`, command, { TULLE_JOIN_TOKEN: token });
    await program.announcement();
    return { host, address, program, command };
  }

  /** A gateway that takes tunnels. */
  gateway(name: string, runtime: RuntimeName, flags: readonly string[] = []): Promise<MeshProxy> {
    const labels = { istio: 'eastwest' };
    const host = this.network.add();
    return this.start({ name, host, runtime, labels, flags: ['--tunnel-port', `${TUNNEL_PORT}`, ...flags] });
  }

  /** An application in TypeScript on a host. */
  app(host: TestHost, script: string, ...args: string[]): Program {
    const command = [nodeBinary(), '--disable-warning=ExperimentalWarning', join(ROOT, script), ...args];
    return this.launch(host, `application ${script}`, command);
  }

  /** What `curl` prints through the HTTP proxy of a sidecar, and the status behind it. */
  async call(from: MeshProxy, url: string, ...more: string[]): Promise<{ status: string; body: string }> {
    const words = ['curl', '-sS', '-m', '20', '-x', `http://127.0.0.1:${HTTP_PROXY_PORT}`, '-w', '\n%{http_code}'];
    const { out } = await this.on(from.host, ...words, ...more, url);
    const lines = out.split('\n');
    return { status: lines.at(-1)!, body: lines.slice(0, -1).join('\n') };
  }

  async admin({ host }: MeshProxy, path: string): Promise<string> {
    return (await this.on(host, 'curl', '-sS', '-m', '10', `http://127.0.0.1:${ADMIN_PORT}${path}`)).out;
  }

  /** A number of the statistics; 0 where there is none. */
  async stat(proxy: MeshProxy, name: string): Promise<number> {
    const found = new RegExp(`^${name}: (\\d+)$`, 'm').exec(await this.admin(proxy, `/stats?filter=${name}`));
    return Number(found?.[1] ?? 0);
  }

  on(host: TestHost, ...words: string[]): Promise<Ran> {
    const [program = '', ...args] = host.run(words);
    return run(program, args);
  }

  async stop(): Promise<void> {
    await this.mesh.stop();
    this.network.close();
  }
}

function on(host: TestHost, ...words: string[]): string {
  const [program = '', ...args] = host.run(words);
  return outputOf(program, args);
}

/** Its interface on the network. */
function linkOf(host: TestHost): string {
  return /^\d+: ([^@:]+)@/m.exec(on(host, 'ip', '-o', 'link', 'show', 'type', 'veth'))![1]!;
}
