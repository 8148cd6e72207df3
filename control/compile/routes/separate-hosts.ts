/** Virtual hosts as resources of their own (Envoy's VHDS), so that a change of one sends that one. */
import type { RouteConfiguration, VirtualHost } from '../../../shared/xds/route.ts';
import { generator, slicedGenerator } from '../memo.ts';
import { canonicalJson } from '../output/digest.ts';
import { type Layer, layerOf } from '../output/resource-set.ts';
import { type SharedResource, shared } from '../output/shared-resource.ts';

export interface SeparateHosts {
  /** The configurations, with `vhds` in the place of their virtual hosts. */
  readonly routes: Layer;
  /** Named `<configuration>/<virtual host>`. */
  readonly virtualHosts: Layer;
}

/**
 * The configurations of a layer without their virtual hosts, and these. A configuration without virtual hosts, or one
 * whose virtual hosts are not distinguished by their names, stays whole. Pauses between virtual hosts.
 */
export const separateHosts = slicedGenerator<{ layer: Layer }, SeparateHosts>({ layer: true }, function* ({ layer }) {
  const routes: SharedResource[] = [];
  const virtualHosts: SharedResource[] = [];
  for (const whole of layer.values()) {
    const config = whole.resource as RouteConfiguration;
    yield;
    if (!separable(config)) {
      routes.push(whole);
      continue;
    }
    const { virtualHosts: hosts = [], ...rest } = config;
    routes.push(withoutHosts({ rest: canonicalJson(rest) }));
    for (const [i, host] of hosts.entries()) {
      virtualHosts.push(unit({ host, configuration: whole.name }));
      if (i % HOSTS_AT_ONCE === 0) yield;
    }
  }
  return { routes: layerOf(routes), virtualHosts: layerOf(virtualHosts) };
});

/** A unit of a host that is known costs a microsecond, a new one some fifty. */
const HOSTS_AT_ONCE = 20;

/** The last slash of a resource's name ends the configuration's. */
function separable({ name, virtualHosts = [] }: RouteConfiguration): boolean {
  if (!name || virtualHosts.length === 0) return false;
  const names = new Set(virtualHosts.map((host) => host.name));
  return names.size === virtualHosts.length && ![...names].some((host) => host.includes('/'));
}

/** One object for one text, so that a configuration does not change with its virtual hosts. */
const withoutHosts = generator<{ rest: string }, SharedResource>({ rest: true }, ({ rest }) =>
  shared('routes', {
    ...(JSON.parse(rest) as RouteConfiguration),
    vhds: { configSource: { ads: {}, resourceApiVersion: 'V3' } },
  }),
);

const unit = generator<{ host: VirtualHost; configuration: string }, SharedResource>(
  { host: true, configuration: true },
  ({ host, configuration }) => shared('virtualHosts', { ...host, name: `${configuration}/${host.name}` }),
);
