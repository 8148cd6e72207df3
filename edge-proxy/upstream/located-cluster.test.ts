import { describe, expect, it } from 'vitest';
import { Cluster as ClusterSchema } from '../../shared/xds/cluster.ts';
import { HeaderMap } from '../http/message/header-map.ts';
import { compileCluster } from '../xds/cluster/compile-cluster.ts';
import type { Cluster, Endpoint, Located } from './cluster.ts';
import { parseTarget } from './located-cluster.ts';

function setup(config: object, names: Record<string, string[]> = {}) {
  const clock = { now: 0 };
  const asked: string[] = [];
  const cluster: Cluster = compileCluster(
    ClusterSchema.parse({ name: 'c', lbPolicy: 'CLUSTER_PROVIDED', ...config }),
    undefined,
    {
      tls: () => () => undefined,
      now: () => clock.now,
      random: Math.random,
      resolve: (host) => {
        asked.push(host);
        const addresses = names[host];
        return addresses ? Promise.resolve({ addresses, ttl: undefined }) : Promise.reject(new Error('no such name'));
      },
    },
  );
  const resolveDestination = async (authority: string, headers?: HeaderMap): Promise<string | undefined> => {
    const found: Located = await cluster.resolveDestination!(authority, headers);
    return typeof found === 'object' ? (found as Endpoint).id : found;
  };
  return { cluster, clock, asked, names, resolveDestination };
}

const dynamic = (cache: object = {}) => ({
  clusterType: {
    name: 'envoy.clusters.dynamic_forward_proxy',
    typedConfig: {
      '@type': 'type.googleapis.com/envoy.extensions.clusters.dynamic_forward_proxy.v3.ClusterConfig',
      dnsCacheConfig: { name: 'cache', dnsLookupFamily: 'V4_ONLY', ...cache },
    },
  },
});

describe('dynamic forward proxy', () => {
  it('looks up the host that is requested, once, and takes its addresses in turn', async () => {
    const { resolveDestination, asked, cluster } = setup(dynamic(), { 'a.test': ['10.0.0.1', '10.0.0.2', '::1'] });
    expect([
      await resolveDestination('a.test'),
      await resolveDestination('A.test:80'),
      await resolveDestination('a.test.:8080'),
    ]).toEqual(['10.0.0.1:80', '10.0.0.2:80', '10.0.0.1:8080']);
    expect(asked).toEqual(['a.test']);
    expect(cluster.endpoints().map(({ id, hostname }) => `${hostname} ${id}`)).toEqual([
      'a.test 10.0.0.1:80',
      'a.test 10.0.0.2:80',
      'a.test 10.0.0.1:8080',
    ]);
  });

  it('shares a look-up under way, and asks again when it is old while the old answer serves', async () => {
    const { resolveDestination, asked, clock, names } = setup(dynamic({ dnsRefreshRate: '10s' }), {
      'a.test': ['10.0.0.1'],
    });
    await Promise.all([resolveDestination('a.test'), resolveDestination('a.test')]);
    expect(asked).toHaveLength(1);
    clock.now = 10_000;
    names['a.test'] = ['10.0.0.9'];
    expect(await resolveDestination('a.test')).toBe('10.0.0.1:80');
    await Promise.resolve();
    expect(asked).toHaveLength(2);
    await expect.poll(() => resolveDestination('a.test')).toBe('10.0.0.9:80');
    delete names['a.test'];
    clock.now = 30_000;
    expect(await resolveDestination('a.test')).toBe('10.0.0.9:80');
    await expect.poll(() => asked.length).toBe(3);
    expect(await resolveDestination('a.test')).toBe('10.0.0.9:80');
  });

  it('remembers failures for a while', async () => {
    const { resolveDestination, asked, clock, names } = setup(
      dynamic({ dnsFailureRefreshRate: { baseInterval: '2s' } }),
    );
    expect([await resolveDestination('no.test'), await resolveDestination('no.test')]).toEqual([
      'unresolved',
      'unresolved',
    ]);
    expect(asked).toHaveLength(1);
    names['no.test'] = ['10.0.0.3'];
    clock.now = 2000;
    expect(await resolveDestination('no.test')).toBe('10.0.0.3:80');
  });

  it('takes addresses as they are, and refuses what is no name', async () => {
    const { resolveDestination, asked } = setup(dynamic());
    expect([await resolveDestination('192.0.2.1'), await resolveDestination('[2001:db8::1]:81')]).toEqual([
      '192.0.2.1:80',
      '[2001:db8::1]:81',
    ]);
    for (const bad of ['', 'a b', 'a..b', '-'.repeat(64), `${'a.'.repeat(40_000)}!`, 'x:0', 'x:70000', 'x:y'])
      expect(await resolveDestination(bad), bad.slice(0, 20)).toBe('unresolved');
    expect(asked).toEqual([]);
  });

  it('holds so many names and no more', async () => {
    const names = Object.fromEntries(Array.from({ length: 9 }, (_, i) => [`h${i}.test`, [`10.0.0.${i}`]]));
    const { resolveDestination, clock, cluster } = setup(dynamic({ maxHosts: 3, hostTtl: '60s' }), names);
    for (let i = 0; i < 3; i++) await resolveDestination(`h${i}.test`);
    expect(await resolveDestination('h3.test')).toBe('overflow');
    clock.now = 60_000 + 60_000;
    expect(await resolveDestination('h3.test')).toBe('10.0.0.3:80');
    expect(cluster.endpoints().length).toBeLessThanOrEqual(3);
  });

  it('is refused beside endpoints, and with another balancer', () => {
    expect(() => setup({ ...dynamic(), type: 'STATIC' })).toThrow('excludes type');
    expect(() => setup({ ...dynamic(), lbPolicy: 'RANDOM' })).toThrow('CLUSTER_PROVIDED');
  });
});

