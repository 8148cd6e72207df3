/** `tulle proxy-status` and `tulle proxy-config`: the control plane's view of its proxies. */
import { escapeText } from '../../shared/log/escape.ts';
import {
  RESOURCE_TYPES,
  type ResourceType,
  resourceName,
  type Snapshot,
  type XdsResource,
} from '../../shared/xds/discovery.ts';
import { CliError } from './cli-error.ts';
import type { ControlApi } from './connection.ts';
import { age, colour, type OutputFormat, print, table } from './output.ts';

/** One row of `GET /v1/proxies`. */
export interface ProxyRow {
  id: string;
  version?: string;
  connected: boolean;
  lastSeen?: string;
  lastChange?: { at: string; reason: string };
  types: Record<ResourceType, { state: 'SYNCED' | 'STALE' | 'NOT SENT' | 'NACK'; error?: string }>;
}

export async function proxyStatus(api: ControlApi, output: OutputFormat): Promise<void> {
  const { proxies } = await api.call<{ proxies: ProxyRow[] }>('GET', '/v1/proxies');
  print(output, proxies, () => {
    if (proxies.length === 0) return 'No proxies are connected.';
    const types = RESOURCE_TYPES.map((type) => type.toUpperCase());
    const heads = ['NAME', ...types, 'CONNECTED', 'LAST SEEN', 'VERSION', 'LAST CHANGE'];
    const rows = proxies.map((proxy) => [
      proxy.id,
      ...RESOURCE_TYPES.map((type) => proxy.types[type]?.state ?? 'NOT SENT'),
      proxy.connected ? 'yes' : 'no',
      age(proxy.lastSeen),
      proxy.version ?? '',
      proxy.lastChange ? `${age(proxy.lastChange.at)} ${proxy.lastChange.reason}` : '',
    ]);
    const errors = proxies.flatMap((proxy) =>
      RESOURCE_TYPES.filter((type) => proxy.types[type]?.error).map((type) =>
        colour.red(escapeText(`${proxy.id} ${type}: ${proxy.types[type].error}`)),
      ),
    );
    return [table(heads, rows), ...errors].join('\n');
  });
}

export async function proxyConfig(api: ControlApi, type: string, id: string, output: OutputFormat): Promise<void> {
  if (!(RESOURCE_TYPES as readonly string[]).includes(type))
    throw new CliError(`proxy-config ${type}: must be one of ${RESOURCE_TYPES.join(', ')}`);
  const kind = type as ResourceType;
  type Answer = Partial<Snapshot> & { notFetched?: { [T in ResourceType]?: string[] } };
  const config = await api.call<Answer>('GET', `/v1/proxies/${encodeURIComponent(id)}/config?type=${kind}`);
  const resources = config[kind] ?? [];
  // What a sidecar fetches on demand, and has not.
  const others = config.notFetched?.[kind] ?? [];
  print(output, resources, () => {
    if (resources.length + others.length === 0) return `${id} has no ${type}.`;
    const rows = resources.map((resource) => [resourceName(kind, resource), summary(kind, resource)]);
    return table(['NAME', 'SUMMARY'], [...rows, ...others.map((name) => [name, 'not fetched'])]);
  });
}

function summary(type: ResourceType, resource: XdsResource[ResourceType]): string {
  switch (type) {
    case 'listeners': {
      const { address, filterChains } = resource as Snapshot['listeners'][number];
      return `${address.socketAddress?.address ?? ''}:${address.socketAddress?.portValue ?? ''} chains=${filterChains?.length ?? 0}`;
    }
    case 'routes': {
      const { virtualHosts = [], vhds } = resource as Snapshot['routes'][number];
      if (vhds) return 'its virtual hosts are separate: proxy-config virtualHosts';
      return virtualHosts.map((host) => `${host.name}(${host.routes?.length ?? 0})`).join(' ');
    }
    case 'hosts': {
      const { ports = [], addresses = [] } = resource as XdsResource['hosts'];
      return [...ports.map(({ number, protocol = '' }) => `${protocol}:${number}`), ...addresses].join(' ');
    }
    case 'virtualHosts': {
      const { domains, routes = [] } = resource as XdsResource['virtualHosts'];
      return `${domains.join(' ')} routes=${routes.length}`;
    }
    case 'clusters': {
      const cluster = resource as Snapshot['clusters'][number];
      return `${cluster.type ?? 'STATIC'} ${cluster.lbPolicy ?? 'ROUND_ROBIN'}`;
    }
    case 'endpoints': {
      const { endpoints = [] } = resource as Snapshot['endpoints'][number];
      const hosts = endpoints.flatMap((group) => group.lbEndpoints ?? []);
      return hosts
        .map(
          ({ endpoint }) =>
            `${endpoint?.address?.socketAddress?.address}:${endpoint?.address?.socketAddress?.portValue}`,
        )
        .join(' ');
    }
    case 'secrets':
      return (resource as Snapshot['secrets'][number]).tlsCertificate ? 'certificate' : 'trust bundle';
  }
}
