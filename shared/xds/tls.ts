/** envoy.extensions.transport_sockets.tls.v3: TLS contexts and secrets. */
import type { z } from 'zod';
import { ConfigSource, DataSource, StringMatcher } from './core.ts';
import { any, bool, enumeration, list, message, messageRequiring, nonEmpty, string, uint32 } from './message.ts';

const TlsVersion = enumeration(['TLS_AUTO', 'TLSV1_0', 'TLSV1_1', 'TLSV1_2', 'TLSV1_3']);

const TlsParameters = message({
  // Names are read in any case, as Envoy does: `TLSv1_2` arrives here as TLSV1_2.
  tlsMinimumProtocolVersion: TlsVersion,
  tlsMaximumProtocolVersion: TlsVersion,
  cipherSuites: list(nonEmpty()),
  ecdhCurves: list(nonEmpty()),
  signatureAlgorithms: list(nonEmpty()),
});
export const TlsCertificate = message({
  certificateChain: DataSource,
  privateKey: DataSource,
  watchedDirectory: message({ path: nonEmpty() }),
});
export type TlsCertificate = z.infer<typeof TlsCertificate>;

export const SubjectAltNameMatcher = messageRequiring(
  {
    sanType: enumeration(['SAN_TYPE_UNSPECIFIED', 'EMAIL', 'DNS', 'URI', 'IP_ADDRESS', 'OTHER_NAME']),
    matcher: StringMatcher,
    /** Of OTHER_NAME, dotted. */
    oid: string(),
  },
  ['sanType', 'matcher'],
);
export const CertificateValidationContext = message({
  trustedCa: DataSource,
  watchedDirectory: message({ path: nonEmpty() }),
  matchTypedSubjectAltNames: list(SubjectAltNameMatcher),
  /** Deprecated in Envoy, still what istiod writes: matches URI, DNS and IP names alike. */
  matchSubjectAltNames: list(StringMatcher),
  verifyCertificateHash: list(nonEmpty()),
  verifyCertificateSpki: list(nonEmpty()),
  crl: DataSource,
  onlyVerifyLeafCertCrl: bool(),
  allowExpiredCertificate: bool(),
  trustChainVerification: enumeration(['VERIFY_TRUST_CHAIN', 'ACCEPT_UNTRUSTED']),
  maxVerifyDepth: uint32(),
  /** Another verification of the chain: a trust bundle per SPIFFE trust domain. */
  customValidatorConfig: messageRequiring(
    {
      name: nonEmpty(),
      typedConfig: any({
        'envoy.extensions.transport_sockets.tls.v3.SPIFFECertValidatorConfig': messageRequiring(
          {
            trustDomains: list(
              messageRequiring({ name: nonEmpty(), trustBundle: DataSource }, ['name', 'trustBundle']),
            ),
          },
          ['trustDomains'],
        ),
      }),
    },
    ['name', 'typedConfig'],
  ),
});
export type CertificateValidationContext = z.infer<typeof CertificateValidationContext>;

const SdsSecretConfig = messageRequiring({ name: nonEmpty(), sdsConfig: ConfigSource }, ['name']);
export const CommonTlsContext = message({
  tlsParams: TlsParameters,
  tlsCertificates: list(TlsCertificate),
  tlsCertificateSdsSecretConfigs: list(SdsSecretConfig),
  validationContext: CertificateValidationContext,
  validationContextSdsSecretConfig: SdsSecretConfig,
  combinedValidationContext: messageRequiring(
    { defaultValidationContext: CertificateValidationContext, validationContextSdsSecretConfig: SdsSecretConfig },
    ['defaultValidationContext', 'validationContextSdsSecretConfig'],
  ),
  alpnProtocols: list(nonEmpty()),
});
export type CommonTlsContext = z.infer<typeof CommonTlsContext>;

export const DownstreamTlsContext = message({
  commonTlsContext: CommonTlsContext,
  requireClientCertificate: bool(),
  requireSni: bool(),
  // The peer is verified again on every session resumption; servers on Node and Bun do not resume sessions.
  disableStatelessSessionResumption: bool(),
  disableStatefulSessionResumption: bool(),
  fullScanCertsOnSniMismatch: bool(),
});
export type DownstreamTlsContext = z.infer<typeof DownstreamTlsContext>;

export const UpstreamTlsContext = message({
  commonTlsContext: CommonTlsContext,
  sni: string(),
  autoHostSni: bool(),
  autoSniSanValidation: bool(),
  allowRenegotiation: bool(),
  /** An upper bound: none is kept. */
  maxSessionKeys: uint32(),
  /** Deprecated in Envoy, which always enforces key usage, as Tulle does. */
  enforceRsaKeyUsage: bool(),
});
export type UpstreamTlsContext = z.infer<typeof UpstreamTlsContext>;

const RawBuffer = message({});
export const DownstreamTransportSocket = messageRequiring(
  {
    name: nonEmpty(),
    typedConfig: any({
      'envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext': DownstreamTlsContext,
      'envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer': RawBuffer,
    }),
  },
  ['name', 'typedConfig'],
);
const CLIENT_SOCKETS = {
  'envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext': UpstreamTlsContext,
  'envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer': RawBuffer,
} as const;
/** envoy.extensions.transport_sockets.proxy_protocol.v3: a PROXY header before what the inner socket sends. */
export const ProxyProtocolTransport = messageRequiring(
  {
    config: message({ version: enumeration(['V1', 'V2']) }),
    transportSocket: messageRequiring({ name: nonEmpty(), typedConfig: any(CLIENT_SOCKETS) }, ['name', 'typedConfig']),
  },
  ['transportSocket'],
);
export type ProxyProtocolTransport = z.infer<typeof ProxyProtocolTransport>;
export const UpstreamTransportSocket = messageRequiring(
  {
    name: nonEmpty(),
    typedConfig: any({
      ...CLIENT_SOCKETS,
      'envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport': ProxyProtocolTransport,
    }),
  },
  ['name', 'typedConfig'],
);

/** An SDS secret: a key pair or a trust bundle. */
export const Secret = messageRequiring(
  { name: nonEmpty(), tlsCertificate: TlsCertificate, validationContext: CertificateValidationContext },
  ['name'],
);
export type Secret = z.infer<typeof Secret>;
