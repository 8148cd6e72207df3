/**
 * Takes the join token out of command lines and environments: both stay readable for as long as a process lives, and the
 * application of `tulle run` would inherit the second.
 */
import { readFileSync } from 'node:fs';
import { CliError } from './cli-error.ts';

type Environment = Readonly<Record<string, string | undefined>>;

export interface WithoutToken {
  /** The token that was given by value or descriptor; absent: none, or in a file that `args` name. */
  readonly token: string | undefined;
  readonly args: readonly string[];
  readonly environment: Environment;
}

const VALUE = '--join-token';
const FILE = '--join-token-file';
const VARIABLE = 'TULLE_JOIN_TOKEN';
const FILE_VARIABLE = 'TULLE_JOIN_TOKEN_FILE';
/** Descriptors are this process's: they are read here, a named file is read by the proxy. */
const DESCRIPTOR = /^(\/dev\/fd\/|\/proc\/self\/fd\/)\d+$|^\/dev\/stdin$/;

/**
 * A flag goes before a variable.
 * @param args the flags of a proxy
 * @throws CliError where two flags name a token, or a descriptor cannot be read
 */
export function takeJoinToken(args: readonly string[], environment: Environment): WithoutToken {
  const { [VARIABLE]: variable, [FILE_VARIABLE]: fileVariable, ...rest } = environment;
  const value = takeFlag(args, VALUE);
  const file = takeFlag(value.rest, FILE);
  if (value.found !== undefined && file.found !== undefined)
    throw new CliError(`${VALUE}, ${FILE}: only one of them may be given`);
  const given = value.found ?? (file.found === undefined ? variable || undefined : undefined);
  if (given !== undefined) return { token: given, args: file.rest, environment: rest };
  const path = file.found ?? fileVariable;
  if (!path) return { token: undefined, args: file.rest, environment: rest };
  if (DESCRIPTOR.test(path)) return { token: readToken(path), args: file.rest, environment: rest };
  return { token: undefined, args: [...file.rest, FILE, path], environment: rest };
}

function readToken(path: string): string {
  let text: string;
  try {
    text = readFileSync(path, 'utf8').trim();
  } catch (error) {
    throw new CliError(`${FILE} ${path}: ${(error as Error).message}`);
  }
  if (text === '') throw new CliError(`${FILE} ${path}: is empty`);
  return text;
}

/** The last value of a flag, and the words without any of it. A flag without a value is left for the proxy to refuse. */
function takeFlag(args: readonly string[], flag: string): { found: string | undefined; rest: string[] } {
  const rest: string[] = [];
  let found: string | undefined;
  for (let at = 0; at < args.length; at++) {
    const word = args[at]!;
    if (word.startsWith(`${flag}=`)) found = word.slice(flag.length + 1);
    else if (word === flag && at + 1 < args.length) found = args[++at];
    else rest.push(word);
  }
  return { found, rest };
}
