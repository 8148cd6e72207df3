/** Envoy's CertificateValidationContext, of a resource and of the secret it names, as what a peer is judged by. */
import type { CertificateValidationContext } from '../../../shared/xds/tls.ts';
import type { PeerTrust } from '../../runtime/runtime.ts';
import type { PeerNames } from '../../x509/verify-peer.ts';
import { compileNames, dnsNameCovers } from './peer-names.ts';

/** BoringSSL's own limit on the depth that may be requested. */
const DEEPEST = 100;

/**
 * One context of two, as Envoy merges them: single fields of the secret win, lists are joined, flags add up.
 * The rules for names are left out: `namesOf` has both sides' hold.
 */
export function mergeValidation(
  own: CertificateValidationContext | undefined,
  fetched: CertificateValidationContext | undefined,
): CertificateValidationContext {
  if (!own || !fetched) return own ?? fetched ?? {};
  const either = (field: 'onlyVerifyLeafCertCrl' | 'allowExpiredCertificate') => own[field] || fetched[field];
  const both = (field: 'verifyCertificateHash' | 'verifyCertificateSpki') => [
    ...(own[field] ?? []),
    ...(fetched[field] ?? []),
  ];
  return {
    ...own,
    ...fetched,
    onlyVerifyLeafCertCrl: either('onlyVerifyLeafCertCrl'),
    allowExpiredCertificate: either('allowExpiredCertificate'),
    verifyCertificateHash: both('verifyCertificateHash'),
    verifyCertificateSpki: both('verifyCertificateSpki'),
  };
}

/** Both sides' name rules hold: a secret cannot loosen what the resource demands. @returns undefined: any name */
export function namesOf(
  own: CertificateValidationContext | undefined,
  fetched: CertificateValidationContext | undefined,
): ((names: PeerNames) => boolean) | undefined {
  const rules = [own, fetched].flatMap((context) => (context && compileNames(context)) ?? []);
  return rules.length === 0 ? undefined : (names) => rules.every((accepts) => accepts(names));
}

/** @param text reads a data source @throws Error when a rule is malformed */
export function trustOf(
  merged: CertificateValidationContext,
  acceptNames: PeerTrust['acceptNames'],
  text: (source: NonNullable<CertificateValidationContext['crl']>) => string,
): PeerTrust {
  return {
    trustDomains: merged.customValidatorConfig?.typedConfig.trustDomains.map(({ name, trustBundle }) => ({
      name,
      roots: text(trustBundle),
    })),
    pins: pinsOf(merged),
    acceptNames,
    crl: merged.crl && text(merged.crl),
    crlOfLeafOnly: merged.onlyVerifyLeafCertCrl,
    allowExpired: merged.allowExpiredCertificate,
    maxDepth: merged.maxVerifyDepth,
    acceptUntrusted: merged.trustChainVerification === 'ACCEPT_UNTRUSTED',
  };
}

/** @throws Error when a rule is malformed */
export function refuseValidation(rule: CertificateValidationContext): void {
  pinsOf(rule);
  compileNames(rule);
  if ((rule.maxVerifyDepth ?? 0) > DEEPEST) throw new Error(`TLS: maxVerifyDepth: must be at most ${DEEPEST}`);
  const domains = rule.customValidatorConfig?.typedConfig.trustDomains ?? [];
  if (rule.customValidatorConfig && domains.length === 0) throw new Error('TLS: trustDomains: needs at least one');
  if (new Set(domains.map(({ name }) => name)).size < domains.length)
    throw new Error('TLS: trustDomains: a trust domain is set twice');
}

/** Envoy's verify_certificate_hash (hex, colons allowed) and verify_certificate_spki (base64), both of SHA-256. */
function pinsOf(rule: CertificateValidationContext): PeerTrust['pins'] {
  const certificates = (rule.verifyCertificateHash ?? []).map((text) => text.replaceAll(':', '').toLowerCase());
  if (certificates.some((hash) => !/^[0-9a-f]{64}$/.test(hash)))
    throw new Error('TLS: verifyCertificateHash: must be SHA-256 in hexadecimal');
  const keys = (rule.verifyCertificateSpki ?? []).map((text) => {
    if (!/^[A-Za-z0-9+/]{43}=$/.test(text)) throw new Error('TLS: verifyCertificateSpki: must be SHA-256 in base64');
    return Array.from(atob(text), (byte) => byte.charCodeAt(0).toString(16).padStart(2, '0')).join('');
  });
  return certificates.length + keys.length > 0 ? { certificates, keys } : undefined;
}

/** The one DNS name the peer must have, in place of the configured rules. */
export function onlyNamed(trust: PeerTrust, name: string | undefined): PeerTrust {
  if (name === undefined) return trust;
  return { ...trust, acceptNames: (names) => names.dns.some((one) => dnsNameCovers(one, name)) };
}

/** The configured rules hold as well (Envoy's auto_san_validation). @param name a DNS name or an IP address */
export function alsoNamed(trust: PeerTrust, name: string | undefined): PeerTrust {
  if (name === undefined) return trust;
  const { acceptNames } = trust;
  return {
    ...trust,
    acceptNames: (names) =>
      (names.dns.some((one) => dnsNameCovers(one, name)) || names.ips.includes(name)) &&
      (acceptNames === undefined || acceptNames(names)),
  };
}
