/** Envoy's RBAC permissions and principals as closures, for requests and (without a request) for connections. */
import { type Cidr, cidrContains, parseCidr } from '../../../../shared/match/cidr.ts';
import { compilePathTemplate } from '../../../../shared/match/path.ts';
import type { CidrRange, StringMatcher } from '../../../../shared/xds/core.ts';
import type { MetadataMatcher } from '../../../../shared/xds/match/metadata-matcher.ts';
import type { Permission, Principal } from '../../../../shared/xds/rbac.ts';
import { anyPrincipal, attributes } from '../../../attributes/attributes.ts';
import type { IncomingTraffic } from '../../../attributes/record.ts';
import { ConfigError, errorAt } from '../../../config-error.ts';
import { compileHeaderMatcher, compileStringMatcher } from '../../routing/matchers.ts';
import { compileMetadataMatcher, onlyField } from '../../routing/metadata-matcher.ts';

export type RbacMatch = (traffic: IncomingTraffic) => boolean;

export function compilePermission(permission: Permission, path: string): RbacMatch {
  const field = onlyField(permission, path);
  const at = `${path}.${field}`;
  switch (field) {
    case 'andRules':
      return every(
        (permission.andRules?.rules ?? []).map((one, i) => compilePermission(one, `${at}.rules[${i}]`)),
        at,
      );
    case 'orRules':
      return some(
        (permission.orRules?.rules ?? []).map((one, i) => compilePermission(one, `${at}.rules[${i}]`)),
        at,
      );
    case 'notRule':
      return not(compilePermission(permission.notRule!, at));
    case 'any':
      return any(permission.any, at);
    case 'header':
      return header(permission.header!, at);
    case 'urlPath':
      return urlPath(permission.urlPath?.path, at);
    case 'uriTemplate':
      return uriTemplate(permission.uriTemplate!.typedConfig.pathTemplate, at);
    case 'destinationIp': {
      const range = cidr(permission.destinationIp!, at);
      return (traffic) => cidrContains(range, attributes['destination.ip'](traffic));
    }
    case 'destinationPort': {
      const port = permission.destinationPort;
      return (traffic) => attributes['destination.port'](traffic) === port;
    }
    case 'requestedServerName': {
      const matches = compileStringMatcher(permission.requestedServerName!, at);
      return (traffic) => matches(attributes['connection.sni'](traffic));
    }
    case 'metadata':
      return metadata(permission.metadata!, at);
    default:
      throw new ConfigError(at, 'is not supported');
  }
}

export function compilePrincipal(principal: Principal, path: string): RbacMatch {
  const field = onlyField(principal, path);
  const at = `${path}.${field}`;
  switch (field) {
    case 'andIds':
      return every(
        (principal.andIds?.ids ?? []).map((one, i) => compilePrincipal(one, `${at}.ids[${i}]`)),
        at,
      );
    case 'orIds':
      return some(
        (principal.orIds?.ids ?? []).map((one, i) => compilePrincipal(one, `${at}.ids[${i}]`)),
        at,
      );
    case 'notId':
      return not(compilePrincipal(principal.notId!, at));
    case 'any':
      return any(principal.any, at);
    case 'authenticated':
      return authenticated(principal.authenticated?.principalName, at);
    case 'sourceIp':
    case 'directRemoteIp': {
      const range = cidr(principal[field]!, at);
      return (traffic) => cidrContains(range, attributes['source.ip'](traffic));
    }
    case 'remoteIp': {
      const range = cidr(principal.remoteIp!, at);
      return (traffic) => cidrContains(range, attributes['remote.ip'](traffic));
    }
    case 'header':
      return header(principal.header!, at);
    case 'urlPath':
      return urlPath(principal.urlPath?.path, at);
    case 'metadata':
      return metadata(principal.metadata!, at);
    default:
      throw new ConfigError(at, 'is not supported');
  }
}

function every(matches: RbacMatch[], path: string): RbacMatch {
  if (matches.length === 0) throw new ConfigError(path, 'must not be empty');
  if (matches.length === 1) return matches[0]!;
  return (traffic) => {
    for (const one of matches) if (!one(traffic)) return false;
    return true;
  };
}

export function some(matches: RbacMatch[], path: string): RbacMatch {
  if (matches.length === 0) throw new ConfigError(path, 'must not be empty');
  if (matches.length === 1) return matches[0]!;
  return (traffic) => {
    for (const one of matches) if (one(traffic)) return true;
    return false;
  };
}

function not(match: RbacMatch): RbacMatch {
  return (traffic) => !match(traffic);
}

function any(value: boolean | undefined, path: string): RbacMatch {
  if (value !== true) throw new ConfigError(path, 'can only be true');
  return () => true;
}

function header(matcher: NonNullable<Permission['header']>, path: string): RbacMatch {
  const matches = compileHeaderMatcher(matcher, path);
  return (traffic) => traffic.kind === 'request' && matches(traffic);
}

function urlPath(matcher: StringMatcher | undefined, path: string): RbacMatch {
  const matches = compileStringMatcher(matcher ?? {}, `${path}.path`);
  return (traffic) => {
    const path = attributes['request.url_path'](traffic);
    return path !== undefined && matches(path);
  };
}

function uriTemplate(template: string, path: string): RbacMatch {
  const regex = errorAt(path, () => compilePathTemplate(template));
  return (traffic) => {
    const path = attributes['request.url_path'](traffic);
    return path !== undefined && regex.matches(path);
  };
}

/**
 * The verified SPIFFE ids of the peer, or the one a JWT-SVID proved: each alone may match. No other certificate
 * name counts as a principal. Without a matcher: anyone who proved a SPIFFE id.
 */
function authenticated(matcher: StringMatcher | undefined, path: string): RbacMatch {
  const matches = matcher ? compileStringMatcher(matcher, `${path}.principalName`) : () => true;
  return (traffic) => anyPrincipal(traffic, matches);
}

function cidr(range: CidrRange, path: string): Cidr {
  return errorAt(path, () => parseCidr(`${range.addressPrefix}/${range.prefixLen ?? 0}`));
}

function metadata(matcher: MetadataMatcher, path: string): RbacMatch {
  const matches = compileMetadataMatcher(matcher, path);
  return (traffic) => matches(traffic.metadata);
}
