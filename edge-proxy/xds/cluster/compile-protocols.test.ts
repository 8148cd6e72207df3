import { describe, expect, it } from 'vitest';
import { Cluster as ClusterSchema } from '../../../shared/xds/cluster.ts';
import type { UpstreamConnectionOwner, UpstreamProtocol } from '../../http/codec/codecs.ts';
import type { Http2Options } from '../../http/codec/h2/options.ts';
import { memoryPair } from '../../http/testing/memory-network.ts';
import type { Connection } from '../../runtime/runtime.ts';
import { compileProtocols, httpOptions, maySpeakHttp2 } from './compile-protocols.ts';

const KEY = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions';

function optionsOf(options: object | undefined) {
  const typed = options && { [KEY]: { '@type': `type.googleapis.com/${KEY}`, ...options } };
  return httpOptions(ClusterSchema.parse({ name: 'c', ...(typed && { typedExtensionProtocolOptions: typed }) }));
}

const connected: string[] = [];
const codec = (options: Http2Options): UpstreamProtocol => ({
  name: 'http2',
  expectedStreams: options.maxConcurrentStreams,
  connect: () => {
    connected.push('http2');
    return { maxStreams: 1, streams: 0, open: () => undefined as never, drain() {}, destroy() {} };
  },
});
const compiled = (options: object | undefined, secured = true) =>
  compileProtocols(optionsOf(options), secured, { protocol: codec, random: () => 0 });
const names = (options: object | undefined) => {
  const { forHttp1, forHttp2 } = compiled(options);
  return [forHttp1.name, forHttp2.name];
};

describe('HttpProtocolOptions', () => {
  const http2ProtocolOptions = { maxConcurrentStreams: 7 };

  it.each<[string, object | undefined, string[]]>([
    ['absent', undefined, ['http1', 'http1']],
    ['explicit HTTP/1.1', { explicitHttpConfig: { httpProtocolOptions: {} } }, ['http1', 'http1']],
    ['explicit HTTP/2', { explicitHttpConfig: { http2ProtocolOptions } }, ['http2', 'http2']],
    ["the client's", { useDownstreamProtocolConfig: { http2ProtocolOptions } }, ['http1', 'http2']],
    ["the client's, without options", { useDownstreamProtocolConfig: {} }, ['http1', 'http2']],
    ['by ALPN', { autoConfig: { http2ProtocolOptions } }, ['alpn', 'alpn']],
  ])('%s', (_, options, expected) => expect(names(options)).toEqual(expected));

  it('have their options in force', () => {
    for (const name of ['explicitHttpConfig', 'useDownstreamProtocolConfig', 'autoConfig'])
      expect(compiled({ [name]: { http2ProtocolOptions } }).forHttp2.expectedStreams).toBe(7);
  });

  it('that are equal give the same protocol, so that an update keeps connections', () => {
    for (const name of ['explicitHttpConfig', 'useDownstreamProtocolConfig', 'autoConfig']) {
      const first = compiled({ [name]: { http2ProtocolOptions } }).forHttp2;
      expect(compiled({ [name]: { http2ProtocolOptions } }).forHttp2).toBe(first);
      expect(compiled({ [name]: { http2ProtocolOptions: { maxConcurrentStreams: 8 } } }).forHttp2).not.toBe(first);
    }
  });

  it.each([
    ['h2', ['http2']],
    ['http/1.1', []],
    ['', []],
    [undefined, []],
  ])('with autoConfig a connection whose ALPN is %s speaks it', (alpn, expected) => {
    connected.length = 0;
    const [end] = memoryPair();
    const connection = Object.create(end, { tls: { value: alpn === undefined ? undefined : { alpn } } }) as Connection;
    const owner: UpstreamConnectionOwner = { onCapacity() {}, onClosed() {} };
    const made = compiled({ autoConfig: {} }).forHttp1.connect(connection, owner);
    expect(connected).toEqual(expected);
    expect(made.maxStreams).toBe(1);
  });

  it.each<[object, string]>([
    [{}, `${KEY}: must have exactly one of explicitHttpConfig, useDownstreamProtocolConfig, autoConfig`],
    [
      { explicitHttpConfig: { httpProtocolOptions: {} }, autoConfig: {} },
      'must have exactly one of explicitHttpConfig',
    ],
    [{ explicitHttpConfig: {} }, `${KEY}.explicitHttpConfig: must have exactly one of`],
    [
      { explicitHttpConfig: { httpProtocolOptions: {}, http2ProtocolOptions: {} } },
      `${KEY}.explicitHttpConfig: must have exactly one of httpProtocolOptions, http2ProtocolOptions`,
    ],
    [
      { useDownstreamProtocolConfig: { http2ProtocolOptions: { maxConcurrentStreams: 0 } } },
      `${KEY}.useDownstreamProtocolConfig.http2ProtocolOptions.maxConcurrentStreams: must be 1 to 2147483647`,
    ],
    [{ explicitHttpConfig: { http2ProtocolOptions: { allowMetadata: true } } }, 'allowMetadata: is not supported'],
  ])('refuses %j', (options, message) => expect(() => compiled(options)).toThrow(message));

  it('refuses autoConfig where a connection could be plaintext', () =>
    expect(() => compiled({ autoConfig: {} }, false)).toThrow('autoConfig: needs TLS on every connection'));

  it.each([
    'http2ProtocolOptions',
    'httpProtocolOptions',
    'commonHttpProtocolOptions',
    'upstreamHttpProtocolOptions',
    'protocolSelection',
  ])('refuses the old %s of the cluster by name', (name) => {
    const { error } = ClusterSchema.safeParse({ name: 'c', [name]: {} });
    expect(error?.message).toContain(name);
  });

  it('refuses HTTP/3 by name', () => {
    for (const name of ['explicitHttpConfig', 'useDownstreamProtocolConfig', 'autoConfig'])
      expect(() => optionsOf({ [name]: { http3ProtocolOptions: {} } })).toThrow('http3ProtocolOptions');
  });

  it('say whether gRPC may go there', () => {
    const may = (options: object | undefined) => maySpeakHttp2(optionsOf(options));
    expect([
      may(undefined),
      may({ explicitHttpConfig: { httpProtocolOptions: {} } }),
      may({ useDownstreamProtocolConfig: { httpProtocolOptions: {} } }),
    ]).toEqual([false, false, false]);
    expect([
      may({ explicitHttpConfig: { http2ProtocolOptions } }),
      may({ useDownstreamProtocolConfig: { http2ProtocolOptions } }),
      may({ autoConfig: {} }),
    ]).toEqual([true, true, true]);
  });
});
