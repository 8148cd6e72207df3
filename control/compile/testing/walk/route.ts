/** Which virtual host and route a request takes (envoy.config.route.v3); of a request, only host and path are looked at. */
import { compileRegex } from '../../../../shared/match/regex.ts';
import type { Route, RouteConfiguration, VirtualHost } from '../../../../shared/xds/route.ts';

/** Exact, then the longest `*suffix`, then the longest `prefix*`, then `*`. */
export function virtualHostOf({ virtualHosts = [] }: RouteConfiguration, host: string): VirtualHost | undefined {
  const asked = host.toLowerCase();
  let found: { host: VirtualHost; rank: number } | undefined;
  for (const one of virtualHosts)
    for (const domain of one.domains) {
      const rank = domainRank(domain.toLowerCase(), asked);
      if (rank !== undefined && rank > (found?.rank ?? -1)) found = { host: one, rank };
    }
  return found?.host;
}

function domainRank(domain: string, host: string): number | undefined {
  if (domain === '*') return 0;
  if (domain === host) return 30_000;
  if (domain.startsWith('*') && host.endsWith(domain.slice(1)) && host.length >= domain.length)
    return 20_000 + domain.length;
  if (domain.endsWith('*') && host.startsWith(domain.slice(0, -1)) && host.length >= domain.length)
    return 10_000 + domain.length;
  return undefined;
}

export function routeOf({ routes = [] }: VirtualHost, path: string): Route | undefined {
  return routes.find((route) => takesPath(route, path));
}

function takesPath({ match }: Route, path: string): boolean {
  const fold = (text: string) => (match.caseSensitive === false ? text.toLowerCase() : text);
  const asked = fold(path);
  if (match.path !== undefined) return asked === fold(match.path);
  if (match.safeRegex) return compileRegex(match.safeRegex.regex).matches(path);
  if (match.pathSeparatedPrefix !== undefined) {
    const prefix = fold(match.pathSeparatedPrefix);
    return asked === prefix || asked.startsWith(`${prefix}/`);
  }
  return match.prefix !== undefined && asked.startsWith(fold(match.prefix));
}
