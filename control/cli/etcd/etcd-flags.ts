/** `--store` and what goes with it. Flags and variables have the names of etcdctl's. */
import type { Command } from 'commander';
import { parseEtcdUrl } from '../../store/etcd/etcd-url.ts';
import type { EtcdSettings } from '../../store/etcd/gateway.ts';
import { CliError, readText } from '../cli-error.ts';

export interface StoreFlags {
  store?: string;
  etcdCacert?: string;
  etcdCert?: string;
  etcdKey?: string;
  etcdUser?: string;
  etcdPasswordFile?: string;
}

/** What goes with `--store`. */
export const etcdOptions = (command: Command): Command =>
  command
    .option('--etcd-cacert <file>', 'PEM of the CAs that etcd is verified by; ETCDCTL_CACERT')
    .option('--etcd-cert <file>', 'PEM of the client certificate for etcd; ETCDCTL_CERT')
    .option('--etcd-key <file>', 'PEM of its key; ETCDCTL_KEY')
    .option('--etcd-user <name>', 'user of etcd; ETCDCTL_USER')
    .option('--etcd-password-file <file>', "the user's password; or ETCDCTL_PASSWORD");

type Environment = Readonly<Record<string, string | undefined>>;

/** @returns undefined without `--store`. @throws CliError naming the flag */
export function etcdOf(
  flags: StoreFlags,
  env: Environment = process.env,
): { settings: EtcdSettings; prefix: string } | undefined {
  const { store } = flags;
  if (store === undefined) {
    const [stray] = Object.entries(flags).filter(([name, value]) => name.startsWith('etcd') && value !== undefined);
    if (stray) throw new CliError(`--${stray[0].replace(/[A-Z]/g, (at) => `-${at.toLowerCase()}`)}: needs --store`);
    return undefined;
  }
  const { hosts, prefix, isLoopback } = parsed(store);
  const tls = tlsOf(flags, env);
  // Plain text reaches no other machine: the store holds Secrets.
  const scheme = tls || !isLoopback ? 'https' : 'http';
  const user = userOf(flags, env);
  return {
    prefix,
    settings: { endpoints: hosts.map((host) => `${scheme}://${host}`), ...(tls && { tls }), ...(user && { user }) },
  };
}

function parsed(store: string) {
  try {
    return parseEtcdUrl(store);
  } catch (error) {
    throw new CliError(`--store: ${(error as Error).message}`);
  }
}

function tlsOf(flags: StoreFlags, env: Environment): EtcdSettings['tls'] {
  const file = (path: string | undefined, flag: string) => (path ? readText(path, flag) : undefined);
  const ca = file(flags.etcdCacert ?? env['ETCDCTL_CACERT'], '--etcd-cacert');
  const cert = file(flags.etcdCert ?? env['ETCDCTL_CERT'], '--etcd-cert');
  const key = file(flags.etcdKey ?? env['ETCDCTL_KEY'], '--etcd-key');
  if ((cert === undefined) !== (key === undefined)) throw new CliError('--etcd-cert and --etcd-key: need each other');
  if (ca === undefined && cert === undefined) return undefined;
  return { ...(ca && { ca }), ...(cert && { cert }), ...(key && { key }) };
}

/** `name`, or `name:password` in the variable alone: a command line is readable by every user of the machine. */
function userOf({ etcdUser, etcdPasswordFile }: StoreFlags, env: Environment): EtcdSettings['user'] {
  if (etcdUser?.includes(':'))
    throw new CliError(
      '--etcd-user: must be the name alone; the password is in --etcd-password-file or ETCDCTL_PASSWORD',
    );
  const [name = '', inVariable] = etcdUser === undefined ? splitUser(env['ETCDCTL_USER'] ?? '') : [etcdUser];
  if (name === '') {
    if (etcdPasswordFile !== undefined) throw new CliError('--etcd-password-file: needs --etcd-user');
    return undefined;
  }
  const password = etcdPasswordFile
    ? readText(etcdPasswordFile, '--etcd-password-file').replace(/\r?\n$/, '')
    : (env['ETCDCTL_PASSWORD'] ?? inVariable);
  if (!password) throw new CliError(`--etcd-user ${name}: needs --etcd-password-file or ETCDCTL_PASSWORD`);
  return { name, password };
}

function splitUser(text: string): string[] {
  const at = text.indexOf(':');
  return at === -1 ? [text] : [text.slice(0, at), text.slice(at + 1)];
}
