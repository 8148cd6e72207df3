/** A mesh of real processes on loopback: control plane, sidecars with their applications, gateways. Used by the demo and by end-to-end tests. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { ControlApi } from '../../control/cli/connection.ts';
import { resourcePath } from '../../control/cli/resources/selection.ts';
import { nodeBinary, type RuntimeName, runtimeCommand } from '../../control/cli/runtimes.mjs';
import { kindOf } from '../../shared/resources/index.ts';
import type { Kind } from '../../shared/resources/kind.ts';
import { parseDocuments } from '../../shared/resources/read/parse.ts';
import type { Resource } from '../../shared/resources/resource.ts';

const ROOT = resolve(fileURLToPath(new URL('../..', import.meta.url)));
const KEPT_LINES = 2000;
const PATIENCE_MS = 20_000;
const MAX_WORKLOADS = 120;

/** A child whose output is kept, so that a failure can be explained. */
export class Part {
  readonly name: string;
  readonly lines: string[] = [];
  readonly process: ChildProcess;
  readonly exited: Promise<number | null>;
  private readonly listeners = new Set<(line: string | undefined) => void>();

  private readonly stopSignal: NodeJS.Signals;

  constructor(
    name: string,
    command: readonly string[],
    environment: Record<string, string> = {},
    stopSignal: NodeJS.Signals = 'SIGTERM',
  ) {
    this.name = name;
    this.stopSignal = stopSignal;
    const [program, ...args] = command;
    this.process = spawn(program!, args, {
      cwd: ROOT,
      env: { ...process.env, NO_COLOR: '1', ...environment },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    for (const stream of [this.process.stdout!, this.process.stderr!])
      createInterface({ input: stream }).on('line', (line) => {
        if (this.lines.push(line) > KEPT_LINES) this.lines.shift();
        for (const listener of [...this.listeners]) listener(line);
      });
    this.exited = new Promise<number | null>((done) => {
      this.process.once('error', () => done(127));
      this.process.once('close', (code) => done(code));
    });
    void this.exited.then(() => {
      for (const listener of [...this.listeners]) listener(undefined);
    });
  }

  /** The first line (past or coming) that `pick` accepts. @throws with the output when the process ends first, or after `limitMs` */
  line<T>(pick: (line: string) => T | undefined, limitMs = 60_000): Promise<T> {
    for (const line of this.lines) {
      const found = pick(line);
      if (found !== undefined) return Promise.resolve(found);
    }
    return new Promise<T>((done, fail) => {
      const finish = (act: () => void) => {
        clearTimeout(timer);
        this.listeners.delete(listener);
        act();
      };
      const explain = (why: string) => new Error(`${this.name}: ${why}\n${this.lines.slice(-20).join('\n')}`);
      const timer = setTimeout(() => finish(() => fail(explain('the expected output did not come'))), limitMs);
      const listener = (line: string | undefined) => {
        if (line === undefined) return finish(() => fail(explain('ended too early')));
        const found = pick(line);
        if (found !== undefined) finish(() => done(found));
      };
      this.listeners.add(listener);
    });
  }

  announcement<T>(): Promise<T> {
    return this.line((line) => (line.startsWith('{"ready":') ? (JSON.parse(line) as T) : undefined));
  }

  /** Ends it and waits; SIGKILL after `PATIENCE_MS`. @returns the exit code, null where a signal ended it */
  async stop(signal: NodeJS.Signals = this.stopSignal): Promise<number | null> {
    if (this.process.exitCode === null && this.process.signalCode === null) this.process.kill(signal);
    const force = setTimeout(() => {
      process.stderr.write(`${this.name} did not end within ${PATIENCE_MS / 1000} s and is killed\n`);
      this.process.kill('SIGKILL');
    }, PATIENCE_MS);
    const code = await this.exited;
    clearTimeout(force);
    return code;
  }
}

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
  readonly httpProxyPort: number;
  readonly adminPort: number;
  proxy: Part;
  app: Part | undefined;
  readonly proxyCommand: readonly string[];
}

/** Everything it starts stops with `stop`. Addresses are loopback, from a /24 of its own, so that meshes do not collide. */
export class LoopbackMesh {
  readonly folder = mkdtempSync(join(tmpdir(), 'tulle-mesh-'));
  readonly parts = new Set<Part>();
  readonly workloads = new Map<string, Workload>();
  private readonly net = `127.${20 + Math.floor(Math.random() * 200)}.${Math.floor(Math.random() * 250)}`;
  private hosts = 1;
  private controlPort = 0;
  private stopping = false;
  private token = '';
  private ca = '';
  control!: Part;
  api!: ControlApi;

