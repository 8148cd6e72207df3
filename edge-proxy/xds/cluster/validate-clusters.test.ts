import { describe, expect, it } from 'vitest';
import { RouteConfiguration } from '../../../shared/xds/route.ts';
import { validateClusters } from './validate-clusters.ts';

const clusters = new Set(['there']);
const table = (route: object, more: object = {}) =>
  RouteConfiguration.parse({
    validateClusters: true,
    virtualHosts: [{ name: 'h', domains: ['*'], routes: [{ match: { prefix: '/' }, route }] }],
    ...more,
  });

describe('validateClusters', () => {
  it.each<[string, RouteConfiguration, string]>([
    ['a cluster', table({ cluster: 'away' }), 'virtualHosts[0].routes[0].route.cluster: unknown cluster "away"'],
    ['a weight', table({ weightedClusters: { clusters: [{ name: 'there' }, { name: 'away' }] } }), 'clusters[1].name'],
    ['a mirror', table({ cluster: 'there', requestMirrorPolicies: [{ cluster: 'away' }] }), 'requestMirrorPolicies[0]'],
    ["a table's mirror", table({ cluster: 'there' }, { requestMirrorPolicies: [{ cluster: 'away' }] }), '"away"'],
  ])('refuses %s that is not there', (_, config, reason) => {
    expect(() => validateClusters(config, clusters)).toThrow(reason);
    expect(() => validateClusters({ ...config, validateClusters: false }, clusters)).not.toThrow();
  });

  it('lets pass what is there, and names that requests choose', () => {
    validateClusters(table({ cluster: 'there' }), clusters);
    validateClusters(table({ clusterHeader: 'x-cluster' }), clusters);
  });
});
