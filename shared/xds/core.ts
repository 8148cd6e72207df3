/** envoy.config.core.v3 and envoy.type.v3: what every other xDS message is made of. */
import type { z } from 'zod';
import {
  bool,
  double,
  duration,
  enumeration,
  int64,
  list,
  map,
  message,
  messageRequiring,
  nonEmpty,
  string,
  struct,
  uint32,
} from './message.ts';

const SocketAddress = messageRequiring(
  { protocol: enumeration(['TCP', 'UDP']), address: nonEmpty(), portValue: uint32(), ipv4Compat: bool() },
  ['address'],
);
export const Address = message({
  socketAddress: SocketAddress,
  pipe: messageRequiring({ path: nonEmpty(), mode: uint32() }, ['path']),
});
export type Address = z.infer<typeof Address>;

export const CidrRange = messageRequiring({ addressPrefix: nonEmpty(), prefixLen: uint32() }, ['addressPrefix']);
export type CidrRange = z.infer<typeof CidrRange>;

export const Locality = message({ region: string(), zone: string(), subZone: string() });
export type Locality = z.infer<typeof Locality>;

export const Metadata = message({ filterMetadata: map(struct()) });
export type Metadata = z.infer<typeof Metadata>;

export const DataSource = message({ filename: string(), inlineString: string(), inlineBytes: string() });
export type DataSource = z.infer<typeof DataSource>;

/** envoy.config.core.v3.SubstitutionFormatString, of bodies. */
export const BodyFormat = message({
  textFormatSource: DataSource,
  textFormat: string(),
  jsonFormat: struct(),
  omitEmptyValues: bool(),
  contentType: string(),
});
export type BodyFormat = z.infer<typeof BodyFormat>;

export const HeaderValueOption = messageRequiring(
  {
    header: messageRequiring({ key: nonEmpty(), value: string() }, ['key']),
    appendAction: enumeration([
      'APPEND_IF_EXISTS_OR_ADD',
      'ADD_IF_ABSENT',
      'OVERWRITE_IF_EXISTS_OR_ADD',
      'OVERWRITE_IF_EXISTS',
    ]),
    append: bool(),
    keepEmptyValue: bool(),
  },
  ['header'],
);
export type HeaderValueOption = z.infer<typeof HeaderValueOption>;

export const RegexMatcher = messageRequiring({ regex: nonEmpty(), googleRe2: message({}) }, ['regex']);
export type RegexMatcher = z.infer<typeof RegexMatcher>;
export const RegexMatchAndSubstitute = messageRequiring({ pattern: RegexMatcher, substitution: string() }, ['pattern']);
export type RegexMatchAndSubstitute = z.infer<typeof RegexMatchAndSubstitute>;

/** envoy.type.matcher.v3.StringMatcher */
export const StringMatcher = message({
  exact: string(),
  prefix: string(),
  suffix: string(),
  contains: string(),
  safeRegex: RegexMatcher,
  ignoreCase: bool(),
});
export type StringMatcher = z.infer<typeof StringMatcher>;

export const FractionalPercent = message({
  numerator: uint32(),
  denominator: enumeration(['HUNDRED', 'TEN_THOUSAND', 'MILLION']),
});
export type FractionalPercent = z.infer<typeof FractionalPercent>;
export const RuntimeFractionalPercent = message({ defaultValue: FractionalPercent, runtimeKey: string() });
export type RuntimeFractionalPercent = z.infer<typeof RuntimeFractionalPercent>;
export const Percent = message({ value: double() });

export const Int64Range = message({ start: int64(), end: int64() });

/** ConfigSource: over ADS (our long-poll); a static file holds everything it needs. */
export const ConfigSource = message({
  ads: message({}),
  resourceApiVersion: enumeration(['AUTO', 'V2', 'V3']),
  initialFetchTimeout: duration(),
});
export type ConfigSource = z.infer<typeof ConfigSource>;

export const TcpKeepalive = message({
  keepaliveProbes: uint32(),
  keepaliveTime: uint32(),
  keepaliveInterval: uint32(),
});

/** envoy.config.core.v3.Http2ProtocolOptions; the ranges of its fields are those of `compileHttp2Options` in the proxy. */
export const Http2ProtocolOptions = message({
  hpackTableSize: uint32(),
  maxConcurrentStreams: uint32(),
  initialStreamWindowSize: uint32(),
  initialConnectionWindowSize: uint32(),
  allowConnect: bool(),
  allowMetadata: bool(),
  maxOutboundFrames: uint32(),
  maxOutboundControlFrames: uint32(),
  maxConsecutiveInboundFramesWithEmptyPayload: uint32(),
  maxInboundPriorityFramesPerStream: uint32(),
  maxInboundWindowUpdateFramesPerDataFrameSent: uint32(),
  streamErrorOnInvalidHttpMessaging: bool(),
  overrideStreamErrorOnInvalidHttpMessage: bool(),
  customSettingsParameters: list(message({ identifier: uint32(), value: uint32() })),
  connectionKeepalive: messageRequiring(
    { interval: duration(), timeout: duration(), intervalJitter: Percent, connectionIdleInterval: duration() },
    ['timeout'],
  ),
  maxHeaderFieldSizeKb: uint32(),
});
export type Http2ProtocolOptions = z.infer<typeof Http2ProtocolOptions>;

/** The xDS node: a proxy's identity towards the control plane (envoy.config.core.v3.Node). */
export const Node = messageRequiring(
  {
    id: nonEmpty(),
    cluster: string(),
    metadata: struct(),
    locality: Locality,
    userAgentName: string(),
    userAgentVersion: string(),
    /** What the node understands beyond plain incremental xDS; see FEATURES of discovery. Unknown ones are ignored. */
    clientFeatures: list(nonEmpty()),
  },
  ['id'],
);
export type Node = z.infer<typeof Node>;
