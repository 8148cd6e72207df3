/** The host that is set up: its files and commands. Tests give one in memory. */

export interface Ran {
  readonly code: number;
  readonly out: string;
  readonly error: string;
}

/** Owner of a file: the name of a user and of its group. */
export type Owner = string;

export interface Host {
  /** 0: root. */
  readonly uid: number;
  /** Never rejects: 127 where the program is not there. */
  run(command: readonly string[]): Promise<Ran>;
  /** undefined: there is none. */
  read(path: string): Promise<string | undefined>;
  /** Whole or not at all. @param owner default: the user that runs this */
  write(path: string, text: string, mode: number, owner?: Owner): Promise<void>;
  /** With its parents; one that is there keeps its mode. */
  makeFolder(path: string, mode: number, owner?: Owner): Promise<void>;
  exists(path: string): Promise<boolean>;
  /** A file, or a folder with everything in it; one that is not there is no error. */
  remove(path: string): Promise<void>;
  /** Only where it is empty. */
  removeEmptyFolder(path: string): Promise<void>;
}

/** The host cannot be set up; one line, with the remedy. */
export class HostError extends Error {
  override name = 'HostError';
}

/** @throws HostError with what the program wrote to its standard error */
export async function mustRun(host: Host, command: readonly string[], remedy: string): Promise<string> {
  const { code, out, error } = await host.run(command);
  if (code === 0) return out;
  const reason = (error.trim() || out.trim() || `exit code ${code}`).split('\n').at(-1)!;
  throw new HostError(`${command.join(' ')}: ${reason}; ${remedy}`);
}
