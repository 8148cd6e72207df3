/** `tulle kubeconfig`: a kubeconfig with which kubectl and the tulle CLI reach the control API. */
import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { stringify } from 'yaml';

/** The kubeconfig document. It holds the admin token: whoever writes it to disk uses mode 0600. */
export function kubeconfig(server: string, ca: string, token: string): string {
  return stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [
      { name: 'tulle', cluster: { server, 'certificate-authority-data': Buffer.from(ca).toString('base64') } },
    ],
    users: [{ name: 'admin', user: { token } }],
    contexts: [{ name: 'tulle', context: { cluster: 'tulle', user: 'admin', namespace: 'default' } }],
    'current-context': 'tulle',
  });
}

/** Writes it for the owner alone, whatever stood there before. */
export function saveKubeconfig(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  // A file that others could read must not get the token for a moment: a new one takes its place.
  const next = `${path}.${process.pid}.new`;
  writeFileSync(next, text, { mode: 0o600, flag: 'wx' });
  renameSync(next, path);
}
