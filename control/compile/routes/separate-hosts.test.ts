import { describe, expect, it } from 'vitest';
import type { RouteConfiguration } from '../../../shared/xds/route.ts';
import { inOneGo } from '../output/compiled-node.ts';
import { canonicalJson } from '../output/digest.ts';
import { layerOf } from '../output/resource-set.ts';
import { shared } from '../output/shared-resource.ts';
import { separateHosts } from './separate-hosts.ts';
import { namesOf } from './virtual-host-names.ts';

const host = (name: string, timeout = '1s') => ({
  name,
  domains: [name],
  routes: [{ match: { prefix: '/' }, route: { cluster: name, timeout } }],
});
const services = { list: [], byHost: new Map() };
const separate = (...configs: RouteConfiguration[]) =>
  inOneGo(separateHosts({ services, line: 'one', layer: layerOf(configs.map((config) => shared('routes', config))) }));

describe('separate virtual hosts', () => {
  it('are named after their configuration, and with it make up the whole', () => {
    const whole: RouteConfiguration = { name: '80', virtualHosts: [host('a'), host('b')], validateClusters: false };
    const { routes, virtualHosts } = separate(whole);
    const { vhds, ...config } = routes.get('80')!.resource as RouteConfiguration;
    expect(vhds).toEqual({ configSource: { ads: {}, resourceApiVersion: 'V3' } });
    const hosts = ['80/a', '80/b'].map((name) => ({ ...virtualHosts.get(name)!.resource, name: name.slice(3) }));
    expect(canonicalJson({ ...config, virtualHosts: hosts })).toBe(canonicalJson(whole));
    const text = Buffer.concat([...virtualHosts.get('80/a')!.chunks()]).toString();
    expect(JSON.parse(text)).toMatchObject({
      '@type': 'type.googleapis.com/envoy.config.route.v3.VirtualHost',
      name: '80/a',
    });
  });

  it('keep their identity, and the configuration its own, when another host changes', () => {
    const a = host('a');
    const before = separate({ name: '80', virtualHosts: [a, host('b')] });
    const after = separate({ name: '80', virtualHosts: [a, host('b', '2s'), host('c')] });
    expect(after.routes.get('80')).toBe(before.routes.get('80'));
    expect(after.virtualHosts.get('80/a')).toBe(before.virtualHosts.get('80/a'));
    expect(after.virtualHosts.get('80/b')!.version).not.toBe(before.virtualHosts.get('80/b')!.version);
  });

  it('are replaced one by one, under the names and domains that stay', () => {
    const a = host('a');
    const before = separate({ name: '80', virtualHosts: [a, host('b')] });
    const after = separate({ name: '80', virtualHosts: [a, host('b', '3s')] });
    expect(after.routes).toBe(before.routes);
    expect(namesOf(after.virtualHosts)).toBe(namesOf(before.virtualHosts));
    expect(after.virtualHosts.get('80/b')!.resource).toMatchObject({ name: '80/b', routes: host('b', '3s').routes });
    expect(after.virtualHosts.get('80/b')).not.toBe(before.virtualHosts.get('80/b'));
    const moved = separate({ name: '80', virtualHosts: [a, { ...host('b'), domains: ['b', 'c'] }] });
    expect(namesOf(moved.virtualHosts)).toEqual([
      { name: '80/a', domains: ['a'] },
      { name: '80/b', domains: ['b', 'c'] },
    ]);
  });

  it('stay in their configuration where their names do not tell them apart', () => {
    for (const hosts of [[host('a/b')], [host('a'), { ...host('a'), domains: ['other'] }], []]) {
      const { routes, virtualHosts } = separate({ name: '80', virtualHosts: hosts });
      expect([virtualHosts.size, (routes.get('80')!.resource as RouteConfiguration).virtualHosts]).toEqual([0, hosts]);
    }
  });
});
