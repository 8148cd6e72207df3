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

  /** Writes a line that has no answer. */
  tell(line: string): void {
    this.process.stdin!.write(`${line}\n`);
  }

  /** Writes a line. @returns the answer to it */
  ask(line: string): Promise<string> {
    this.tell(line);
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
  input?: string | Buffer;
  /** In addition to this process's environment; undefined takes a variable out of it. */
  env?: Readonly<Record<string, string | undefined>>;
  /** Default: the checkout. */
  cwd?: string;
  /** After which it is ended. Default: 120 s. */
  limitMs?: number;
  /** Of its outputs; `latin1` keeps bytes. Default: utf8. */
  encoding?: 'utf8' | 'latin1';
}

const settingsOf = ({ env, cwd = ROOT, limitMs = 120_000, encoding = 'utf8' }: RunOptions) =>
  ({ env: { ...process.env, ...env }, cwd, timeout: limitMs, encoding, maxBuffer: 64 << 20 }) as const;

const exitCode = (failure: { code?: string | number | null } | null | undefined): number => {
  const code = failure ? failure.code : 0;
  return typeof code === 'number' ? code : code === 'ENOENT' ? 127 : 124;
};

/** Runs a program to its end. Never rejects. */
export function run(program: string, args: readonly string[], options: RunOptions = {}): Promise<Ran> {
  return new Promise((done) => {
    const child = execFile(program, args, settingsOf(options), (failure, out, error) =>
      done({ code: exitCode(failure), out, error }),
    );
    // A command may end without reading its input.
    child.stdin?.on('error', () => {}).end(options.input ?? '');
  });
}

/** As `run`, while this process waits: for what is asked before tests are collected. Never throws. */
export function runSync(program: string, args: readonly string[], options: RunOptions = {}): Ran {
  const ran = spawnSync(program, args, { ...settingsOf(options), input: options.input ?? '' });
  const code = exitCode({ code: ran.status ?? (ran.error as NodeJS.ErrnoException | undefined)?.code });
  return { code, out: ran.stdout ?? '', error: ran.stderr ?? '' };
}

/** The output of a program. @throws with what it wrote to its standard error, where it does not exit with 0 */
export function outputOf(program: string, args: readonly string[], options: RunOptions = {}): string {
  const { code, out, error } = runSync(program, args, options);
  if (code !== 0) throw new Error(`${program} ${args.join(' ')}: exit code ${code}\n${error}`);
  return out;
}

/** Whether a program is there and `args` make it exit with 0. */
export const works = (program: string, args: readonly string[] = ['--version']): boolean =>
  runSync(program, args).code === 0;
