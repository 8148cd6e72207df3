/** The DNS server beside a proxy: takes its names out of what discovery sends, and leaves the rest to the proxy. */
import { resourceName, SCHEMAS } from '../shared/xds/discovery.ts';
import { pathText } from './config-error.ts';
import type { ConfigChanges, ConfigTarget } from './control-client/config-target.ts';
import { DnsProxy } from './dns/dns-proxy.ts';
import type { Runtime } from './runtime/runtime.ts';
import { dnsPortOf, type MeshSettings } from './settings/settings.ts';

/**
 * @param descriptors listening sockets on which queries come instead of on a port; empty: there are none
 * @returns undefined where the settings have no DNS server @throws ListenError
 */
export async function startDns(
  settings: MeshSettings,
  runtime: Runtime,
  descriptors: readonly number[],
): Promise<DnsProxy | undefined> {
  const port = dnsPortOf(settings);
  if (port === undefined) return undefined;
  return DnsProxy.start({
    runtime,
    port,
    descriptors,
    // Without its names it would deny them.
    listensLater: runtime.process.succession?.predecessor !== undefined,
    upstreams: settings['dns-upstream'],
    namespace: settings.namespace,
    domainSuffix: settings['domain-suffix'],
    log: (line) => runtime.process.log(line),
  });
}

/** Names change after what they lead to. */
export function withDns(target: ConfigTarget, dns: Pick<DnsProxy, 'apply'>): ConfigTarget {
  return {
    async apply({ dnsHosts, ...changes }: ConfigChanges) {
      const refused = new Map(await target.apply(changes));
      if (!dnsHosts) return refused;
      const good = dnsHosts.upsert.flatMap((raw) => {
        const { success, data, error } = SCHEMAS.dnsHosts.safeParse(raw);
        if (success) return [data];
        const reason = error.issues.map((issue) => `${pathText(issue.path)}: ${issue.message}`).join('; ');
        refused.set(`dnsHosts/${resourceName('dnsHosts', raw)}`, reason);
        return [];
      });
      dns.apply(good, dnsHosts.remove);
      return refused;
    },
  };
}
