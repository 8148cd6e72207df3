/** Programs as child processes: one that runs beside the test, one that is asked line by line, one that runs to its end. */
import { execFile, spawnSync } from 'node:child_process';
import { Program, type ProgramOptions } from '../../deploy/local/program.ts';
import { ROOT } from './environment.ts';

export { type Output, Program, type ProgramOptions } from '../../deploy/local/program.ts';

/** A program that answers a line on its standard input with a line on its standard output. */
export class DrivenProgram extends Program {
  private readonly unread: string[] = [];
  private readonly waiting: { done(line: string): void; fail(error: Error): void }[] = [];
  private readonly complaints: string[] = [];

  constructor(name: string, command: readonly string[], options: ProgramOptions = {}) {
    super(name, command, { ...options, stdin: true });
    this.onLine((line, output) => {
      if (output === 'stderr') this.complaints.push(line);
      else if (this.waiting.length > 0) this.waiting.shift()!.done(line);
      else this.unread.push(line);
    });
    void this.exited.then(() => {
      for (const { fail } of this.waiting.splice(0)) fail(this.failure('ended without an answer'));
    });
  }

  /** What it wrote to its standard error. */
  get errors(): string {
    return this.complaints.join('\n');
  }

  /** The next line of its standard output that was not read yet. @throws when it ends first */
  next(): Promise<string> {
    const there = this.unread.shift();
    if (there !== undefined) return Promise.resolve(there);
    if (this.ended) return Promise.reject(this.failure('has ended'));
    return new Promise((done, fail) => this.waiting.push({ done, fail }));
  }

  /** Writes a line. @returns the answer to it */
  ask(line: string): Promise<string> {
    this.process.stdin!.write(`${line}\n`);
    return this.next();
  }
}

/** A program that has run to its end. */
export interface Ran {
  /** 124 where a signal or the time limit ended it, 127 where it could not be started. */
  code: number;
  out: string;
  error: string;
}

export interface RunOptions {
  /** Standard input. Default: empty. */
  input?: string;
  /** In addition to this process's environment; undefined takes a variable out of it. */
  env?: Record<string, string | undefined>;
  /** Default: the checkout. */
  cwd?: string;
  /** After which it is ended. Default: 120 s. */
  limitMs?: number;
}

/** Runs a program to its end. Never rejects. */
export function run(program: string, args: readonly string[], options: RunOptions = {}): Promise<Ran> {
  const { input = '', env, cwd = ROOT, limitMs = 120_000 } = options;
  return new Promise((done) => {
    const settings = { env: { ...process.env, ...env }, cwd, timeout: limitMs, maxBuffer: 64 << 20 };
    const child = execFile(program, args, settings, (failure, out, error) => {
      const { code } = failure ?? { code: 0 };
      done({ code: typeof code === 'number' ? code : code === 'ENOENT' ? 127 : 124, out, error });
    });
    // A command may end without reading its input.
    child.stdin?.on('error', () => {}).end(input);
  });
}

/** Whether a program is there and `args` make it exit with 0. */
export function works(program: string, args: readonly string[] = ['--version']): boolean {
  return spawnSync(program, args, { stdio: 'ignore' }).status === 0;
}
