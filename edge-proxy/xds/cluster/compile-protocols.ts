/** HttpProtocolOptions of a cluster -> what its connections speak. */

import type { Cluster as ClusterConfig, HttpProtocolOptions } from '../../../shared/xds/cluster.ts';
import type { Http2ProtocolOptions } from '../../../shared/xds/core.ts';
import { ConfigError } from '../../config-error.ts';
import type { UpstreamProtocol } from '../../http/codec/codecs.ts';
import { defaultLimits } from '../../http/codec/h1/head.ts';
import { http1 } from '../../http/codec/h1/upstream-connection.ts';
import { compileHttp2Options } from '../../http/codec/h2/compile-options.ts';
import { defaultHttp2Options, type Http2Options } from '../../http/codec/h2/options.ts';
import type { ClusterProtocols } from '../../upstream/cluster.ts';
import { WeakValues } from '../../weak-values.ts';

const KEY = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions';
const PATH = `typedExtensionProtocolOptions.${KEY}`;
const SPECIFIERS = ['explicitHttpConfig', 'useDownstreamProtocolConfig', 'autoConfig'] as const;
const ONLY_HTTP1: ClusterProtocols = { forHttp1: http1, forHttp2: http1 };

/** How HTTP/2 is spoken; undefined: it is not, and only clusters that may speak HTTP/1.1 as well are taken. */
export type Http2Codec =
  | { readonly protocol: (options: Http2Options) => UpstreamProtocol; readonly random: () => number }
  | undefined;

/** By their options: an update of a cluster that changes none keeps its connections. */
const http2Protocols = new WeakValues<UpstreamProtocol>();
const negotiated = new WeakValues<UpstreamProtocol>();

/** @throws ConfigError where there is not exactly one specifier of the protocol, as Envoy */
export function httpOptions(config: ClusterConfig): HttpProtocolOptions | undefined {
  const options = config.typedExtensionProtocolOptions?.[KEY];
  if (options && SPECIFIERS.filter((name) => options[name] !== undefined).length !== 1)
    throw new ConfigError(PATH, `must have exactly one of ${SPECIFIERS.join(', ')}`);
  return options;
}

/**
 * @param secured every connection of the cluster is TLS
 * @throws ConfigError naming the field
 */
export function compileProtocols(
  options: HttpProtocolOptions | undefined,
  secured: boolean,
  codec: Http2Codec,
): ClusterProtocols {
  if (options?.explicitHttpConfig) return explicit(options.explicitHttpConfig, codec);
  if (options?.useDownstreamProtocolConfig) {
    const { http2ProtocolOptions } = options.useDownstreamProtocolConfig;
    const path = `${PATH}.useDownstreamProtocolConfig.http2ProtocolOptions`;
    const http2 = codec ? http2Of(http2ProtocolOptions, path, codec) : http1;
    return { forHttp1: http1, forHttp2: http2 };
  }
  if (options?.autoConfig) {
    if (!secured) throw new ConfigError(`${PATH}.autoConfig`, 'needs TLS on every connection: ALPN decides');
    const path = `${PATH}.autoConfig.http2ProtocolOptions`;
    const protocol = negotiatedOf(options.autoConfig.http2ProtocolOptions, path, codec);
    return { forHttp1: protocol, forHttp2: protocol };
  }
  return ONLY_HTTP1;
}

/** Requests to the cluster may go over HTTP/2, which gRPC needs. */
export function maySpeakHttp2(options: HttpProtocolOptions | undefined): boolean {
  const { explicitHttpConfig, useDownstreamProtocolConfig, autoConfig } = options ?? {};
  return (
    (explicitHttpConfig ?? useDownstreamProtocolConfig)?.http2ProtocolOptions !== undefined || autoConfig !== undefined
  );
}

function explicit(config: NonNullable<HttpProtocolOptions['explicitHttpConfig']>, codec: Http2Codec): ClusterProtocols {
  const { httpProtocolOptions, http2ProtocolOptions } = config;
  const path = `${PATH}.explicitHttpConfig`;
  if ((httpProtocolOptions === undefined) === (http2ProtocolOptions === undefined))
    throw new ConfigError(path, 'must have exactly one of httpProtocolOptions, http2ProtocolOptions');
  if (http2ProtocolOptions === undefined) return ONLY_HTTP1;
  const http2 = http2Of(http2ProtocolOptions, `${path}.http2ProtocolOptions`, codec);
  return { forHttp1: http2, forHttp2: http2 };
}

function http2Of(config: Http2ProtocolOptions | undefined, path: string, codec: Http2Codec): UpstreamProtocol {
  if (codec === undefined) throw new ConfigError(path, 'HTTP/2 to upstreams is not supported');
  const options = optionsOf(config, path, codec.random);
  return http2Protocols.get(JSON.stringify(options), () => codec.protocol(options));
}

function negotiatedOf(config: Http2ProtocolOptions | undefined, path: string, codec: Http2Codec): UpstreamProtocol {
  const http2 = http2Of(config, path, codec);
  return negotiated.get(JSON.stringify(config ?? {}), () => byAlpn(http2));
}

/** Responses have the limits that requests have by default, as in Envoy. */
function optionsOf(config: Http2ProtocolOptions | undefined, path: string, random: () => number): Http2Options {
  const { maxHeadBytes } = defaultHttp2Options;
  return compileHttp2Options(config, path, { maxHeadBytes, maxFields: defaultLimits.maxFields, random });
}

/** A server that agrees on nothing speaks HTTP/1.1. */
function byAlpn(http2: UpstreamProtocol): UpstreamProtocol {
  return {
    name: 'alpn',
    expectedStreams: http2.expectedStreams,
    connect: (connection, owner) => (connection.tls?.alpn === 'h2' ? http2 : http1).connect(connection, owner),
  };
}
