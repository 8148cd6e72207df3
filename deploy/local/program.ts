/** A program as a child process: its output is kept, its end is awaited, and none is left behind. */
import { type ChildProcess, spawn } from 'node:child_process';
import { resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

/** The checkout; programs start there. */
export const ROOT = resolve(fileURLToPath(new URL('../..', import.meta.url)));
const KEPT_LINES = 2000;
const STOP_LIMIT_MS = 20_000;
/** Of a program among many that start at once on a busy machine. */
const START_LIMIT_MS = 180_000;

export interface ProgramOptions {
  /** In addition to this process's environment. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** What `stop` sends. Default: SIGTERM. */
  readonly stopSignal?: NodeJS.Signals;
  /** How many of the latest lines are kept. Default: 2000. */
  readonly keptLines?: number;
  /** With a pipe to its standard input; else that is empty. */
  readonly stdin?: boolean;
}

export type Output = 'stdout' | 'stderr';

const running = new Set<Program>();

/** All programs that were started here and have not ended. */
export const runningPrograms: ReadonlySet<Program> = running;

// Also after an exception that nothing caught; a signal that ends this process is for its own handler.
process.once('exit', () => {
  for (const program of running) program.process.kill('SIGKILL');
});

export class Program {
  readonly name: string;
  /** Of both outputs, in the order of their arrival. */
  readonly lines: string[] = [];
  readonly process: ChildProcess;
  /** The exit code, null where a signal ended it, 127 where it could not be started; its output is complete. */
  readonly exited: Promise<number | null>;
  private readonly listeners = new Set<(line: string, output: Output) => void>();
  private readonly stopSignal: NodeJS.Signals;
  private over = false;

  /** @param command the program and its arguments */
  constructor(name: string, command: readonly string[], options: ProgramOptions = {}) {
    this.name = name;
    this.stopSignal = options.stopSignal ?? 'SIGTERM';
    const [program, ...args] = command;
    this.process = spawn(program!, args, {
      cwd: ROOT,
      env: { ...process.env, NO_COLOR: '1', ...options.env },
      stdio: [options.stdin ? 'pipe' : 'ignore', 'pipe', 'pipe'],
    });
    // A program may end without reading its input.
    this.process.stdin?.on('error', () => {});
    for (const output of ['stdout', 'stderr'] as const)
      createInterface({ input: this.process[output]! }).on('line', (line) => {
        if (this.lines.push(line) > (options.keptLines ?? KEPT_LINES)) this.lines.shift();
        for (const listener of [...this.listeners]) listener(line, output);
      });
    running.add(this);
    this.exited = new Promise<number | null>((done) => {
      this.process.once('error', (error) => {
        this.lines.push(error.message);
        done(127);
      });
      this.process.once('close', (code) => done(code));
    });
    void this.exited.then(() => {
      this.over = true;
      running.delete(this);
    });
  }

  get ended(): boolean {
    return this.over;
  }

  /** The kept lines as one text. */
  get output(): string {
    return this.lines.join('\n');
  }

  /** Called for each line to come. @returns what ends that */
  onLine(listener: (line: string, output: Output) => void): () => void {
    this.listeners.add(listener);
    return () => void this.listeners.delete(listener);
  }

  /** The first kept or coming line that `pick` accepts. @throws with the output when the process ends first, or after `limitMs` */
  async line<T>(pick: (line: string) => T | undefined, limitMs = 60_000): Promise<T> {
    for (const line of this.lines) {
      const found = pick(line);
      if (found !== undefined) return found;
    }
    const { promise, resolve: done, reject } = Promise.withResolvers<T>();
    const fail = (why: string) => reject(this.failure(why));
    const timer = setTimeout(() => fail('the expected output did not come'), limitMs);
    const off = this.onLine((line) => {
      const found = pick(line);
      if (found !== undefined) done(found);
    });
    void this.exited.then(() => fail('ended too early'));
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
      off();
    }
  }

  /** What a program of Tulle's says with `--announce` once it is ready. */
  announcement<T>(): Promise<T> {
    return this.line((line) => (line.startsWith('{"ready":') ? (JSON.parse(line) as T) : undefined), START_LIMIT_MS);
  }

  /** An error that names the program and shows its last lines. */
  failure(why: string): Error {
    return new Error(`${this.name}: ${why}\n${this.lines.slice(-20).join('\n')}`);
  }

  /** Ends it and waits; SIGKILL after 20 s. @returns the exit code, null where a signal ended it */
  async stop(signal: NodeJS.Signals = this.stopSignal): Promise<number | null> {
    if (this.process.exitCode === null && this.process.signalCode === null) this.process.kill(signal);
    const force = setTimeout(() => {
      process.stderr.write(`${this.name} did not end within ${STOP_LIMIT_MS / 1000} s and is killed\n`);
      this.process.kill('SIGKILL');
    }, STOP_LIMIT_MS);
    const code = await this.exited;
    clearTimeout(force);
    return code;
  }
}
