/** Istio's StringMatch, compiled. */
import { compileRegex } from '../../../shared/match/regex.ts';
import type { StringMatch } from '../../../shared/resources/schema/virtual-service.ts';

/** A match without any of its fields, which validation refuses, matches nothing. @throws RegexError */
export function stringMatcher({ exact, prefix, regex }: StringMatch): (text: string) => boolean {
  if (exact !== undefined) return (text) => text === exact;
  if (prefix) return (text) => text.startsWith(prefix);
  if (!regex) return () => false;
  const compiled = compileRegex(regex);
  return (text) => compiled.matches(text);
}
