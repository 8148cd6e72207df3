import { isIP } from 'node:net';

/** As many as an invitation holds. */
const MOST = 8;

/**
 * Where machines reach the server, in the order of preference: `url`, then the further names of its certificate at the same
 * port, without those that name the caller's own host.
 * @param url `https://host:port`
 */
export function reachableUrls(url: string, names: readonly string[]): string[] {
  const { port } = new URL(url);
  const others = names
    .filter((name) => name !== 'localhost' && name !== '::1' && !name.startsWith('127.') && !name.includes('*'))
    .map((name) => `https://${isIP(name) === 6 ? `[${name}]` : name}${port === '' ? '' : `:${port}`}`);
  return [...new Set([url, ...others])].slice(0, MOST);
}
