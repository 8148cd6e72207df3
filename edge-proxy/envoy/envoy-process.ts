/** Runs Envoy as a child process, and starts it again when it ends by itself. */
import { type ChildProcess, spawn } from 'node:child_process';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { LogLevel } from '../../shared/log/log.ts';

export interface EnvoyCommand {
  /** Path, or a name that is looked up in PATH. */
  readonly program: string;
  /** The user's, after those of the agent. */
  readonly args: readonly string[];
  readonly bootstrap: string;
  /** For files of its own. */
  readonly folder: string;
}

export interface EnvoyWatcher {
  /** One line of Envoy's log. */
  line(text: string): void;
  log(line: string, level?: LogLevel): void;
  /** Envoy is up: at the first start, and after each further one. */
  up(admin: string): void;
  /** It has ended by itself; `up` follows. */
  down(): void;
}

const START_MS = 30_000;
const POLL_MS = 20;
const LEFTOVER_MS = 4000;
/** Between starts; doubled up to the second figure while it ends soon after each. */
const RESTART_MS = { first: 100, most: 10_000, calm: 60_000 };

const wait = (ms: number) => new Promise<void>((done) => setTimeout(done, ms));

const pidFile = (folder: string) => join(folder, 'pid');

/** Ends the Envoy of an agent that was killed: it would hold the ports of the next one. */
export async function endLeftover(folder: string, bootstrap: string): Promise<void> {
  const pid = Number(await readFile(pidFile(folder), 'utf8').catch(() => ''));
  const isOurs = async () =>
    pid > 0 && (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).split('\0').includes(bootstrap);
  for (const until = Date.now() + LEFTOVER_MS; (await isOurs()) && Date.now() < until; await wait(POLL_MS))
    try {
      process.kill(pid, Date.now() + LEFTOVER_MS / 2 < until ? 'SIGTERM' : 'SIGKILL');
    } catch (error) {
      // It has ended meanwhile.
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
}

export class EnvoyProcess {
  private readonly command: EnvoyCommand;
  private readonly watcher: EnvoyWatcher;
  private child: ChildProcess | undefined;
  private stopping = false;
  private ended: Promise<void> = Promise.resolve();

  constructor(command: EnvoyCommand, watcher: EnvoyWatcher) {
    this.command = command;
    this.watcher = watcher;
  }

  /** Resolves when Envoy's admin interface answers. @throws Error with the last lines of its log, where it ends before that */
  async start(): Promise<void> {
    const { admin, ended } = await this.launch();
    this.watcher.up(admin);
    this.ended = this.keepRunning(ended);
  }

  /** SIGTERM, which Envoy obeys at once; SIGKILL after some seconds. */
  async stop(): Promise<void> {
    this.stopping = true;
    const { child } = this;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGTERM');
    const timer = setTimeout(() => child.kill('SIGKILL'), 5000);
    await this.ended;
    clearTimeout(timer);
  }

  private async keepRunning(first: Promise<string>): Promise<void> {
    let ended = first;
    let pause = RESTART_MS.first;
    for (;;) {
      const started = Date.now();
      const how = await ended;
      if (this.stopping) return;
      pause = Date.now() - started > RESTART_MS.calm ? RESTART_MS.first : pause;
      this.watcher.down();
      this.watcher.log(`envoy: ended with ${how}; starts again in ${pause} ms`, 'error');
      await wait(pause);
      pause = Math.min(pause * 2, RESTART_MS.most);
      if (this.stopping) return;
      try {
        const next = await this.launch();
        this.watcher.up(next.admin);
        ended = next.ended;
      } catch (error) {
        this.watcher.log((error as Error).message, 'error');
        ended = Promise.resolve('no start');
      }
    }
  }

  private async launch(): Promise<{ admin: string; ended: Promise<string> }> {
    const { program, args, bootstrap, folder } = this.command;
    const addressFile = join(folder, 'admin-address');
    await rm(addressFile, { force: true });
    const own = ['-c', bootstrap, '--admin-address-path', addressFile, '--disable-hot-restart'];
    const child = spawn(program, [...own, ...args], { stdio: ['ignore', 'inherit', 'pipe'] });
    this.child = child;
    const last: string[] = [];
    createInterface({ input: child.stderr! }).on('line', (line) => {
      last.push(line);
      if (last.length > 5) last.shift();
      this.watcher.line(line);
    });
    let how: string | undefined;
    const ended = new Promise<string>((done) => {
      const end = (reason: string) => done((how = reason));
      child.on('error', (error) => end(error.message));
      child.on('close', (code, signal) => end(signal ?? `exit code ${code}`));
    });
    if (child.pid !== undefined) await writeFile(pidFile(folder), `${child.pid}\n`, { mode: 0o600 });
    for (const until = Date.now() + START_MS; ; await wait(POLL_MS)) {
      if (how !== undefined) throw new Error(`--envoy-path ${program}: does not start: ${how}: ${last.join(' | ')}`);
      const admin = (await readFile(addressFile, 'utf8').catch(() => '')).trim();
      if (admin !== '') return { admin, ended };
      if (Date.now() < until) continue;
      child.kill('SIGKILL');
      throw new Error(`--envoy-path ${program}: has no admin address after ${START_MS / 1000} s: ${last.join(' | ')}`);
    }
  }
}
