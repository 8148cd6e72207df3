/** envoy.config.bootstrap.v3: the static file that runs in Envoy and in `tulle proxy -c` alike. */
import type { z } from 'zod';
import { Cluster } from './cluster.ts';
import { Address, Node } from './core.ts';
import { Listener } from './listener.ts';
import { list, message, string } from './message.ts';
import { LayeredRuntime, OverloadManager } from './overload.ts';
import { Secret } from './tls.ts';

export const Bootstrap = message({
  node: Node,
  staticResources: message({ listeners: list(Listener), clusters: list(Cluster), secrets: list(Secret) }),
  /** The cluster whose endpoints are the proxies like this one, for zone-aware routing. */
  clusterManager: message({ localClusterName: string() }),
  admin: message({ address: Address }),
  overloadManager: OverloadManager,
  layeredRuntime: LayeredRuntime,
});
export type Bootstrap = z.infer<typeof Bootstrap>;
