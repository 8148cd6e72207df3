import { expect, it } from 'vitest';
import {
  CertificateValidationContext,
  CommonTlsContext,
  DownstreamTlsContext,
  Secret,
  UpstreamTlsContext,
} from './tls.ts';

const source = { inlineString: 'x' };

/** Fields of Envoy 1.40 that Tulle does not support: each is refused by name, none is ignored. */
it.each([
  [DownstreamTlsContext, { sessionTicketKeys: { keys: [source] } }],
  [DownstreamTlsContext, { sessionTicketKeysSdsSecretConfig: { name: 'a' } }],
  [DownstreamTlsContext, { sessionTimeout: '1s' }],
  [DownstreamTlsContext, { ocspStaplePolicy: 'MUST_STAPLE' }],
  [DownstreamTlsContext, { preferClientCiphers: true }],
  [CommonTlsContext, { customHandshaker: { name: 'a' } }],
  [CommonTlsContext, { customTlsCertificateSelector: { name: 'a' } }],
  [CommonTlsContext, { keyLog: { path: '/x' } }],
  [CommonTlsContext, { tlsCertificateProviderInstance: {} }],
  [CommonTlsContext, { tlsParams: { compliancePolicies: ['FIPS_202205'] } }],
  [CommonTlsContext, { tlsCertificates: [{ ocspStaple: source }] }],
  [CommonTlsContext, { tlsCertificates: [{ pkcs12: source }] }],
  [CommonTlsContext, { tlsCertificates: [{ password: source }] }],
  [CommonTlsContext, { tlsCertificates: [{ privateKeyProvider: { providerName: 'a' } }] }],
  [CertificateValidationContext, { requireSignedCertificateTimestamp: true }],
  [CertificateValidationContext, { caCertificateProviderInstance: {} }],
  [Secret, { name: 'a', sessionTicketKeys: { keys: [source] } }],
  [Secret, { name: 'a', genericSecret: {} }],
  [UpstreamTlsContext, { unheardOf: 1 }],
])('refuses what it does not do: %#', (schema, fields) => {
  const unknown = (schema.safeParse(fields).error?.issues ?? []).flatMap((issue) =>
    issue.code === 'unrecognized_keys' ? issue.keys : [],
  );
  expect(unknown).toHaveLength(1);
  expect(JSON.stringify(fields)).toContain(`"${unknown[0]}":`);
});

it('reads every field that is enforced, in either spelling', () => {
  expect(
    CertificateValidationContext.parse({
      crl: { filename: '/crl' },
      only_verify_leaf_cert_crl: true,
      allow_expired_certificate: true,
      trust_chain_verification: 'ACCEPT_UNTRUSTED',
      max_verify_depth: 2,
      match_typed_subject_alt_names: [{ san_type: 'OTHER_NAME', oid: '1.2', matcher: { exact: 'a' } }],
    }),
  ).toEqual({
    crl: { filename: '/crl' },
    onlyVerifyLeafCertCrl: true,
    allowExpiredCertificate: true,
    trustChainVerification: 'ACCEPT_UNTRUSTED',
    maxVerifyDepth: 2,
    matchTypedSubjectAltNames: [{ sanType: 'OTHER_NAME', oid: '1.2', matcher: { exact: 'a' } }],
  });
});
