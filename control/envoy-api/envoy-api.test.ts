import { describe, expect, it } from 'vitest';
import { EnvoyApiError, jsonOf, readMessage, toBytes } from './envoy-api.ts';
import { field, textField } from './wire.ts';

const CLUSTER = 'envoy.config.cluster.v3.Cluster';
const HTTP = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions';
const OPTIONS = { '@type': `type.googleapis.com/${HTTP}`, explicitHttpConfig: { http2ProtocolOptions: {} } };

describe("Envoy's API", () => {
  it('goes from JSON to binary and back, with durations, wrappers, structs, maps and any', () => {
    const cluster = {
      name: 'outbound|80||a',
      type: 'EDS',
      connectTimeout: '0.250s',
      perConnectionBufferLimitBytes: 1024,
      edsClusterConfig: { edsConfig: { ads: {}, resourceApiVersion: 'V3' }, serviceName: 's' },
      typedExtensionProtocolOptions: { [HTTP]: OPTIONS },
      metadata: { filterMetadata: { istio: { services: [{ host: 'a', weight: 1.5, on: true, none: null }] } } },
    };
    expect(jsonOf(readMessage(CLUSTER, toBytes(CLUSTER, cluster)))).toEqual(cluster);
  });

  it('writes what the encoding of protobuf says', () => {
    // Field 1, length-delimited: "a"; field 4, a duration of one second.
    expect([...toBytes(CLUSTER, { name: 'a', connect_timeout: '1s' })]).toEqual([10, 1, 97, 34, 2, 8, 1]);
  });

  it.each([
    ['a field', { nope: 1 }, /envoy\.config\.cluster\.v3\.Cluster.*"nope"/],
    ['an enum value', { type: 'NOPE' }, /Cluster\.DiscoveryType.*"NOPE"/],
    ['a type', { transportSocket: { name: 'x', typedConfig: { '@type': 'type.googleapis.com/a.B' } } }, /a\.B/],
    ['a text as number', { perConnectionBufferLimitBytes: 'many' }, /"many"/],
  ])('refuses %s that it does not have, by name', (_what, json, error) => {
    expect(() => toBytes(CLUSTER, json)).toThrow(EnvoyApiError);
    expect(() => toBytes(CLUSTER, json)).toThrow(error);
  });

  it('refuses bytes that are no message, and a message nested without end', () => {
    expect(() => readMessage(CLUSTER, Uint8Array.from([10, 200, 1]))).toThrow(EnvoyApiError);
    expect(() => readMessage('envoy.Nope', new Uint8Array())).toThrow(/envoy\.Nope/);
    let nested: Uint8Array[] = textField(3, 'x');
    for (let depth = 0; depth < 8000; depth++) nested = [Buffer.concat(field(6, [Buffer.concat(field(1, nested))]))];
    expect(() => jsonOf(readMessage('google.protobuf.Value', Buffer.concat(nested)))).toThrow(EnvoyApiError);
  });
});
