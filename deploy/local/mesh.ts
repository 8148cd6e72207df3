/** A mesh of real processes on loopback: control plane, sidecars with their applications, gateways. For the demo and, by tests/kit, for tests. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ControlApi, describeStatus } from '../../control/cli/connection.ts';
import { resourcePath } from '../../control/cli/resources/selection.ts';
import { nodeBinary, type RuntimeName, runtimeCommand } from '../../control/cli/runtimes.mjs';
import { kindOf } from '../../shared/resources/index.ts';
import type { Kind } from '../../shared/resources/kind.ts';
import { parseDocuments } from '../../shared/resources/read/parse.ts';
import type { Resource } from '../../shared/resources/resource.ts';
import { freePorts } from './ports.ts';
import { Program, ROOT } from './program.ts';

const MAX_WORKLOADS = 120;
/** Many proxies that start at once on one machine fetch their first hosts slowly. */
const PATIENT = { TULLE_HOST_WAIT_MS: '30000' };

export interface WorkloadOptions {
  name: string;
  serviceAccount: string;
  labels: Record<string, string>;
  runtime: RuntimeName;
  /** router: a gateway. */
  type?: 'sidecar' | 'router';
  /** The application: a script and its arguments, with its listening port in place of `{port}`. */
  app?: readonly string[];
  /** Further flags of the proxy. */
  flags?: readonly string[];
  /** Lifetime asked for its certificates, in seconds. */
  svidSeconds?: number;
}

/** One workload: its address, its proxy, and its application if it has one. */
export interface Workload {
  readonly options: WorkloadOptions;
  readonly address: string;
  /** Where its proxy listens for calls to other services. */
  readonly outboundAddress: string;
  readonly httpProxyPort: number;
  readonly adminPort: number;
  proxy: Program;
  app: Program | undefined;
  readonly proxyCommand: readonly string[];
}

/** Everything it starts stops with `stop`. Addresses are loopback, from a /24 of its own, so that meshes do not collide. */
export class LoopbackMesh {
  readonly folder = mkdtempSync(join(tmpdir(), 'tulle-mesh-'));
  readonly programs = new Set<Program>();
  readonly workloads = new Map<string, Workload>();
  private readonly net = `127.${20 + Math.floor(Math.random() * 200)}.${Math.floor(Math.random() * 250)}`;
  private hosts = 1;
  private controlPort = 0;
  private stopping = false;
  private token = '';
  private ca = '';
  control!: Program;
  api!: ControlApi;

  /** Starts a program that stops with the mesh. @throws when the mesh is being stopped */
  launch(name: string, command: readonly string[], env?: Record<string, string>): Program {
    if (this.stopping) throw new Error('the mesh is being stopped');
    const program = new Program(name, command, { env: { ...PATIENT, ...env } });
    this.programs.add(program);
    void program.exited.then(() => this.programs.delete(program));
    return program;
  }

  private tulle(...args: string[]): string[] {
    return [nodeBinary(), '--disable-warning=ExperimentalWarning', join(ROOT, 'control/cli/main.ts'), ...args];
  }

  get url(): string {
    return `https://127.0.0.1:${this.controlPort}`;
  }

  get trustBundleFile(): string {
    return join(this.folder, 'control', 'ca', 'root-cert.pem');
  }

  /** Starts the control plane, or starts it again on the same data and port. */
  async startControl(options: { svidTtl?: string; flags?: readonly string[] } = {}): Promise<void> {
    const ttl = options.svidTtl ? ['--svid-ttl', options.svidTtl] : [];
    this.control = this.launch(
      'control',
      this.tulle(
        'control',
        '--data',
        join(this.folder, 'control'),
        '--port',
        String(this.controlPort),
        '--announce',
        ...ttl,
        ...(options.flags ?? []),
      ),
    );
    const ready = await this.control.announcement<{ port: number; adminToken?: string; trustBundle: string }>();
    this.controlPort = ready.port;
    this.token = ready.adminToken ?? this.token;
    this.ca = ready.trustBundle;
    this.api = new ControlApi(this.url, this.token, this.ca);
  }

  get adminToken(): string {
    return this.token;
  }

  get trustBundle(): string {
    return this.ca;
  }

  /** Where a workload's outbound listeners bind: distinct from other workloads' and from serving addresses. */
  private outboundAddress(address: string): string {
    const host = Number(address.slice(this.net.length + 1));
    return `${this.net}.${host + MAX_WORKLOADS}`;
  }

  /** Another loopback address of this mesh. */
  address(): string {
    if (this.hosts >= MAX_WORKLOADS) throw new Error(`a mesh holds ${MAX_WORKLOADS} workloads`);
    return `${this.net}.${++this.hosts}`;
  }

