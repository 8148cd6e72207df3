/** The API on an empty store in this process, over plain HTTP, and a kubeconfig for it: what kubectl shows of resources. */
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { createApi, createInitialNamespaces } from '../../../control/api/app.ts';
import { nodeListener } from '../../../control/api/server/node-listener.ts';
import { ObjectLife } from '../../../control/lifecycle/object-life.ts';
import { memoryStore } from '../../../control/store/memory.ts';
import { kindOf, kinds, validate } from '../../../shared/resources/index.ts';
import type { Resource } from '../../../shared/resources/resource.ts';
import { kubectlBinary } from '../../kit/command.ts';
import { temporaryFolder } from '../../kit/environment.ts';
import { closeServers, listening } from '../../kit/upstream.ts';

export interface KubectlApi {
  /** `http://127.0.0.1:PORT` */
  readonly address: string;
  /** kubectl and the arguments with which it finds the API. */
  readonly command: readonly [string, ...string[]];
  stop(): Promise<void>;
}

/** kubectl sends no token over plain HTTP, so every request is the admin's here. */
export async function startKubectlApi(): Promise<KubectlApi> {
  const folder = temporaryFolder();
  const store = memoryStore();
  await createInitialNamespaces(store);
  const life = new ObjectLife({ store, kindOf, keyOf });
  await life.start();
  const api = createApi({ store, kinds: { kinds, validate }, isAdmin: (token) => token === 'admin', version: '0.1.0' });
  const asAdmin = (request: Request, env: object) => {
    const headers = new Headers(request.headers);
    headers.set('authorization', 'Bearer admin');
    return api.fetch(new Request(request, { headers }), env);
  };
  const server = createServer(nodeListener(asAdmin, () => ({})));
  const address = `http://127.0.0.1:${await listening(server)}`;
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'tulle', cluster: { server: address } }],
    contexts: [{ name: 'tulle', context: { cluster: 'tulle', user: 'admin' } }],
    users: [{ name: 'admin', user: {} }],
    'current-context': 'tulle',
  };
  const kubeconfig = join(folder.path, 'kubeconfig');
  writeFileSync(kubeconfig, JSON.stringify(config));
  return {
    address,
    command: [kubectlBinary ?? 'kubectl', '--kubeconfig', kubeconfig, '--cache-dir', join(folder.path, 'cache')],
    stop: async () => {
      closeServers(server);
      await life.stop();
      folder.dispose();
    },
  };
}

function keyOf({ apiVersion, kind: name, metadata: { namespace = '', name: resource } }: Resource) {
  const kind = kindOf(apiVersion, name);
  return kind && { group: kind.group, plural: kind.plural, namespace, name: resource };
}
