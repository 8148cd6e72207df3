/** istio.metadata_exchange: io.istio.http.peer_metadata.Config */
import { PeerMetadata } from '../../../../shared/xds/http-filters.ts';
import { ConfigError } from '../../../config-error.ts';
import { defineFilter } from '../definition.ts';
import { createPeerMetadataFilter, type Discovery } from './filter.ts';

type Methods = NonNullable<PeerMetadata['downstreamDiscovery']>;

export const peerMetadata = defineFilter({
  type: 'io.istio.http.peer_metadata.Config',
  schema: PeerMetadata,
  create: (config, { env }) => {
    const rules = {
      downstream: discoveryOf(config.downstreamDiscovery, 'downstreamDiscovery'),
      upstream: discoveryOf(config.upstreamDiscovery, 'upstreamDiscovery'),
      answersDownstream: propagates(config.downstreamPropagation, 'downstreamPropagation'),
      sendsUpstream: propagates(config.upstreamPropagation, 'upstreamPropagation'),
    };
    return createPeerMetadataFilter(rules, env.own, env.workloads);
  },
});

function discoveryOf(methods: Methods = [], path: string): Discovery | undefined {
  if (methods.length === 0) return undefined;
  methods.forEach((method, i) => {
    if (Object.keys(method).length !== 1) throw new ConfigError(`${path}[${i}]`, 'must have exactly one method');
  });
  const byHeaders = methods.findIndex(({ istioHeaders }) => istioHeaders !== undefined);
  const byAddress = methods.findIndex(({ workloadDiscovery }) => workloadDiscovery !== undefined);
  if (byHeaders >= 0 && byAddress >= 0 && byAddress < byHeaders)
    throw new ConfigError(path, 'must have istioHeaders before workloadDiscovery');
  return { byHeaders: byHeaders >= 0, byAddress: byAddress >= 0 };
}

function propagates(methods: PeerMetadata['upstreamPropagation'] = [], path: string): boolean {
  methods.forEach(({ istioHeaders }, i) => {
    if (istioHeaders === undefined) throw new ConfigError(`${path}[${i}]`, 'must have istioHeaders');
    if (istioHeaders.skipExternalClusters)
      throw new ConfigError(`${path}[${i}].istioHeaders.skipExternalClusters`, 'is not supported');
  });
  return methods.length > 0;
}