  async joinToken(serviceAccount: string, namespace = 'default'): Promise<string> {
    const { token } = await this.api.call<{ token: string }>('POST', '/v1/join-tokens', { namespace, serviceAccount });
    return token;
  }

  /** Creates or replaces every resource of a YAML text; without a namespace, in `default`. */
  async apply(yaml: string): Promise<void> {
    for (const { kind, resource } of resourcesOf(yaml)) {
      const namespace = resource.metadata.namespace ?? 'default';
      const at = resourcePath(kind, namespace, resource.metadata.name);
      const current = await this.api.request('GET', at);
      if (current.status === 404) await this.api.call('POST', resourcePath(kind, namespace), resource);
      else await this.api.call('PUT', at, resource);
    }
  }

  /** Deletes every resource of a YAML text; absent ones are ignored. */
  async remove(yaml: string): Promise<void> {
    for (const { kind, resource } of resourcesOf(yaml)) {
      const at = resourcePath(kind, resource.metadata.namespace ?? 'default', resource.metadata.name);
      const answer = await this.api.request('DELETE', at);
      if (answer.status >= 300 && answer.status !== 404) throw new Error(`DELETE ${at}: ${describeStatus(answer)}`);
    }
  }

  /** Starts proxy, then application; the proxy is ready when this returns. */
  async start(options: WorkloadOptions, address = this.address()): Promise<Workload> {
    const [httpProxyPort, adminPort, appPort] = await freePorts(3);
    const token = await this.joinToken(options.serviceAccount);
    const labels = Object.entries(options.labels).map(([key, value]) => `${key}=${value}`);
    const proxyCommand = [
      ...runtimeCommand(options.runtime, join(ROOT, 'edge-proxy/main.ts')),
      ...['--control-plane', this.url, '--trust-bundle', this.trustBundleFile, '--announce'],
      ...[
        '--data',
        join(this.folder, 'proxies', options.name),
        '--name',
        options.name,
        '--type',
        options.type ?? 'sidecar',
      ],
      ...['--service-account', options.serviceAccount, '--ip', address, '--labels', labels.join(',')],
      ...[
        '--http-proxy-port',
        String(httpProxyPort),
        '--admin-port',
        String(adminPort),
        '--outbound-bind',
        this.outboundAddress(address),
      ],
      ...(options.app ? ['--app-port', `http=${appPort}`] : []),
      ...(options.flags ?? []),
    ];
    const proxy = this.launch(`${options.name} (${options.runtime})`, proxyCommand, { TULLE_JOIN_TOKEN: token });
    await proxy.announcement();
    const app = options.app && this.startApp(options, appPort!, httpProxyPort!);
    const workload: Workload = {
      options,
      address,
      outboundAddress: this.outboundAddress(address),
      httpProxyPort: httpProxyPort!,
      adminPort: adminPort!,
      proxy,
      app,
      proxyCommand,
    };
    this.workloads.set(options.name, workload);
    return workload;
  }

  private startApp(options: WorkloadOptions, port: number, httpProxyPort: number): Program {
    const command = (options.app ?? []).map((word) => word.replace('{port}', String(port)));
    return this.launch(`${options.name} application`, [nodeBinary(), ...command], {
      http_proxy: `http://127.0.0.1:${httpProxyPort}`,
    });
  }

  /** Restarts a workload's proxy on its data: no join token, so it serves from its disk cache. */
  async restartProxy(name: string): Promise<void> {
    const workload = this.workloads.get(name);
    if (!workload) throw new Error(`no workload "${name}"`);
    await workload.proxy.stop();
    workload.proxy = this.launch(workload.proxy.name, workload.proxyCommand);
    await workload.proxy.announcement();
  }

  /** Stops everything, applications first, and removes the folder. */
  async stop(): Promise<void> {
    this.stopping = true;
    const apps = [...this.workloads.values()].map(({ app }) => app).filter((app) => app !== undefined);
    await Promise.all(apps.map((app) => app.stop()));
    await Promise.all([...this.programs].map((program) => program.stop()));
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** The resources of a YAML text with their kinds. @throws Error naming an unknown kind */
function resourcesOf(yaml: string): { kind: Kind; resource: Resource }[] {
  return parseDocuments(yaml).documents.map(({ value }) => {
    const resource = value as Resource;
    const kind = kindOf(resource.apiVersion, resource.kind);
    if (!kind) throw new Error(`unknown kind ${resource.apiVersion} ${resource.kind}`);
    return { kind, resource };
  });
}
