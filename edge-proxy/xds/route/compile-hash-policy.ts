/** RouteAction.hashPolicy -> the hash by which RING_HASH and MAGLEV choose (Envoy's HashPolicyImpl). */
import { compileRegex } from '../../../shared/match/regex.ts';
import { durationMs } from '../../../shared/xds/message.ts';
import type { HashPolicy } from '../../../shared/xds/route.ts';
import { ConfigError, errorAt } from '../../config-error.ts';
import type { RequestContext } from '../../http/request/request-context.ts';
import { headerReader, queryParameter } from '../../http/routing/matchers.ts';
import type { RequestHash } from '../../http/routing/route-table.ts';
import { combine, type Hash64, hex, xxHash64 } from '../../upstream/balancing/xx-hash.ts';

/** @param setCookie takes a whole Set-Cookie value for the response */
type Source = (request: RequestContext, setCookie: (value: string) => void) => Hash64 | undefined;

/**
 * @returns undefined for no policies
 * @throws ConfigError naming a policy that is not supported
 */
export function compileHashPolicy(policies: readonly HashPolicy[] | undefined, path: string): RequestHash | undefined {
  if (!policies || policies.length === 0) return undefined;
  const sources = policies.map((policy, i) => ({
    of: compileSource(policy, `${path}[${i}]`),
    terminal: policy.terminal ?? false,
  }));
  return (request, setCookie) => {
    let hash: Hash64 | undefined;
    for (const source of sources) {
      const next = source.of(request, setCookie);
      if (next) hash = combine(hash, next);
      if (source.terminal && hash) return hash;
    }
    return hash;
  };
}

function compileSource(policy: HashPolicy, path: string): Source {
  const { header, cookie, connectionProperties, queryParameter: query, filterState } = policy;
  if ([header, cookie, connectionProperties, query, filterState].filter((one) => one !== undefined).length !== 1)
    throw new ConfigError(path, 'must have exactly one of header, cookie, connectionProperties, queryParameter');
  if (filterState) throw new ConfigError(`${path}.filterState`, 'is not supported');
  if (header) return headerSource(header, `${path}.header`);
  if (cookie) return cookieSource(cookie, `${path}.cookie`);
  if (query) {
    return (request) => {
      const value = queryParameter(request.path, query.name);
      return value === undefined ? undefined : xxHash64(value);
    };
  }
  if (!connectionProperties?.sourceIp) return () => undefined;
  return (request) => (request.remoteIp === '' ? undefined : xxHash64(request.remoteIp));
}

function headerSource(header: NonNullable<HashPolicy['header']>, path: string): Source {
  const key = header.headerName.toLowerCase();
  const { regexRewrite } = header;
  const rewrite =
    regexRewrite &&
    errorAt(`${path}.regexRewrite`, () =>
      compileRegex(regexRewrite.pattern.regex).replacer(regexRewrite.substitution ?? ''),
    );
  if (key.startsWith(':') || key === 'host') {
    const read = headerReader(key);
    return (request) => {
      const value = read(request);
      return value === undefined ? undefined : xxHash64(rewrite ? rewrite(value) : value);
    };
  }
  return ({ headers }) => {
    let at = headers.keys.indexOf(key);
    if (at < 0) return undefined;
    const first = headers.values[at]!;
    const values = [rewrite ? rewrite(first) : first];
    while ((at = headers.keys.indexOf(key, at + 1)) >= 0) {
      const value = headers.values[at]!;
      values.push(rewrite ? rewrite(value) : value);
    }
    // The order of several fields does not matter.
    return xxHash64(values.length === 1 ? values[0]! : values.sort().join(''));
  };
}

function cookieSource(cookie: NonNullable<HashPolicy['cookie']>, path: string): Source {
  const { name, ttl, attributes = [] } = cookie;
  if (!/^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/.test(name)) throw new ConfigError(`${path}.name`, 'must be a cookie name');
  const texts = attributes.map((one) => (one.value ? `; ${one.name}=${one.value}` : `; ${one.name}`));
  for (const text of [cookie.path ?? '', ...texts])
    if (/[^\x20-\x7e]/.test(text)) throw new ConfigError(path, 'holds a character that no header may hold');
  const seconds = ttl === undefined ? 0 : Math.floor(durationMs(ttl) / 1000);
  const suffix = [
    seconds > 0 ? `; Max-Age=${seconds}` : '',
    cookie.path ? `; Path=${cookie.path}` : '',
    ...texts,
    '; HttpOnly',
  ].join('');
  return (request, setCookie) => {
    const value = cookieValue(request, name);
    if (value !== '') return xxHash64(value);
    if (ttl === undefined) return undefined;
    // The same for all requests of a connection, so that those under way together get one cookie.
    const { remoteAddress, remotePort, localAddress, localPort } = request.downstream;
    const made = hex(xxHash64(`${remoteAddress}:${remotePort}${localAddress}:${localPort}`));
    setCookie(`${name}="${made}"${suffix}`);
    return xxHash64(made);
  };
}

/** The first cookie of the name, without its quotes; '' when there is none. */
function cookieValue({ headers }: RequestContext, name: string): string {
  for (let at = headers.keys.indexOf('cookie'); at >= 0; at = headers.keys.indexOf('cookie', at + 1)) {
    for (const pair of headers.values[at]!.split(';')) {
      const equals = pair.indexOf('=');
      if (equals < 0 || pair.slice(0, equals).trim() !== name) continue;
      const value = pair.slice(equals + 1).trim();
      return value.length >= 2 && value[0] === '"' && value.endsWith('"') ? value.slice(1, -1) : value;
    }
  }
  return '';
}
