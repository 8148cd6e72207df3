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
  readonly length: number;
  readonly byText: Map<string, Value>;
}

/** Throws ConfigFault for a domain that stands twice or has a star in its middle. */
export function compileHostLookup<Value>(
  hosts: readonly HostEntry<Value>[],
  ignorePort: boolean,
): (authority: string) => Value | undefined {
  const index = new HostIndex<Value>(ignorePort);
  for (const { domains, path, value } of hosts) {
    checkDomains(domains, path);
    for (const [i, domain] of domains.entries()) {
      if (index.holder(domain) !== undefined)
        throw new ConfigFault(`${path}.domains[${i}]`, `"${domain}" stands in the table already`);
      index.add(domain, value);
    }
  }
  return (authority) => index.find(authority);
}

/** @throws ConfigFault for a domain that stands twice or has a star in its middle */
export function checkDomains(domains: readonly string[], path: string): void {
  const seen = new Set<string>();
  for (const [i, written] of domains.entries()) {
    const domain = lowerAscii(written);
    const at = `${path}.domains[${i}]`;
    if (seen.has(domain)) throw new ConfigFault(at, `"${written}" stands in the table already`);
    seen.add(domain);
    const star = domain.indexOf('*');
    if (star < 0 || domain === '*') continue;
    if ((star > 0 || domain.indexOf('*', 1) >= 0) && star !== domain.length - 1)
      throw new ConfigFault(at, `"${written}" may have one "*", at its start or end`);
  }
}

/** Values by domain, which come and go; domains are those that `checkDomains` lets through. */
export class HostIndex<Value> {
  private readonly ignorePort: boolean;
  private readonly exact = new Map<string, Value>();
  /** Longest first. */
  private readonly suffixes: Wildcards<Value>[] = [];
  private readonly prefixes: Wildcards<Value>[] = [];
  private fallback: Value | undefined;

  constructor(ignorePort: boolean) {
    this.ignorePort = ignorePort;
  }

  /** What has this very domain. */
  holder(written: string): Value | undefined {
    const domain = lowerAscii(written);
    if (domain === '*') return this.fallback;
    const { group, text } = this.placeOf(domain);
    if (!group) return this.exact.get(domain);
    return group.find(({ length }) => length === text.length)?.byText.get(text);
  }

  /** Gives a domain that nothing has to `value`. */
  add(written: string, value: Value): void {
    const domain = lowerAscii(written);
    const { group, text } = this.placeOf(domain);
    if (domain === '*') this.fallback = value;
    else if (!group) this.exact.set(domain, value);
    else {
      let same = group.find(({ length }) => length === text.length);
      if (!same) {
        group.push((same = { length: text.length, byText: new Map() }));
        group.sort((one, other) => other.length - one.length);
      }
      same.byText.set(text, value);
    }
  }

  remove(written: string): void {
    const domain = lowerAscii(written);
    const { group, text } = this.placeOf(domain);
    if (domain === '*') this.fallback = undefined;
    else if (!group) this.exact.delete(domain);
    else {
      const at = group.findIndex(({ length }) => length === text.length);
      group[at]?.byText.delete(text);
      if (group[at]?.byText.size === 0) group.splice(at, 1);
    }
  }

  find(authority: string): Value | undefined {
    const host = lowerAscii(this.ignorePort ? withoutPort(authority) : authority);
    const found = this.exact.get(host);
    if (found !== undefined) return found;
    // The star stands for at least one character: *.a.b does not match .a.b.
    for (const { length, byText } of this.suffixes) {
      if (length >= host.length) continue;
      const value = byText.get(host.slice(host.length - length));
      if (value !== undefined) return value;
    }
    for (const { length, byText } of this.prefixes) {
      if (length >= host.length) continue;
      const value = byText.get(host.slice(0, length));
      if (value !== undefined) return value;
    }
    return this.fallback;
  }

  /** Where a domain in lower case belongs; no group: among the exact ones. */
  private placeOf(domain: string): { group?: Wildcards<Value>[]; text: string } {
    if (domain.startsWith('*')) return { group: this.suffixes, text: domain.slice(1) };
    if (domain.endsWith('*')) return { group: this.prefixes, text: domain.slice(0, -1) };
    return { text: domain };
  }
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
