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
  certificateExpires?: string;
  lastChange?: { at: string; reason: string };
  serviceAccount?: string;
  error?: string;
  notes?: string[];
  types: Record<ResourceType, { state: 'SYNCED' | 'STALE' | 'NOT SENT' | 'NACK'; error?: string; reason?: string }>;
}

/** @param word which proxies, as `proxy-config` takes them; undefined: all */
export async function proxyStatus(
  api: ControlApi,
  word: string | undefined,
  namespace: string,
  output: OutputFormat,
): Promise<void> {
  const all = await proxiesOf(api);
  const proxies = word === undefined ? all : matching(all, word, namespace);
  print(output, proxies, () => {
    if (proxies.length === 0) return 'No proxies are connected.';
    const types = RESOURCE_TYPES.map((type) => type.toUpperCase());
    const heads = ['NAME', ...types, 'CONNECTED', 'LAST SEEN', 'CERT EXPIRES', 'VERSION', 'LAST CHANGE'];
    const rows = proxies.map((proxy) => [
      proxy.id,
      ...RESOURCE_TYPES.map((type) => proxy.types[type]?.state ?? 'NOT SENT'),
      proxy.connected ? 'yes' : 'no',
      age(proxy.lastSeen),
      expiry(proxy, Date.now()),
      proxy.version ?? '',
      proxy.lastChange ? `${age(proxy.lastChange.at)} ${proxy.lastChange.reason}` : '',
    ]);
    return [table(heads, rows), ...proxies.flatMap(remarks)].join('\n');
  });
}

/** `in 18h`, or `expired`; empty for a proxy without a certificate, and while a poll is held that began before a renewal. */
export function expiry(
  { certificateExpires, connected }: Pick<ProxyRow, 'certificateExpires' | 'connected'>,
  now: number,
): string {
  if (certificateExpires === undefined) return '';
  const at = Date.parse(certificateExpires);
  if (at > now) return `in ${age(new Date(now).toISOString(), at)}`;
  return connected ? '' : 'expired';
}

/** Below the table: refusals, and what else is remarkable. */
function remarks({ id, serviceAccount, types, error, notes = [] }: ProxyRow): string[] {
  const of = `${id}${serviceAccount ? ` (${serviceAccount})` : ''}`;
  const refused = RESOURCE_TYPES.filter((type) => types[type]?.error).map((type) => `${type}: ${types[type].error}`);
  const stale = RESOURCE_TYPES.filter((type) => types[type]?.reason).map((type) => `${type}: ${types[type].reason}`);
  return [
    ...refused.map((text) => colour.red(escapeText(`${id} ${text}`))),
    ...(error === undefined ? [] : [colour.red(escapeText(`${of}: cannot be compiled: ${error}`))]),
    ...notes.map((text) => colour.yellow(escapeText(`${of}: ${text}`))),
    ...(stale.length > 0 ? [colour.yellow(escapeText(`${of}: stale: ${stale.join('; ')}`))] : []),
  ];
}

const proxiesOf = async (api: ControlApi): Promise<ProxyRow[]> =>
  (await api.call<{ proxies: ProxyRow[] }>('GET', '/v1/proxies')).proxies;

/**
 * The proxies that a word means, as istioctl: a node id, `name.namespace`, a name of the namespace, else the beginning of a
 * name or id.
 * @throws CliError when there is none
 */
export function matching<Row extends { readonly id: string }>(
  proxies: readonly Row[],
  word: string,
  namespace: string,
): Row[] {
  const nameOf = ({ id }: Row) => id.split('~')[2] ?? '';
  const ways: ((row: Row) => boolean)[] = [
    (row) => row.id === word,
    (row) => nameOf(row) === word,
    (row) => nameOf(row) === `${word}.${namespace}`,
    (row) => row.id.startsWith(word) || (nameOf(row).startsWith(word) && nameOf(row).endsWith(`.${namespace}`)),
    (row) => nameOf(row).startsWith(word),
  ];
  for (const way of ways) {
    const found = proxies.filter(way);
    if (found.length > 0) return found;
  }
  throw new CliError(`no proxy "${word}" is known: "tulle proxy-status" lists them`);
}

export interface ProxyConfigOptions {
  readonly namespace: string;
  readonly output: OutputFormat;
  /** Where several use one node id. */
  readonly serviceAccount?: string | undefined;
}

export async function proxyConfig(
  api: ControlApi,
  type: string,
  word: string,
  { namespace, output, serviceAccount }: ProxyConfigOptions,
): Promise<void> {
  const kind = typeArgument(type);
  const ids = [...new Set(matching(await proxiesOf(api), word, namespace).map(({ id }) => id))];
  const [id = ''] = ids;
  if (ids.length > 1) throw new CliError(`proxy-config: "${word}" is the beginning of several: ${ids.join(', ')}`);
  type Answer = Partial<Snapshot> & { notFetched?: { [T in ResourceType]?: string[] } };
  const account = serviceAccount === undefined ? '' : `&serviceAccount=${encodeURIComponent(serviceAccount)}`;
  const config = await api.call<Answer>('GET', `/v1/proxies/${encodeURIComponent(id)}/config?type=${kind}${account}`);
  const resources = config[kind] ?? [];
  // What a sidecar fetches on demand, and has not.
  const others = config.notFetched?.[kind] ?? [];
  print(output, resources, () => {
    if (resources.length + others.length === 0) return `${id} has no ${kind}.`;
    const rows = resources.map((resource) => [resourceName(kind, resource), summary(kind, resource)]);
    return table(['NAME', 'SUMMARY'], [...rows, ...others.map((name) => [name, 'not fetched'])]);
  });
}

/** istioctl's short forms that begin no type, or several. */
const SHORT: Readonly<Record<string, ResourceType>> = { ep: 'endpoints', vh: 'virtualHosts' };

/** `listeners`, `listener`, `l`. @throws CliError */
export function typeArgument(word: string): ResourceType {
  const wanted = word.toLowerCase();
  const found =
    (Object.hasOwn(SHORT, wanted) ? SHORT[wanted] : undefined) ??
    RESOURCE_TYPES.find((type) => wanted !== '' && type.toLowerCase().startsWith(wanted));
  if (found) return found;
  throw new CliError(`proxy-config ${word}: must be one of ${RESOURCE_TYPES.join(', ')}, or the beginning of one`);
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
    case 'dnsHosts':
      return (resource as XdsResource['dnsHosts']).addresses.join(' ');
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
