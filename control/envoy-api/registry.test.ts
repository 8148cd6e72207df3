import { fromBinary, fromJson, type JsonValue, toBinary, toJson } from '@bufbuild/protobuf';
import { describe, expect, it } from 'vitest';
import { envoyApi, envoyMessage } from './registry.ts';

const CLUSTER = 'envoy.config.cluster.v3.Cluster';
const TLS = 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext';

describe("Envoy's API", () => {
  it('reads JSON with either spelling of fields, and writes it and protobuf', () => {
    const registry = envoyApi();
    const schema = envoyMessage(CLUSTER);
    const cluster: JsonValue = {
      name: 'reviews',
      connect_timeout: '0.500s',
      lbPolicy: 'RING_HASH',
      transport_socket: { name: 'tls', typed_config: { '@type': TLS, sni: 'reviews' } },
    };
    const message = fromJson(schema, cluster, { registry });
    const expected = {
      name: 'reviews',
      connectTimeout: '0.500s',
      lbPolicy: 'RING_HASH',
      transportSocket: { name: 'tls', typedConfig: { '@type': TLS, sni: 'reviews' } },
    };
    expect(toJson(schema, message, { registry })).toEqual(expected);
    expect(toJson(schema, fromBinary(schema, toBinary(schema, message)), { registry })).toEqual(expected);
  });

  it('refuses what a message does not have', () => {
    const registry = envoyApi();
    expect(() => fromJson(envoyMessage(CLUSTER), { conect_timeout: '1s' }, { registry })).toThrow(
      /"conect_timeout" is unknown/,
    );
    expect(() => fromJson(envoyMessage(CLUSTER), { connect_timeout: '1 s' }, { registry })).toThrow(/Duration/);
    expect(() => envoyMessage('envoy.Cluster')).toThrow('unknown type "envoy.Cluster"');
  });

  it('has the services of discovery and every extension of Envoy', () => {
    expect(envoyApi().getService('envoy.service.discovery.v3.AggregatedDiscoveryService')?.methods).toHaveLength(2);
    for (const type of [
      'lua.v3.Lua',
      'local_ratelimit.v3.LocalRateLimit',
      'ratelimit.v3.RateLimit',
      'compressor.v3.Compressor',
    ])
      expect(envoyMessage(`envoy.extensions.filters.http.${type}`).fields.length).toBeGreaterThan(0);
  });
});
