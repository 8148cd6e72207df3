/** The proxies of all control planes that share a store. */
import type { ProxyStatus } from '../../discovery/status.ts';
import type { Asked, Peers } from './peers.ts';

export interface AllProxies {
  readonly proxies: readonly ShownProxy[];
  /** Control planes that did not answer, each with the reason. */
  readonly missing: readonly string[];
}

/** `controlPlane`: the URL of the one that it is connected to, where there are several. */
export type ShownProxy = ProxyStatus & { readonly controlPlane?: string };

/** Of a proxy that has moved, the entry of the control plane that has seen it last. */
export async function allProxies(
  own: readonly ProxyStatus[],
  url: string,
  peers: Pick<Peers, 'proxies'>,
): Promise<AllProxies> {
  const asked = await peers.proxies();
  if (asked.length === 0) return { proxies: own, missing: [] };
  const latest = new Map<string, ShownProxy>();
  for (const proxy of [...own.map((each) => ({ ...each, controlPlane: url })), ...asked.flatMap(proxiesOf)]) {
    const key = `${proxy.id} ${proxy.namespace}/${proxy.serviceAccount}`;
    const other = latest.get(key);
    if (!other || proxy.lastSeen >= other.lastSeen) latest.set(key, proxy);
  }
  const proxies = [...latest].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, proxy]) => proxy);
  const missing = asked.flatMap(({ replica, error }) =>
    error === undefined ? [] : [`the proxies of control plane ${replica.url} are not shown: ${error}`],
  );
  return { proxies, missing };
}

function proxiesOf({ replica, answer }: Asked<{ proxies: readonly ProxyStatus[] }>): ShownProxy[] {
  return (answer?.proxies ?? []).map((proxy) => ({ ...proxy, controlPlane: replica.url }));
}
