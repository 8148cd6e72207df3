/** Where tokens are in a request: headers, query parameters, cookies (Envoy's Extractor). */
import type { JwtProvider } from '../../../../shared/xds/filters/jwt-authn.ts';
import type { HeaderMap } from '../../message/header-map.ts';
import type { RequestContext } from '../../request/request-context.ts';

type Source = Pick<RequestContext, 'headers' | 'path'>;

/** Takes the token out of the request. */
type Remove = (request: RequestContext) => void;

export interface FoundToken {
  readonly text: string;
  /** Issuers of the providers that look there; undefined: any issuer. */
  readonly issuers: ReadonlySet<string> | undefined;
  readonly remove: Remove;
}

/** The tokens of a request, the one that is verified last first; empty: it has none. */
export type FindTokens = (request: Source) => readonly FoundToken[];

type IssuedBy = Pick<JwtProvider, 'issuer' | 'fromHeaders' | 'fromParams' | 'fromCookies'>;

interface Location {
  readonly name: string;
  readonly prefix: string;
  issuers: Set<string> | undefined;
}
type Locations = Map<string, Location>;

const NONE: readonly FoundToken[] = [];

/**
 * The locations of the providers, joined. Every value of a header, of a parameter and of a cookie is a token: a second one
 * must not go past unverified.
 */
export function compileLocations(providers: readonly IssuedBy[]): FindTokens {
  const headers: Locations = new Map();
  const params: Locations = new Map();
  const cookies: Locations = new Map();
  for (const { issuer = '', fromHeaders = [], fromParams = [], fromCookies = [] } of providers) {
    const isDefault = fromHeaders.length + fromParams.length + fromCookies.length === 0;
    const named = isDefault ? [{ name: 'authorization', valuePrefix: 'Bearer ' }] : fromHeaders;
    for (const { name, valuePrefix = '' } of named) add(headers, name.toLowerCase(), valuePrefix, issuer);
    for (const name of isDefault ? ['access_token'] : fromParams) add(params, name, '', issuer);
    for (const name of fromCookies) add(cookies, name, '', issuer);
  }
  const inHeaders = sorted(headers).map((one) => headerReader(one));
  const inQuery = sorted(params);
  const inCookies = sorted(cookies);
  return ({ headers: fields, path }) => {
    let found: FoundToken[] | undefined;
    const take = (one: FoundToken) => void (found ??= []).push(one);
    for (const read of inHeaders) read(fields, take);
    if (inQuery.length > 0 && path.includes('?')) readQuery(inQuery, path, take);
    if (inCookies.length > 0 && fields.has('cookie')) readCookies(inCookies, fields, take);
    return found ?? NONE;
  };
}

function add(locations: Locations, name: string, prefix: string, issuer: string): void {
  const key = name + prefix;
  let location = locations.get(key);
  if (!location) locations.set(key, (location = { name, prefix, issuers: new Set() }));
  // A provider without issuer takes tokens of any.
  if (issuer === '') location.issuers = undefined;
  else location.issuers?.add(issuer);
}

/** In Envoy's order, which says which of several bad tokens is reported. */
function sorted(locations: Locations): Location[] {
  return [...locations].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, location]) => location);
}

type Take = (found: FoundToken) => void;

function headerReader({ name, prefix, issuers }: Location): (fields: HeaderMap, take: Take) => void {
  const remove: Remove = ({ headers }) => void headers.remove(name);
  return (fields, take) => {
    for (let at = fields.indexOf(name); at >= 0; at = fields.indexOf(name, at + 1)) {
      const text = withoutPrefix(fields.values[at]!, prefix);
      if (text !== undefined) take({ text, issuers, remove });
    }
  };
}

const TOKEN_CHARACTER = /[A-Za-z0-9\-_.]/;

/** What follows the prefix, wherever that is, from the first character on that a token may have. Undefined: there is no prefix. */
function withoutPrefix(value: string, prefix: string): string | undefined {
  if (prefix === '') return value;
  const at = value.indexOf(prefix);
  if (at < 0) return undefined;
  const rest = value.slice(at + prefix.length);
  const start = rest.search(TOKEN_CHARACTER);
  return start < 0 ? value : rest.slice(start);
}

function readQuery(locations: readonly Location[], path: string, take: Take): void {
  const values = new Map<string, string[]>();
  for (const parameter of queryOf(path).split('&')) {
    const equals = parameter.indexOf('=');
    const name = percentDecoded(equals < 0 ? parameter : parameter.slice(0, equals));
    if (!locations.some((one) => one.name === name)) continue;
    const value = equals < 0 ? '' : percentDecoded(parameter.slice(equals + 1));
    const others = values.get(name);
    if (others) others.push(value);
    else values.set(name, [value]);
  }
  for (const { name, issuers } of locations)
    for (const text of values.get(name) ?? [])
      take({ text, issuers, remove: (request) => removeParameter(request, name) });
}

/** The other parameters stay as they are written. */
function removeParameter(request: RequestContext, name: string): void {
  const { path } = request;
  const query = queryOf(path);
  const kept = query.split('&').filter((parameter) => percentDecoded(parameter.split('=', 1)[0]!) !== name);
  const start = path.indexOf('?');
  // It was there twice, and is gone already.
  if (start < 0) return;
  const rest = path.slice(start + 1 + query.length);
  request.path = path.slice(0, start) + (kept.length > 0 ? `?${kept.join('&')}` : '') + rest;
}

function queryOf(path: string): string {
  const start = path.indexOf('?');
  if (start < 0) return '';
  const hash = path.indexOf('#', start);
  return path.slice(start + 1, hash < 0 ? undefined : hash);
}

/** Escapes that are none stay. */
function percentDecoded(text: string): string {
  return text.includes('%')
    ? text.replace(/%([0-9a-fA-F]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
    : text;
}

/** They stay in the request: Envoy does not take tokens out of cookies. */
function readCookies(locations: readonly Location[], fields: HeaderMap, take: Take): void {
  const pairs: [name: string, value: string][] = [];
  for (let at = fields.indexOf('cookie'); at >= 0; at = fields.indexOf('cookie', at + 1))
    for (const pair of fields.values[at]!.split(';')) {
      const equals = pair.indexOf('=');
      if (equals < 0) continue;
      const value = pair.slice(equals + 1).trim();
      const quoted = value.length >= 2 && value.startsWith('"') && value.endsWith('"');
      pairs.push([pair.slice(0, equals).trim(), quoted ? value.slice(1, -1) : value]);
    }
  for (const { name, issuers } of locations)
    for (const [key, text] of pairs) if (key === name) take({ text, issuers, remove: () => {} });
}
