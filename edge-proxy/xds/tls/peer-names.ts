/** Envoy's subject-alternative-name rules of a validation context, compiled to one judgement over verified names. */
import { compileByteRegex } from '../../../shared/match/regex.ts';
import type { StringMatcher } from '../../../shared/xds/core.ts';
import type { CertificateValidationContext } from '../../../shared/xds/tls.ts';
import type { PeerNames } from '../../x509/verify-peer.ts';

type Rule = (names: PeerNames) => boolean;
type Kind = 'EMAIL' | 'DNS' | 'URI' | 'IP_ADDRESS';

/** @returns undefined when names are not restricted @throws Error on a rule that cannot be evaluated */
export function compileNames(context: CertificateValidationContext): Rule | undefined {
  const typed = context.matchTypedSubjectAltNames ?? [];
  // As Envoy: where both are given, the deprecated field is not asked.
  const untyped = typed.length > 0 ? [] : (context.matchSubjectAltNames ?? []);
  const rules = [
    ...typed.map(({ sanType, matcher, oid }) =>
      sanType === 'OTHER_NAME' ? otherName(oid, matcher) : rule(sanType, matcher),
    ),
    ...untyped.flatMap((matcher) =>
      (['DNS', 'URI', 'EMAIL', 'IP_ADDRESS'] as const).map((kind) => rule(kind, matcher)),
    ),
  ];
  return rules.length === 0 ? undefined : (names) => rules.some((rule) => rule(names));
}

function rule(kind: Kind | 'SAN_TYPE_UNSPECIFIED', matcher: StringMatcher): Rule {
  if (kind === 'SAN_TYPE_UNSPECIFIED') throw new Error('TLS: a name matcher without a sanType');
  // A certificate for `*.shop.example` has the name `api.shop.example`.
  const { exact } = matcher;
  if (kind === 'DNS' && exact !== undefined) return (names) => names.dns.some((name) => dnsNameCovers(name, exact));
  const matches = compileMatcher(matcher);
  switch (kind) {
    case 'DNS':
      return (names) => names.dns.some(matches);
    case 'URI':
      return (names) => names.uris.some(matches);
    case 'EMAIL':
      return (names) => (names.emails ?? []).some(matches);
    case 'IP_ADDRESS':
      return (names) => names.ips.some(matches);
  }
}

function otherName(oid: string | undefined, matcher: StringMatcher): Rule {
  if (!oid || !/^[012](\.(0|[1-9]\d*))+$/.test(oid))
    throw new Error('TLS: a name matcher of type OTHER_NAME needs an oid such as "1.2.3"');
  const matches = compileMatcher(matcher);
  return (names) => (names.otherNames ?? []).some(({ type, value }) => type === oid && matches(value));
}

/** A certificate's DNS name against a host (RFC 6125): a leading `*` means one whole label. */
export function dnsNameCovers(pattern: string, host: string): boolean {
  const [name, wanted] = [pattern.toLowerCase(), host.toLowerCase()];
  if (name === wanted) return true;
  if (!name.startsWith('*.')) return false;
  const dot = wanted.indexOf('.');
  return dot > 0 && wanted.slice(dot) === name.slice(1) && name.indexOf('.', 2) > 0;
}

function compileMatcher(matcher: StringMatcher): (name: string) => boolean {
  const fold = (text: string) => (matcher.ignoreCase ? text.toLowerCase() : text);
  if (matcher.exact !== undefined) return same(fold(matcher.exact), fold);
  if (matcher.prefix !== undefined) {
    const prefix = fold(matcher.prefix);
    return (name) => fold(name).startsWith(prefix);
  }
  if (matcher.suffix !== undefined) {
    const suffix = fold(matcher.suffix);
    return (name) => fold(name).endsWith(suffix);
  }
  if (matcher.contains !== undefined) {
    const part = fold(matcher.contains);
    return (name) => fold(name).includes(part);
  }
  if (matcher.safeRegex) {
    const regex = compileByteRegex(matcher.safeRegex.regex);
    return (name) => regex.matches(name);
  }
  throw new Error('TLS: a name matcher without a pattern');
}

function same(wanted: string, fold: (text: string) => string): (name: string) => boolean {
  return (name) => fold(name) === wanted;
}