describe('original destination', () => {
  it('is the address of the header, if the cluster uses the header', async () => {
    const headers = new HeaderMap();
    headers.append('X-Envoy-Original-Dst-Host', '10.1.1.1:8080');
    const heeding = setup({ type: 'ORIGINAL_DST', originalDstLbConfig: { useHttpHeader: true } });
    expect(await heeding.resolveDestination('x', headers)).toBe('10.1.1.1:8080');
    expect(await heeding.resolveDestination('x', new HeaderMap())).toBeUndefined();
    expect(await setup({ type: 'ORIGINAL_DST' }).resolveDestination('x', headers)).toBe('not redirected');
    const named = setup({ type: 'ORIGINAL_DST', originalDstLbConfig: { useHttpHeader: true, httpHeaderName: 'X-To' } });
    expect(await named.resolveDestination('x', headers)).toBeUndefined();
    headers.append('X-To', '[::2]:1');
    expect(await named.resolveDestination('x', headers)).toBe('[::2]:1');
  });

  it('is where a captured connection was sent, unless a header says more', () => {
    const client = { remoteAddress: '10.0.0.9', remotePort: 5000, localAddress: '10.1.1.2', localPort: 81 };
    const { cluster } = setup({ type: 'ORIGINAL_DST' });
    const found = (more: object) => cluster.resolveDestination!('x', undefined, { ...client, ...more });
    expect(found({ redirected: true })).toMatchObject({ address: '10.1.1.2', port: 81 });
    expect(found({ redirected: true, localAddress: '2001:db8::1' })).toMatchObject({ id: '[2001:db8::1]:81' });
    expect(found({ redirected: false })).toBe('not redirected');
    const heeding = setup({ type: 'ORIGINAL_DST', originalDstLbConfig: { useHttpHeader: true } }).cluster;
    const headers = new HeaderMap();
    expect(heeding.resolveDestination!('x', headers, { ...client, redirected: true })).toMatchObject({ port: 81 });
    headers.append('X-Envoy-Original-Dst-Host', 'malformed');
    expect(heeding.resolveDestination!('x', headers, { ...client, redirected: true })).toBeUndefined();
  });

  it('keeps what is known of an endpoint', async () => {
    const headers = new HeaderMap();
    headers.append('X-Envoy-Original-Dst-Host', '10.1.1.1:8080');
    const { cluster } = setup({ type: 'ORIGINAL_DST', originalDstLbConfig: { useHttpHeader: true } });
    expect(cluster.resolveDestination!('x', headers)).toBe(cluster.resolveDestination!('y', headers));
  });
});

it.each(['10.0.0.1', '300.0.0.1:1', 'name:80', '10.0.0.1:0', '10.0.0.1:65536', '[::1]', ':80', '10.0.0.1:1x'])(
  'is no target: %s',
  (text) => expect(parseTarget(text)).toBeUndefined(),
);
