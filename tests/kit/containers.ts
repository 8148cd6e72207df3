/** Containers for tests, by podman: services of a Compose file, with what the file says of them. */
import { parse } from 'yaml';
import { outputOf, type Ran, run, runSync } from './process.ts';

/** Old hosts with two versions of control groups need runc; rootless limits cannot be raised here. */
const RUNTIME = ['--runtime', 'runc', '--ulimit', 'nofile=1024:1024', '--ulimit', 'nproc=1024:1024'];

/** Whether containers can be built and started here; else the reason is printed. */
export const CONTAINERS: boolean = allowed();

function allowed(): boolean {
  const missing = ['podman', 'buildah', 'runc'].filter((program) => runSync(program, ['--version']).code !== 0);
  if (missing.length === 0 && process.getuid?.() === 0) return true;
  console.warn(`skipped: no containers (they need root and ${missing.join(', ') || 'nothing else'})`);
  return false;
}

interface ComposeService {
  readonly image: string;
  readonly user?: string;
  readonly command: readonly string[];
  readonly cap_drop: readonly string[];
  readonly cap_add?: readonly string[];
  readonly security_opt: readonly string[];
  readonly read_only: boolean;
  readonly tmpfs: readonly string[];
  readonly volumes: readonly string[];
  readonly secrets: readonly string[];
  readonly healthcheck: { readonly test: readonly string[] };
}

interface ComposeFile {
  readonly services: Readonly<Record<string, ComposeService>>;
  readonly secrets: Readonly<Record<string, { readonly file: string }>>;
}

/** A network of containers; the test process is on it at `gateway`. */
export class ContainerNetwork {
  private readonly id = `tulle-${process.pid}-${Math.floor(Math.random() * 1e6)}`;
  private readonly net = `10.${200 + Math.floor(Math.random() * 50)}.${Math.floor(Math.random() * 250)}`;
  private readonly names: string[] = [];
  private readonly volumes = new Set<string>();
  readonly gateway: string = `${this.net}.1`;

  constructor() {
    outputOf('podman', ['network', 'create', '--subnet', `${this.net}.0/24`, '--gateway', this.gateway, this.id]);
  }

  /** Starts a service as `docker compose` does. @param folder of the files that the Compose file names */
  start(compose: string, service: string, folder: string): Container {
    const { services, secrets } = parse(compose) as ComposeFile;
    const found = services[service]!;
    const name = `${this.id}-${service}`;
    this.names.push(name);
    const each = (flag: string, values: readonly string[] = []) => values.flatMap((value) => [flag, value]);
    const volumes = found.volumes.map((volume) => `${this.id}-${volume}`);
    for (const volume of volumes) this.volumes.add(volume.split(':')[0]!);
    const mounted = found.secrets.map((secret) => `${folder}/${secrets[secret]!.file}:/run/secrets/${secret}:ro`);
    outputOf('podman', [
      ...['run', '--detach', '--name', name, '--network', this.id, ...RUNTIME],
      ...(found.user === undefined ? [] : ['--user', found.user]),
      ...each('--cap-drop', found.cap_drop),
      ...each('--cap-add', found.cap_add),
      ...each(
        '--security-opt',
        found.security_opt.map((option) => option.replace(':true', '')),
      ),
      ...(found.read_only ? ['--read-only'] : []),
      ...each('--tmpfs', found.tmpfs),
      ...each('--volume', [...volumes, ...mounted]),
      found.image,
      ...found.command,
    ]);
    return new Container(name, found.healthcheck.test.slice(1));
  }

  close(): void {
    for (const name of this.names) runSync('podman', ['rm', '--force', '--time', '1', name]);
    for (const volume of this.volumes) runSync('podman', ['volume', 'rm', '--force', volume]);
    runSync('podman', ['network', 'rm', '--force', this.id]);
  }
}

export class Container {
  private readonly name: string;
  private readonly health: readonly string[];

  constructor(name: string, health: readonly string[]) {
    this.name = name;
    this.health = health;
  }

  /** Starts it again after `stop`. */
  async restart(): Promise<void> {
    await run('podman', ['start', this.name]);
  }

  get address(): string {
    return this.inspect('{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}');
  }

  /** The command that runs a program of this machine in the container's network, as its application. */
  beside(command: readonly string[]): string[] {
    return ['nsenter', '--net', '--target', this.inspect('{{.State.Pid}}'), ...command];
  }

  /** Its health check. */
  async isHealthy(): Promise<boolean> {
    return (await this.exec(this.health)).code === 0;
  }

  exec(command: readonly string[]): Promise<Ran> {
    return run('podman', ['exec', this.name, ...command]);
  }

  /** As `docker stop`. @returns its exit code, and what it wrote */
  async stop(): Promise<{ code: number; log: string }> {
    await run('podman', ['stop', '--time', '30', this.name]);
    return { code: Number(this.inspect('{{.State.ExitCode}}')), log: this.log() };
  }

  log(): string {
    const { out, error } = runSync('podman', ['logs', this.name]);
    return out + error;
  }

  private inspect(format: string): string {
    return outputOf('podman', ['inspect', '--format', format, this.name]).trim();
  }
}
