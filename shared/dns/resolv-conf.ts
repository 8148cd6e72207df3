/** The resolver's configuration file, resolv.conf(5). */
import { parseIp } from '../match/cidr.ts';

export interface ResolvConf {
  /** Addresses, an IPv6 zone included. */
  readonly nameservers: readonly string[];
  /** Domains that are appended to names; of several lines the last counts. */
  readonly search: readonly string[];
  /** Seconds that one server may take; undefined: it does not say. */
  readonly timeout: number | undefined;
  /** How often all servers are asked. */
  readonly attempts: number | undefined;
}

/** glibc's limits of `timeout` and `attempts`. */
const MAX = { timeout: 30, attempts: 5 };

/** As the C library reads it: what it does not understand it passes over. */
export function parseResolvConf(text: string): ResolvConf {
  const nameservers: string[] = [];
  let search: readonly string[] = [];
  const numbers = new Map<string, number>();
  for (const line of text.split('\n')) {
    if (/^[#;]/.test(line)) continue;
    const [keyword, ...words] = line.trim().split(/\s+/);
    if (keyword === 'nameserver' && words[0] !== undefined && parseIp(words[0])) nameservers.push(words[0]);
    else if (keyword === 'search') search = words;
    else if (keyword === 'domain') search = words.slice(0, 1);
    else if (keyword === 'options')
      for (const word of words) {
        const [, name, number] = /^(timeout|attempts):(\d{1,3})$/.exec(word) ?? [];
        if (name) numbers.set(name, Math.min(Number(number), MAX[name as keyof typeof MAX]));
      }
  }
  return { nameservers, search, timeout: numbers.get('timeout'), attempts: numbers.get('attempts') };
}
