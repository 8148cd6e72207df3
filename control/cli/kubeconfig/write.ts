/** `tulle kubeconfig`: a kubeconfig with which kubectl and the tulle CLI reach the control API. */
import { existsSync, mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { stringify } from 'yaml';
import { CliError, readText } from '../cli-error.ts';
import { ControlApi } from '../connection.ts';

/** The kubeconfig document. It holds the user's token: write it to disk with mode 0600. */
export function kubeconfig(server: string, ca: string, token: string, user = 'admin'): string {
  return stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [
      { name: 'tulle', cluster: { server, 'certificate-authority-data': Buffer.from(ca).toString('base64') } },
    ],
    users: [{ name: user, user: { token } }],
    contexts: [{ name: 'tulle', context: { cluster: 'tulle', user, namespace: 'default' } }],
    'current-context': 'tulle',
  });
}

/**
 * The control API that a new kubeconfig leads to, its root certificate (PEM) and a token: of the flags, or, for `--user` with none of
 * the flags, of the kubeconfig in use. Flags and file are not mixed: a root certificate belongs to its server.
 * @throws CliError naming the flag that is missing
 */
export function kubeconfigAccess(flags: { server?: string; token?: string; caFile?: string; user?: string }) {
  const { server, token, caFile } = flags;
  if (flags.user !== undefined && server === undefined && token === undefined && caFile === undefined) {
    const { server: used, ca } = ControlApi.from({});
    // The token is made for the user: that of the caller never comes into the new file.
    if (ca !== undefined) return { server: used, token: '', ca };
    throw new CliError(
      'kubeconfig: --user: the kubeconfig in use has no root certificate; pass --server, --ca-file and --token',
    );
  }
  if (server === undefined) throw new CliError('kubeconfig: --server is missing');
  if (token === undefined) throw new CliError('kubeconfig: --token is missing');
  if (caFile === undefined) throw new CliError('kubeconfig: --ca-file is missing');
  return { server, token, ca: readText(caFile, '--ca-file') };
}

/** What is there may be the only copy of the administrator's token. @throws CliError where the file exists */
export function mustNotReplace(path: string, user: string): void {
  if (!existsSync(path)) return;
  throw new CliError(
    `kubeconfig: --save: ${path} exists, and the one of user ${user} would replace it; write another file: tulle kubeconfig --user ${user} > FILE`,
  );
}

/** Writes it readable by the owner only, replacing an existing file. */
export function saveKubeconfig(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  // The token must never be in a file that others can read: a new file replaces the old one.
  const next = `${path}.${process.pid}.new`;
  writeFileSync(next, text, { mode: 0o600, flag: 'wx' });
  renameSync(next, path);
}
