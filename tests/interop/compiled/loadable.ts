/** Compiled listeners and clusters as static resources that Envoy can load without a control plane (`--mode validate`). */
import type { Snapshot } from '../../../shared/xds/discovery.ts';
import type { SvidFiles } from '../tls/svids.ts';

type Fields = Record<string, unknown>;

const isObject = (value: unknown): value is Fields => typeof value === 'object' && value !== null;

/** Listeners and clusters of one compiled proxy, complete in themselves. */
export interface Loadable {
  readonly listeners: readonly Fields[];
  readonly clusters: readonly Fields[];
}

/** Routes, endpoints and secrets in the place of their names; files that are there; nothing of Istio's own build of Envoy. */
export function loadable(snapshot: Snapshot, own: SvidFiles): Loadable {
  const { listeners = [], routes = [], clusters = [], endpoints = [] } = snapshot;
  const tables = new Map(routes.map((route) => [route.name, route as Fields]));
  const assignments = new Map(endpoints.map((one) => [one.clusterName, one]));
  const complete = (value: unknown) => completed(value, tables, own) as Fields;
  const addresses = listeners.map(({ address }) => JSON.stringify(address));
  const twice = addresses.find((address, i) => addresses.indexOf(address) !== i);
  if (twice) throw new Error(`two listeners of one proxy at ${twice}`);
  return {
    listeners: listeners.map(complete),
    clusters: clusters.map((cluster) => {
      const { edsClusterConfig, ...rest } = complete(cluster);
      if (rest['type'] !== 'EDS') return rest;
      const service = ((edsClusterConfig ?? {}) as Fields)['serviceName'] ?? rest['name'];
      const loadAssignment = assignments.get(String(service)) ?? { clusterName: service };
      return { ...rest, type: 'STATIC', loadAssignment };
    }),
  };
}

function completed(value: unknown, routes: ReadonlyMap<unknown, Fields>, own: SvidFiles): unknown {
  if (Array.isArray(value)) return value.filter((item) => !isIstios(item)).map((item) => completed(item, routes, own));
  if (!isObject(value)) return value;
  const out: Fields = {};
  for (const [key, inner] of Object.entries(value)) {
    if (key === 'rds') out['routeConfig'] = completed(tableOf(inner as Fields, routes), routes, own);
    else if (key === 'tlsCertificateSdsSecretConfigs')
      out['tlsCertificates'] = [{ certificateChain: { filename: own.cert }, privateKey: { filename: own.key } }];
    else if (key === 'combinedValidationContext') {
      const rules = completed((inner as Fields)['defaultValidationContext'] ?? {}, routes, own) as Fields;
      out['validationContext'] = { ...rules, trustedCa: { filename: own.roots } };
    } else if (FILES[key] && isObject(inner) && 'filename' in inner) out[key] = { filename: own[FILES[key]] };
    // Its own standard output may be a socket, which Envoy cannot open by path.
    else if (key === 'path' && (inner === '/dev/stdout' || inner === '/dev/stderr')) out[key] = '/dev/null';
    else if (key !== 'crl') out[key] = completed(inner, routes, own);
  }
  return out;
}

function tableOf({ routeConfigName: name }: Fields, routes: ReadonlyMap<unknown, Fields>): Fields {
  const table = routes.get(name);
  if (!table) throw new Error(`no route configuration "${name}"`);
  return { ...table, validateClusters: false };
}

const FILES: Readonly<Record<string, keyof SvidFiles>> = {
  certificateChain: 'cert',
  privateKey: 'key',
  trustedCa: 'roots',
};

const isIstios = (value: unknown): boolean =>
  isObject(value) && value['isOptional'] === true && String(value['name']).startsWith('istio.');

/**
 * The distinct listeners and clusters of many proxies, some hundred a bootstrap. In its name each has the label of the first
 * proxy that has it; each listener has a port of its own, as their addresses may be the same.
 */
export class Bootstraps {
  readonly all: { staticResources: { listeners: Fields[]; clusters: Fields[] } }[] = [];
  private readonly seen = new Set<string>();
  private readonly size: number;
  private room = 0;

  constructor(size: number) {
    this.size = size;
  }

  /** How many different ones there are. */
  get count(): number {
    return this.seen.size;
  }

  add(label: string, { listeners, clusters }: Loadable): void {
    for (const listener of listeners) {
      if (!this.isNew(listener)) continue;
      const name = this.nameOf(label, listener);
      const into = this.last().listeners;
      into.push(atPort({ ...listener, name }, into.length + 1));
    }
    for (const cluster of clusters)
      if (this.isNew(cluster)) this.last().clusters.push({ ...cluster, name: this.nameOf(label, cluster) });
  }

  private nameOf(label: string, { name }: Fields): string {
    return `${label} ${name} #${this.seen.size}`;
  }

  private isNew(resource: Fields): boolean {
    const text = JSON.stringify(resource);
    if (this.seen.has(text)) return false;
    this.seen.add(text);
    return true;
  }

  private last() {
    if (this.room === 0) {
      this.all.push({ staticResources: { listeners: [], clusters: [] } });
      this.room = this.size;
    }
    this.room -= 1;
    return this.all.at(-1)!.staticResources;
  }
}

function atPort(listener: Fields, portValue: number): Fields {
  const { socketAddress } = listener['address'] as { socketAddress?: Fields };
  return socketAddress ? { ...listener, address: { socketAddress: { ...socketAddress, portValue } } } : listener;
}
