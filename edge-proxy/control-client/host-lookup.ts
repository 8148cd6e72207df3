/** Envoy's virtual-host look-up: exact name, longest suffix wildcard, longest prefix wildcard, `*`. Case does not matter. */

import { ConfigFault } from '../config-error.ts';
import { lowerAscii } from '../http/matchers.ts';

export interface HostEntry<Value> {
  domains: readonly string[];
  /** Where it stands in the config. */
  path: string;
  value: Value;
}

/** Wildcards of one length, by their text without the star. */
interface Wildcards<Value> {
  length: number;
  byText: Map<string, Value>;
}

/** Throws ConfigFault for a domain that stands twice or has a star in its middle. */
export function compileHostLookup<Value>(
  hosts: readonly HostEntry<Value>[],
  ignorePort: boolean,
): (authority: string) => Value | undefined {
  const exact = new Map<string, Value>();
  const suffixes = new Map<string, Value>();
  const prefixes = new Map<string, Value>();
  let fallback: Value | undefined;
  const seen = new Set<string>();
  for (const { domains, path, value } of hosts) {
    for (const [i, written] of domains.entries()) {
      const domain = lowerAscii(written);
      const at = `${path}.domains[${i}]`;
      if (seen.has(domain)) throw new ConfigFault(at, `"${written}" stands in the table already`);
      seen.add(domain);
      const star = domain.indexOf('*');
      if (domain === '*') fallback = value;
      else if (star < 0) exact.set(domain, value);
      else if (star === 0 && domain.indexOf('*', 1) < 0) suffixes.set(domain.slice(1), value);
      else if (star === domain.length - 1) prefixes.set(domain.slice(0, -1), value);
      else throw new ConfigFault(at, `"${written}" may have one "*", at its start or end`);
    }
  }
  const bySuffix = longestFirst(suffixes);
  const byPrefix = longestFirst(prefixes);
  return (authority) => {
    const host = lowerAscii(ignorePort ? withoutPort(authority) : authority);
    const found = exact.get(host);
    if (found !== undefined) return found;
    // The star stands for at least one character: *.a.b does not match .a.b.
    for (const { length, byText } of bySuffix) {
      if (length >= host.length) continue;
      const value = byText.get(host.slice(host.length - length));
      if (value !== undefined) return value;
    }
    for (const { length, byText } of byPrefix) {
      if (length >= host.length) continue;
      const value = byText.get(host.slice(0, length));
      if (value !== undefined) return value;
    }
    return fallback;
  };
}

function longestFirst<Value>(wildcards: Map<string, Value>): Wildcards<Value>[] {
  const byLength = new Map<number, Map<string, Value>>();
  for (const [text, value] of wildcards) {
    const same = byLength.get(text.length) ?? new Map<string, Value>();
    byLength.set(text.length, same.set(text, value));
  }
  return [...byLength].sort(([a], [b]) => b - a).map(([length, byText]) => ({ length, byText }));
}

/** `host:80` -> `host`, `[::1]:80` -> `[::1]`; what follows the last colon must be digits. */
function withoutPort(authority: string): string {
  const colon = authority.lastIndexOf(':');
  if (colon < 0 || authority.indexOf(']', colon) >= 0) return authority;
  if (authority[0] !== '[' && authority.indexOf(':') !== colon) return authority;
  for (let i = colon + 1; i < authority.length; i++) {
    const code = authority.charCodeAt(i);
    if (code < 48 || code > 57) return authority;
  }
  return authority.slice(0, colon);
}
