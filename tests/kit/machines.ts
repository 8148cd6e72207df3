/**
 * Machines for tests: a host of a test network with a file system, users and processes of its own, and a real systemd as PID 1.
 * Changes to files stay over a reboot, and never reach the machine below.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT, temporaryFolder } from './environment.ts';
import type { TestHost } from './hosts.ts';
import { Program, type Ran, type RunOptions, run, works } from './process.ts';
import { until } from './waiting.ts';

const SYSTEMD = '/lib/systemd/systemd';
const BOOT = join(ROOT, 'tests/kit/machine-boot.sh');

/** Whether systemd can be tested here, as root with namespaces; else the reason is printed. */
export const MACHINES: boolean = existsSync(SYSTEMD) && works('nsenter') && process.getuid?.() === 0;
if (!MACHINES) console.warn('skipped: no machines with systemd (they need root, systemd and util-linux)');

export class TestMachine {
  readonly host: TestHost;
  private readonly folder = temporaryFolder();
  private readonly cgroup: string;
  private program: Program | undefined;
  private boots = 0;

  constructor(host: TestHost) {
    this.host = host;
    this.cgroup = `${existsSync('/sys/fs/cgroup/systemd') ? '/sys/fs/cgroup/systemd' : '/sys/fs/cgroup'}/tulle-${process.pid}-${host.address}`;
    for (const name of ['upper', 'root']) mkdirSync(join(this.folder.path, name));
  }

  get address(): string {
    return this.host.address;
  }

  /** Resolves once systemd runs and has started what is enabled. */
  async boot(): Promise<void> {
    const work = join(this.folder.path, `work${++this.boots}`);
    mkdirSync(work);
    mkdirSync(this.cgroup, { recursive: true });
    const [upper, root] = ['upper', 'root'].map((name) => join(this.folder.path, name));
    const boot = ['unshare', '--mount', '--pid', '--fork', '--ipc', '--uts', '--cgroup', '--kill-child', 'sh', BOOT];
    const command = this.host.run([...boot, upper!, work, root!, ROOT]);
    const enter = `echo $$ >${this.cgroup}/cgroup.procs; exec "$@"`;
    this.program = new Program(`machine ${this.address}`, ['sh', '-c', enter, 'sh', ...command]);
    await until('the machine has booted', async () => {
      const { out } = await this.run(['systemctl', 'is-system-running']);
      return /^(running|degraded)$/.test(out.trim());
    });
  }

  /** As when the power is cut: all processes end at once, and the kernel's rules are those of a boot. */
  async crash(): Promise<void> {
    await this.program?.stop('SIGKILL');
    this.program = undefined;
    const [program, ...args] = this.host.run(['sh', '-c', FORGET]);
    await run(program!, args);
  }

  /** The command that runs `command` there, as root. */
  command(command: readonly string[]): string[] {
    const pid = this.init();
    const inside = ['--target', String(pid), '--mount', '--pid', '--uts', '--ipc', '--net', '--cgroup', '--wdns=/'];
    return ['nsenter', ...inside, 'env', '-i', 'HOME=/root', `PATH=${PATH}`, 'TERM=dumb', ...command];
  }

  run(command: readonly string[], options: RunOptions = {}): Promise<Ran> {
    if (!this.program || this.program.ended)
      return Promise.resolve({ code: 127, out: '', error: 'the machine is off' });
    const [program, ...args] = this.command(command);
    return run(program!, args, options);
  }

  /** A line as a user types it, as root. */
  shell(line: string, shell: 'sh' | 'bash' = 'sh'): Promise<Ran> {
    return this.run([shell, '-s'], { input: `${line}\n` });
  }

  /** Ends it and removes its files. */
  async close(): Promise<void> {
    await this.crash();
    await until('its processes have ended', () => removeGroups(this.cgroup));
    this.folder.dispose();
  }

  /** The process that is PID 1 there. */
  private init(): number {
    const pid = this.program!.process.pid!;
    const child = Number(readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ')[0]);
    return child || pid;
  }
}

const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** What a network namespace keeps and a reboot does not. */
const FORGET = `nft flush ruleset; ip -6 addr del ::6/128 dev lo
for family in -4 -6; do
  ip $family rule | sed -n 's/^\\([0-9]*\\):.*/\\1/p' | grep -vxE '0|32766|32767' | xargs -r -n 1 ip $family rule del priority
done`;

/** @returns false: one holds a process that the kernel has not ended yet */
function removeGroups(folder: string): boolean {
  if (!existsSync(folder)) return true;
  for (const entry of readdirSync(folder, { withFileTypes: true }))
    if (entry.isDirectory()) removeGroups(join(folder, entry.name));
  try {
    rmdirSync(folder);
    return true;
  } catch {
    return false;
  }
}
