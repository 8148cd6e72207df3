/** Reading kubeconfig files (https://kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig/). */
import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, dirname, join, resolve } from 'node:path';
import { parse } from 'yaml';
import { CliError, readText } from '../cli-error.ts';

/** How one context of the files reaches its control API. */
export interface KubeContext {
  server?: string;
  /** PEM. */
  ca?: string;
  token?: string;
  /** PEM, both or none. */
  clientCertificate?: { cert: string; key: string };
  /** The name that the server's certificate must have, instead of the URL's. */
  serverName?: string;
  namespace?: string;
}

interface Named {
  name?: string;
}
type Cluster = Partial<Record<string, unknown>>;
interface KubeconfigFile {
  'current-context'?: string;
  clusters?: (Named & { cluster?: Cluster })[];
  users?: (Named & { user?: Cluster })[];
  contexts?: (Named & { context?: { cluster?: string; user?: string; namespace?: string } })[];
}

/** A cluster, user or context with the folder of its file, from which relative paths start. */
type Placed<T> = T & { folder: string };

/** Path of the kubeconfig that `tulle kubeconfig --save` writes. */
export function defaultKubeconfig(): string {
  return process.env['TULLE_KUBECONFIG'] ?? join(homedir(), '.tulle', 'kubeconfig');
}

/**
 * The files that are read: `--kubeconfig`, else TULLE_KUBECONFIG, else the list in KUBECONFIG, else ~/.tulle/kubeconfig.
 * `required`: a file that does not exist is a violation (kubectl too skips absent files of a list).
 */
export function kubeconfigPaths(flag: string | undefined, env = process.env): { paths: string[]; required: boolean } {
  if (flag !== undefined) return { paths: [flag], required: true };
  const listed = env['TULLE_KUBECONFIG'] ? undefined : env['KUBECONFIG']?.split(delimiter).filter(Boolean);
  return { paths: listed?.length ? listed : [defaultKubeconfig()], required: false };
}

/**
 * Merges the files (of entries with one name the first counts) and resolves a context.
 * @param context its name; default: `current-context`, else the only or first one
 * @throws CliError naming the file and field of what is malformed or not supported
 */
export function readKubeContext(flag: string | undefined, context: string | undefined): KubeContext {
  const { paths, required } = kubeconfigPaths(flag);
  const files = paths.flatMap((path) => readFile(path, required));
  if (files.length === 0 && context === undefined) return {};
  const first = <T extends Named>(list: (file: KubeconfigFile) => readonly T[] | undefined, name: string | undefined) =>
    files
      .flatMap(({ file, folder }) => (list(file) ?? []).map((item): Placed<T> => ({ ...item, folder })))
      .find((item) => item.name === name);
  const current = context ?? files.map(({ file }) => file['current-context']).find(Boolean);
  const chosen = first((file) => file.contexts, current)?.context;
  if (current !== undefined && !chosen)
    throw new CliError(
      `${context === undefined ? 'kubeconfig current-context' : '--context'} ${current}: is not in ${paths.join(', ')}`,
    );
  // A file without contexts, as scripts write it, means its first cluster and user.
  const lone = files[0]?.file;
  const cluster = first((file) => file.clusters, chosen ? chosen.cluster : lone?.clusters?.[0]?.name);
  const user = first((file) => file.users, chosen ? chosen.user : lone?.users?.[0]?.name);
  // Without what the context names, a command would reach another control API, or as another user.
  if (chosen?.cluster && !cluster) throw missing('cluster', chosen.cluster, current, paths);
  if (chosen?.user && !user) throw missing('user', chosen.user, current, paths);
  return { ...clusterOf(cluster), ...userOf(user), ...(chosen?.namespace ? { namespace: chosen.namespace } : {}) };
}

function missing(field: 'cluster' | 'user', name: string, context: string | undefined, paths: readonly string[]) {
  return new CliError(`kubeconfig context ${context}: ${field}: ${name} is not in ${paths.join(', ')}`);
}

function readFile(path: string, required: boolean): { file: KubeconfigFile; folder: string }[] {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if (!required && (error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw new CliError(`kubeconfig ${path}: ${(error as Error).message}`);
  }
  let file: unknown;
  try {
    file = parse(text) ?? {};
  } catch (error) {
    throw new CliError(`kubeconfig ${path}: is not YAML (${(error as Error).message.split('\n')[0]})`);
  }
  requireLists(file, path);
  return [{ file, folder: dirname(resolve(path)) }];
}

/** @throws CliError naming the field that is not as in a kubeconfig */
function requireLists(file: unknown, path: string): asserts file is KubeconfigFile {
  if (!isFields(file)) throw new CliError(`kubeconfig ${path}: must be an object`);
  for (const [list, item] of [
    ['clusters', 'cluster'],
    ['users', 'user'],
    ['contexts', 'context'],
  ] as const) {
    const items = file[list] ?? [];
    if (!Array.isArray(items) || !items.every((each) => isFields(each) && isFields(each[item] ?? {})))
      throw new CliError(`kubeconfig ${path}: ${list}: must be a list of objects with a name and a ${item}`);
  }
}

const isFields = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function clusterOf(placed: Placed<{ name?: string; cluster?: Cluster }> | undefined): KubeContext {
  if (!placed?.cluster) return {};
  const { cluster, folder, name } = placed;
  refuse(cluster, ['insecure-skip-tls-verify', 'proxy-url'], `cluster ${name}`);
  const ca = pem(cluster, 'certificate-authority', folder);
  const serverName = text(cluster, 'tls-server-name');
  const server = text(cluster, 'server');
  return { ...(server ? { server } : {}), ...(ca ? { ca } : {}), ...(serverName ? { serverName } : {}) };
}

function userOf(placed: Placed<{ name?: string; user?: Cluster }> | undefined): KubeContext {
  if (!placed?.user) return {};
  const { user, folder, name } = placed;
  refuse(user, ['exec', 'auth-provider', 'username', 'password', 'as', 'as-groups', 'as-uid'], `user ${name}`);
  const file = text(user, 'tokenFile');
  const token = text(user, 'token') ?? (file && readText(resolve(folder, file), 'tokenFile').trim());
  const cert = pem(user, 'client-certificate', folder);
  const key = pem(user, 'client-key', folder);
  if ((cert === undefined) !== (key === undefined))
    throw new CliError(`kubeconfig user ${name}: client-certificate and client-key must both be set`);
  return { ...(token ? { token } : {}), ...(cert && key ? { clientCertificate: { cert, key } } : {}) };
}

/** Fields without which a connection would be another one than the file describes. */
function refuse(fields: Cluster, names: readonly string[], of: string): void {
  const found = names.find((name) => fields[name]);
  if (found)
    throw new CliError(`kubeconfig ${of}: ${found}: is not supported by tulle; use a token or a client certificate`);
}

const text = (fields: Cluster, name: string): string | undefined => {
  const value = fields[name];
  return typeof value === 'string' && value !== '' ? value : undefined;
};

/** `NAME-data` in base64, else the file that `NAME` names. */
function pem(fields: Cluster, name: string, folder: string): string | undefined {
  const data = text(fields, `${name}-data`);
  if (data !== undefined) return Buffer.from(data, 'base64').toString('utf8');
  const file = text(fields, name);
  return file === undefined ? undefined : readText(resolve(folder, file), name);
}
