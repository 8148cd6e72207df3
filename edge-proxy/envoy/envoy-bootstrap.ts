/** The bootstrap of an Envoy whose config is in files. */
import { join } from 'node:path';
import type { Node } from '../../shared/xds/core.ts';

export const LISTENERS_FILE = 'lds.json';
export const CLUSTERS_FILE = 'cds.json';

/** @param adminPort 0: chosen by the kernel */
export function envoyBootstrap(node: Node, folder: string, adminPort: number): object {
  const file = (name: string) => ({
    pathConfigSource: { path: join(folder, name) },
    resourceApiVersion: 'V3',
    // A file is there before Envoy starts; one that it refuses must not make it serve nothing as if it were ready.
    initialFetchTimeout: '0s',
  });
  const { id, cluster, metadata, locality } = node;
  return {
    node: { id, cluster, metadata: { ...metadata }, ...(locality && { locality }) },
    admin: { address: { socketAddress: { address: '127.0.0.1', portValue: adminPort } } },
    dynamicResources: { ldsConfig: file(LISTENERS_FILE), cdsConfig: file(CLUSTERS_FILE) },
  };
}
