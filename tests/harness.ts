/** What tests across processes share: runtimes to run on, children that are always stopped, waiting for conditions. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { bunBinary, denoBinary, type RuntimeName, runtimeCommand } from '../control/cli/runtimes.mjs';

export const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), '..');
/** Public test data beside the checkout; absent for users, whose runs skip what needs it. */
export const REFERENCE = resolve(ROOT, '..', 'shared', 'reference');

/** The runtimes a proxy is tested on: all three, from one test body. */
export const RUNTIMES: readonly RuntimeName[] = (['node', 'bun', 'deno'] as const).filter((name) => {
  const there = name === 'node' || (name === 'bun' ? bunBinary() : denoBinary()) !== undefined;
  if (!there) console.warn(`skipped on ${name}: it is not installed (npm ci installs it)`);
  return there;
});

/** A folder of its own under the system's temporary folder, removed by `dispose`. */
export function temporaryFolder(): { path: string; dispose(): void } {
  const path = mkdtempSync(join(tmpdir(), 'tulle-test-'));
  return { path, dispose: () => rmSync(path, { recursive: true, force: true }) };
}

/** A child process whose output is kept for the error message when a test fails. */
export class Child {
  readonly process: ChildProcess;
  readonly lines: string[] = [];
  private readonly waiting = new Set<() => void>();
  private readonly exited: Promise<number | null>;
  private ended = false;

  constructor(command: readonly string[], options: { env?: Record<string, string>; cwd?: string } = {}) {
    const [program, ...args] = command;
    this.process = spawn(program!, args, {
      cwd: options.cwd ?? ROOT,
      env: { ...process.env, NO_COLOR: '1', ...options.env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    for (const stream of [this.process.stdout!, this.process.stderr!]) {
      createInterface({ input: stream }).on('line', (line) => {
        if (this.lines.push(line) > 5000) this.lines.shift();
        for (const wake of this.waiting) wake();
      });
    }
    this.exited = new Promise((done) => {
      this.process.on('error', () => done(127));
      this.process.on('close', (code) => done(code));
    }).then((code) => {
      this.ended = true;
      for (const wake of this.waiting) wake();
      return code as number | null;
    });
  }

  /** The TypeScript program on a runtime. */
  static on(runtime: RuntimeName, script: string, args: readonly string[], env?: Record<string, string>): Child {
    return new Child([...runtimeCommand(runtime, join(ROOT, script)), ...args], { env });
  }

  /** The first output line that `pick` accepts. @throws with all output when the process ends or 60 s pass first */
  async line<T>(pick: (line: string) => T | undefined): Promise<T> {
    let seen = 0;
    const limit = Date.now() + 60_000;
    for (;;) {
      for (; seen < this.lines.length; seen++) {
        const found = pick(this.lines[seen]!);
        if (found !== undefined) return found;
      }
      if (this.ended) throw new Error(`process ended before the expected line:\n${this.lines.join('\n')}`);
      if (Date.now() > limit) throw new Error(`no such line within 60 s:\n${this.lines.join('\n')}`);
      await new Promise<void>((wake) => {
        const timer = setTimeout(wake, 1000);
        const once = () => {
          clearTimeout(timer);
          this.waiting.delete(once);
          wake();
        };
        this.waiting.add(once);
      });
    }
  }

  /** The JSON line a `--announce` process prints when it is ready. */
  announcement<T>(): Promise<T> {
    return this.line((line) => (line.startsWith('{"ready":') ? (JSON.parse(line) as T) : undefined));
  }

  /** Ends it and waits; SIGKILL after 10 s. @returns the exit code */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> {
    if (!this.ended) this.process.kill(signal);
    const force = setTimeout(() => this.process.kill('SIGKILL'), 10_000);
    const code = await this.exited;
    clearTimeout(force);
    return code;
  }
}

/** Waits until `check` answers something other than undefined or false; errors inside count as "not yet". */
export async function until<T>(
  what: string,
  check: () => Promise<T | undefined | false> | T | undefined | false,
  limitMs = 60_000,
): Promise<T> {
  const limit = Date.now() + limitMs;
  let last: unknown;
  for (;;) {
    try {
      const found = await check();
      if (found !== undefined && found !== false) return found;
    } catch (error) {
      last = error;
    }
    if (Date.now() > limit) throw new Error(`not within ${limitMs} ms: ${what}`, { cause: last });
    await new Promise((again) => setTimeout(again, 25));
  }
}

/** Ports that were free a moment ago, from the kernel: for processes that must be told their port. */
export async function freePorts(count: number, address = '127.0.0.1'): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer();
      await new Promise<void>((done, fail) => server.once('error', fail).listen(0, address, done));
      return server;
    }),
  );
  const ports = servers.map((server) => (server.address() as { port: number }).port);
  await Promise.all(servers.map((server) => new Promise((done) => server.close(done))));
  return ports;
}
