/** Flags that several commands share. */
import { type Command, Option } from 'commander';
import { CliError } from './cli-error.ts';
import type { ConnectionFlags } from './connection.ts';
import { defaultKubeconfig } from './kubeconfig/read.ts';
import type { SourcePaths } from './sources.ts';

export interface ClientFlags extends ConnectionFlags {
  /** Default: that of the kubeconfig's context, else `default`. */
  namespace?: string;
  output?: string;
}

/** A command that talks to the control API. */
export const client = (command: Command): Command =>
  command
    .option('--server <url>', 'control API, as https://127.0.0.1:15012 (or TULLE_SERVER)')
    .option('--token <token>', 'admin token (or TULLE_TOKEN)')
    .option('--ca-file <file>', "the control API's root certificate (or TULLE_CA_FILE)")
    .option(
      '--kubeconfig <file>',
      `kubeconfig to read all three from (default: TULLE_KUBECONFIG, KUBECONFIG, or ${defaultKubeconfig()})`,
    )
    .option('--context <name>', 'context of the kubeconfig (default: its current-context)')
    .option('-n, --namespace <name>', "namespace (default: the context's, else default)");

export const output = (): Option => new Option('-o, --output <format>', 'table, json or yaml').default('table');

export interface FileFlags {
  filename?: string[];
  recursive?: boolean;
}

/** `-f` and `-R`, optional. */
export const fileOptions = (command: Command, what: string): Command =>
  command
    .option('-f, --filename <path...>', `${what}: files, folders, or - for standard input`)
    .option('-R, --recursive', 'read folders within folders too');

/** `-f` and `-R`, of which the first is required. */
export const files = (command: Command, what: string): Command =>
  command
    .requiredOption('-f, --filename <path...>', `${what}: files, folders, or - for standard input`)
    .option('-R, --recursive', 'read folders within folders too');

export const sourcePaths = ({ filename = [], recursive = false }: FileFlags): SourcePaths => ({
  paths: filename,
  recursive,
});

/** @throws CliError when the arguments name nothing */
export function someWords(command: string, words: readonly string[]): readonly string[] {
  if (words.length > 0) return words;
  throw new CliError(`${command}: name a type, as "tulle ${command} virtualservices", or TYPE/NAME`);
}