  private async part(name: string, command: readonly string[], environment?: Record<string, string>): Promise<Part> {
    if (this.stopping) throw new Error('the mesh is being stopped');
    const part = new Part(name, command, environment);
    this.parts.add(part);
    void part.exited.then(() => this.parts.delete(part));
    return part;
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
  async startControl(options: { svidTtl?: string } = {}): Promise<void> {
    const ttl = options.svidTtl ? ['--svid-ttl', options.svidTtl] : [];
    this.control = await this.part(
      'control',
      this.tulle(
        'control',
        '--data',
        join(this.folder, 'control'),
        '--port',
        String(this.controlPort),
        '--announce',
        ...ttl,
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
    for (const { kind, resource } of resourcesOf(yaml))
      await this.api.request(
        'DELETE',
        resourcePath(kind, resource.metadata.namespace ?? 'default', resource.metadata.name),
      );
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
    const proxy = await this.part(`${options.name} (${options.runtime})`, proxyCommand, { TULLE_JOIN_TOKEN: token });
    await proxy.announcement();
    const app = options.app && (await this.startApp(options, appPort!, httpProxyPort!));
    const workload: Workload = {
      options,
      address,
      httpProxyPort: httpProxyPort!,
      adminPort: adminPort!,
      proxy,
      app,
      proxyCommand,
    };
    this.workloads.set(options.name, workload);
    return workload;
  }

  private startApp(options: WorkloadOptions, port: number, httpProxyPort: number): Promise<Part> {
    const command = (options.app ?? []).map((word) => word.replace('{port}', String(port)));
    return this.part(`${options.name} application`, [nodeBinary(), ...command], {
      http_proxy: `http://127.0.0.1:${httpProxyPort}`,
    });
  }

  /** Restarts a workload's proxy on its data: no join token, so it serves from its disk cache. */
  async restartProxy(name: string): Promise<void> {
    const workload = this.workloads.get(name);
    if (!workload) throw new Error(`no workload "${name}"`);
    await workload.proxy.stop();
    workload.proxy = await this.part(workload.proxy.name, workload.proxyCommand);
    await workload.proxy.announcement();
  }

  /** Stops everything, applications first, and removes the folder. */
  async stop(): Promise<void> {
    this.stopping = true;
    const apps = [...this.workloads.values()].map(({ app }) => app).filter((app) => app !== undefined);
    await Promise.all(apps.map((app) => app.stop()));
    await Promise.all([...this.parts].map((part) => part.stop()));
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

const handedOut = new Set<number>();
/** Below the kernel's ephemeral range (32768 on): a free port here is not taken by an outgoing connection. */
const FIRST_PORT = 12_000;
const PORTS = 20_000;

/** Ports free on 127.0.0.1, each returned once, for processes whose port must be configured. */
export async function freePorts(count: number): Promise<number[]> {
  const ports: number[] = [];
  while (ports.length < count) {
    const port = FIRST_PORT + Math.floor(Math.random() * PORTS);
    if (handedOut.has(port) || !(await isFree(port))) continue;
    handedOut.add(port);
    ports.push(port);
  }
  return ports;
}

function isFree(port: number): Promise<boolean> {
  const server = createServer();
  return new Promise((done) => {
    server.once('error', () => done(false));
    server.listen(port, '127.0.0.1', () => server.close(() => done(true)));
  });
}
