import { describe, expect, it } from 'vitest';
import { fileOf, forEnvoy, responseOf } from './envoy-resources.ts';

const path = (type: 'endpoints' | 'routes' | 'secrets', name: string) => ({
  pathConfigSource: { path: fileOf('/data', type, name) },
  resourceApiVersion: 'V3',
});
const ads = { ads: {}, resourceApiVersion: 'V3' };

describe('a resource for Envoy', () => {
  it('names files in the place of the control plane', () => {
    const secret = { name: 'default', sdsConfig: ads };
    expect(forEnvoy({ name: 'c', edsClusterConfig: { edsConfig: ads, serviceName: 's' } }, '/data')).toEqual({
      name: 'c',
      edsClusterConfig: { edsConfig: path('endpoints', 's'), serviceName: 's' },
    });
    expect(forEnvoy({ name: 'c', edsClusterConfig: { edsConfig: ads } }, '/data')).toEqual({
      name: 'c',
      edsClusterConfig: { edsConfig: path('endpoints', 'c') },
    });
    expect(forEnvoy({ rds: { configSource: ads, routeConfigName: '80' }, a: [secret] }, '/data')).toEqual({
      rds: { configSource: path('routes', '80'), routeConfigName: '80' },
      a: [{ name: 'default', sdsConfig: path('secrets', 'default') }],
    });
  });

  it('has no filter that only the build of Istio has, and all others', () => {
    const stats = { name: 'istio.stats', isOptional: true };
    const kept = [{ name: 'istio.alpn' }, { name: 'envoy.filters.http.router', isOptional: true }];
    expect(forEnvoy({ httpFilters: [stats, ...kept] }, '/data')).toEqual({ httpFilters: kept });
  });

  it('has no other config source', () => {
    expect(() => forEnvoy({ filter: { configDiscovery: { source: ads } } }, '/data')).toThrow(
      'filter.configDiscovery.source: a config source that has no file',
    );
  });

  it('has a file name without the characters of its own name', () => {
    expect(fileOf('/data', 'routes', '../../etc/x')).toMatch(/^\/data\/rds\/[0-9a-f]{32}\.json$/);
    expect(fileOf('/data', 'routes', 'a')).not.toBe(fileOf('/data', 'routes', 'b'));
  });

  it('is written as a DiscoveryResponse', () => {
    expect(JSON.parse(responseOf('clusters', [{ name: 'c' }], '3'))).toEqual({
      versionInfo: '3',
      resources: [{ '@type': 'type.googleapis.com/envoy.config.cluster.v3.Cluster', name: 'c' }],
    });
  });
});
