/** Virtual hosts as resources of their own (Envoy's VHDS), so that a change of one sends that one. */
import type { RouteConfiguration, VirtualHost } from '../../../shared/xds/route.ts';
import { generator, type Last, successiveGenerator } from '../memo.ts';
import type { Work } from '../output/compiled-node.ts';
import { canonicalJson } from '../output/digest.ts';
import { type Layer, layerOf } from '../output/resource-set.ts';
import { type SharedResource, shared } from '../output/shared-resource.ts';
import type { Services } from '../scope/scope.ts';
import { keepNames } from './virtual-host-names.ts';

export interface SeparateHosts {
  /** The configurations, with `vhds` in the place of their virtual hosts. */
  readonly routes: Layer;
  /** Named `<configuration>/<virtual host>`. */
  readonly virtualHosts: Layer;
}

interface SeparateHostsInput {
  readonly services: Services;
  /** What proxies have in common whose layers succeed each other. */
  readonly line: string;
  readonly layer: Layer;
}

/**
 * The configurations of a layer without their virtual hosts, and these. A configuration without virtual hosts, or one
 * whose virtual hosts are not distinguished by their names, stays whole. Pauses between virtual hosts. Where some virtual
 * hosts were replaced, only these are looked at.
 */
export const separateHosts = successiveGenerator<SeparateHostsInput, SeparateHosts>(
  { services: true, line: true, layer: true },
  function* ({ layer }, last) {
    return (last && withReplacedHosts(last, layer)) ?? (yield* separated(layer));
  },
);

function* separated(layer: Layer): Work<SeparateHosts> {
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
}

/** @returns undefined when more differs than virtual hosts that have the same name in the same place */
function withReplacedHosts(
  { input, value }: Last<SeparateHostsInput, SeparateHosts>,
  layer: Layer,
): SeparateHosts | undefined {
  if (input.layer.size !== layer.size) return undefined;
  const virtualHosts = new Map(value.virtualHosts);
  const before = [...input.layer.values()];
  let sameDomains = true;
  for (const [i, whole] of [...layer.values()].entries()) {
    const old = before[i]!;
    if (whole === old) continue;
    const replaced = replacedHosts(old.resource as RouteConfiguration, whole.resource as RouteConfiguration);
    // What stayed whole has to be looked at again.
    if (!replaced || value.routes.get(old.name) === old) return undefined;
    for (const [from, to] of replaced) {
      const one = unit({ host: to, configuration: whole.name });
      virtualHosts.set(one.name, one);
      sameDomains &&= sameTexts(from.domains, to.domains);
    }
  }
  if (sameDomains) keepNames(value.virtualHosts, virtualHosts);
  return { routes: value.routes, virtualHosts };
}

/** Pairs of virtual hosts with the same name in the same place. @returns undefined when something else differs */
function replacedHosts(
  { virtualHosts: before = [], ...rest }: RouteConfiguration,
  { virtualHosts: after = [], ...restAfter }: RouteConfiguration,
): readonly (readonly [VirtualHost, VirtualHost])[] | undefined {
  if (before.length !== after.length || canonicalJson(rest) !== canonicalJson(restAfter)) return undefined;
  const pairs: [VirtualHost, VirtualHost][] = [];
  for (const [i, host] of after.entries()) {
    const old = before[i]!;
    if (old === host) continue;
    if (old.name !== host.name) return undefined;
    pairs.push([old, host]);
  }
  return pairs;
}

const sameTexts = (one: readonly string[], other: readonly string[]): boolean =>
  one.length === other.length && one.every((text, i) => text === other[i]);

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
