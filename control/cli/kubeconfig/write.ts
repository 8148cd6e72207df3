/** `tulle kubeconfig`: a kubeconfig with which kubectl and the tulle CLI reach the control API. */
import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { stringify } from 'yaml';

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

/** Writes it readable by the owner only, replacing an existing file. */
export function saveKubeconfig(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  // The token must never be in a file that others can read: a new file replaces the old one.
  const next = `${path}.${process.pid}.new`;
  writeFileSync(next, text, { mode: 0o600, flag: 'wx' });
  renameSync(next, path);
}
