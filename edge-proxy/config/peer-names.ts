/** Envoy's subject-alternative-name rules of a validation context, compiled to one judgement over verified names. */
import { compileRegex } from '../../shared/match/regex.ts';
import type { StringMatcher } from '../../shared/xds/core.ts';
import type { CertificateValidationContext } from '../../shared/xds/tls.ts';
import type { PeerNames } from '../runtime/runtime.ts';

type Rule = (names: PeerNames) => boolean;

/** @returns undefined when names are not restricted @throws Error on a rule that cannot be judged */
export function compileNames(context: CertificateValidationContext): Rule | undefined {
  const rules: Rule[] = [];
  for (const { sanType, matcher } of context.matchTypedSubjectAltNames ?? []) {
    const matches = compileMatcher(matcher);
    if (sanType === 'URI') rules.push((names) => names.uris.some(matches));
    else if (sanType === 'DNS') rules.push((names) => names.dns.some(matches));
    else if (sanType === 'IP_ADDRESS') rules.push((names) => names.ips.some(matches));
    else if (sanType === 'EMAIL') rules.push((names) => (names.emails ?? []).some(matches));
    else throw new Error(`TLS: names of type ${sanType} are not supported`);
  }
  for (const matcher of context.matchSubjectAltNames ?? []) {
    const matches = compileMatcher(matcher);
    rules.push((names) => names.uris.some(matches) || names.dns.some(matches) || names.ips.some(matches));
  }
  return rules.length === 0 ? undefined : (names) => rules.some((rule) => rule(names));
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
    const regex = compileRegex(matcher.safeRegex.regex);
    return (name) => regex.matches(name);
  }
  throw new Error('TLS: a name matcher without a pattern');
}

function same(wanted: string, fold: (text: string) => string): (name: string) => boolean {
  return (name) => fold(name) === wanted;
}
