/** Where the keys of encryption at rest come from. */
import { execFile } from 'node:child_process';
import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { type Command, Option } from 'commander';
import { keySealer, type SealingKey } from '../../store/sealing/key-sealer.ts';
import { readKeys } from '../../store/sealing/read-keys.ts';
import type { Sealer } from '../../store/sealing/sealer.ts';
import { CliError, readText } from '../cli-error.ts';

export interface EncryptionFlags {
  encryptionKeyFile?: string;
  encryptionKeyCommand?: string;
}

export interface NamedSealer extends Sealer {
  /** Ids of keys. */
  readonly newest: string;
  readonly older: readonly string[];
}

/** What an operator may do once the control plane has started: by then every value is sealed by the newest key. */
export function encryptionState({ newest, older }: NamedSealer): string {
  const rest = older.length === 0 ? '' : `: no value needs an older key (${older.join(', ')}) any more`;
  return `Secrets and private keys are encrypted at rest with the key ${newest}${rest}`;
}

/** Name of the systemd credential. */
const CREDENTIAL = 'tulle-encryption-keys';
const COMMAND = { timeout: 30_000, maxBuffer: 64 * 1024 };

export const encryptionKeyFile = (): Option =>
  new Option(
    '--encryption-key-file <file>',
    `keys that Secrets and private keys are encrypted with at rest, ID:BASE64 a line, the newest first, mode 0600 (default: the systemd credential ${CREDENTIAL}; else no encryption)`,
  );
export const encryptionKeyCommand = (): Option =>
  new Option('--encryption-key-command <command>', 'a command that prints these lines, as one that asks a KMS');

export const encryptionOptions = (command: Command): Command =>
  command.addOption(encryptionKeyFile()).addOption(encryptionKeyCommand());

/** @returns undefined where no keys are named @throws CliError in one line, without the keys */
export async function sealerOf(flags: EncryptionFlags, env = process.env): Promise<NamedSealer | undefined> {
  const keys = await keysOf(flags, env);
  if (!keys) return undefined;
  const [newest = '', ...older] = keys.map(({ id }) => id);
  return { ...keySealer(keys), newest, older };
}

async function keysOf(
  { encryptionKeyFile: file, encryptionKeyCommand: command }: EncryptionFlags,
  env: NodeJS.ProcessEnv,
): Promise<SealingKey[] | undefined> {
  if (file !== undefined && command !== undefined)
    throw new CliError('--encryption-key-file and --encryption-key-command: only one of them can be given');
  if (command !== undefined) return parsed(await outputOf(command), '--encryption-key-command');
  if (file !== undefined) {
    const text = readText(file, '--encryption-key-file');
    if ((statSync(file).mode & 0o077) !== 0)
      throw new CliError(`--encryption-key-file ${file}: is open to other users; chmod 0600 it`);
    return parsed(text, `--encryption-key-file ${file}`);
  }
  const folder = env['CREDENTIALS_DIRECTORY'];
  if (!folder || !existsSync(join(folder, CREDENTIAL))) return undefined;
  const source = `systemd credential ${CREDENTIAL}`;
  return parsed(readText(join(folder, CREDENTIAL), source), source);
}

function parsed(text: string, source: string): SealingKey[] {
  try {
    return readKeys(text, source);
  } catch (error) {
    throw new CliError((error as Error).message);
  }
}

/** What it prints to its standard error is shown; its output is not. */
function outputOf(command: string): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile('/bin/sh', ['-c', command], COMMAND, (error, out, says) => {
      if (!error) return resolve(out);
      const why = error.killed ? 'did not end within 30 s' : `exit code ${error.code}`;
      reject(new CliError(`--encryption-key-command: ${why}: ${says.trim().split('\n')[0] ?? ''}`));
    });
  });
}
