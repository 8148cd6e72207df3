/** `tulle kubeconfig`: a kubeconfig with which kubectl and the tulle CLI reach the control API. */
import { mkdirSync, writeFileSync } from 'node:fs';
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

/** Writes it for the owner alone. */
export function saveKubeconfig(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  writeFileSync(path, text, { mode: 0o600 });
}
