/** A control plane on a host of its own, which serves what machines install, and machines beside it. */
import { join } from 'node:path';
import { buildPackage } from '../../deploy/build.ts';
import { buildInstallFiles } from '../../deploy/install-files.ts';
import { tulle, tulleCommand } from '../kit/command.ts';
import { temporaryFolder } from '../kit/environment.ts';
import { type TestHost, TestNetwork } from '../kit/hosts.ts';
import { TestMachine } from '../kit/machines.ts';
import { Program, type Ran } from '../kit/process.ts';

const PORT = 15012;

export class InvitingMesh {
  readonly network: TestNetwork = new TestNetwork();
  private readonly temporary = temporaryFolder();
  private readonly host: TestHost = this.network.add();
  private readonly machines: TestMachine[] = [];
  private control: Program | undefined;
  private server: string[] = [];

  get url(): string {
    return `https://${this.host.address}:${PORT}`;
  }

  /** Builds the package with its executable, and starts the control plane. */
  async start(): Promise<void> {
    const folder = join(this.temporary.path, 'package');
    await buildPackage(folder, false);
    buildInstallFiles(folder, '0', () => {}, ['linux-x64']);
    const { adminToken } = await this.startControl();
    const root = join(this.temporary.path, 'data/ca/root-cert.pem');
    this.server = ['--server', this.url, '--token', adminToken, '--ca-file', root];
  }

  /** Also after `stopControl`, with the same data. */
  startControl(): Promise<{ adminToken: string }> {
    const install = join(this.temporary.path, 'package/install');
    const where = ['--data', join(this.temporary.path, 'data'), '--address', this.host.address, '--port', String(PORT)];
    const cleanUp = ['--workload-cleanup-seconds', '2'];
    const command = tulleCommand('control', ...where, '--install-files', install, ...cleanUp, '--announce');
    this.control = new Program('control', this.host.run(command));
    return this.control.announcement<{ adminToken: string }>();
  }

  async stopControl(): Promise<void> {
    await this.control?.stop();
  }

  /** A command of an administrator. */
  readonly admin = (args: readonly string[], input?: string): Promise<Ran> =>
    tulle([...args, ...this.server], { ...(input !== undefined && { input }) });

  /** @param text resources in YAML @throws where they are refused */
  readonly apply = async (text: string): Promise<void> => {
    const { code, out, error } = await this.admin(['apply', '-f', '-'], text);
    if (code !== 0) throw new Error(`tulle apply: exit code ${code}\n${out}${error}`);
  };

  /** @returns the line that `tulle invite` prints @throws where it prints more, or fails */
  readonly invite = async (...flags: string[]): Promise<string> => {
    const { code, out, error } = await this.admin(['invite', ...flags]);
    const lines = out.trimEnd().split('\n');
    if (code !== 0 || lines.length !== 1) throw new Error(`tulle invite: exit code ${code}\n${out}${error}`);
    return lines[0]!;
  };

  /** A machine that runs, with a default route. */
  readonly boot = async (): Promise<TestMachine> => {
    const machine = new TestMachine(this.network.add());
    this.machines.push(machine);
    await machine.boot();
    await machine.shell(`ip route add default via ${this.network.address}`);
    return machine;
  };

  /** All that a join may change on a machine. */
  readonly stateOf = async (machine: TestMachine): Promise<string> => (await machine.shell(STATE)).out;

  async close(): Promise<void> {
    for (const machine of this.machines) await machine.close();
    await this.control?.stop();
    this.network.close();
    this.temporary.dispose();
  }
}

const STATE = `nft list ruleset; ip rule; ip -6 rule; ip route; ip addr show lo; cat /etc/resolv.conf /etc/passwd
ls -R /etc/systemd /etc/tulle /var/lib/tulle /usr/local 2>&1; ls -A /tmp`;
