/**
 * One attribute of an AuthorizationPolicy -> one Envoy permission or principal. An attribute that the connection
 * cannot have (HTTP on TCP), or a value that is none, throws: who calls decides what that means for ALLOW and DENY.
 */
import { isIpAddress, parseCidr } from '../../../shared/match/cidr.ts';
import { isPathTemplate } from '../../../shared/match/path.ts';
import type { CidrRange, StringMatcher } from '../../../shared/xds/core.ts';
import type { ValueMatcher } from '../../../shared/xds/match/metadata-matcher.ts';
import type { Permission, Principal } from '../../../shared/xds/rbac.ts';
import type { HeaderMatcher } from '../../../shared/xds/route.ts';
import { claimMatcherOf } from './claim-matcher.ts';

/** Makes the matcher of a list of values of which one must match; never called with an empty list. */
export type Generator<Out> = (values: string[]) => Out;

export interface AttributeScope {
  tcp: boolean;
  /** Of the policy: a service account without a namespace is of this one. */
  namespace: string;
}

/** `*` any text but none, `*x` suffix, `x*` prefix, else exact. */
function stringMatcher(value: string, ignoreCase = false): StringMatcher {
  const fold = ignoreCase && { ignoreCase };
  if (value === '*') return { safeRegex: { regex: '.+' } };
  if (value.startsWith('*')) return { suffix: value.slice(1), ...fold };
  if (value.endsWith('*')) return { prefix: value.slice(0, -1), ...fold };
  return { exact: value, ...fold };
}

export const permissions = {
  hosts: httpOnly(
    'hosts',
    anyOf((value) => ({ header: headerMatcher(':authority', value, true) })),
  ),
  methods: httpOnly(
    'methods',
    anyOf((value) => ({ header: headerMatcher(':method', value) })),
  ),
  paths: httpOnly('paths', anyOf(pathPermission)),
  ports: () => anyOf((value: string) => ({ destinationPort: portNumber(value) })),
  destinationIp: () => anyOf((value: string) => ({ destinationIp: cidrRange(value) })),
  serverName: () => anyOf((value: string) => ({ requestedServerName: stringMatcher(value) })),
} satisfies Record<string, (scope: AttributeScope) => Generator<Permission>>;

export const principals = {
  principals: () => anyId((value: string) => authenticated(principalMatcher(value))),
  requestPrincipals: httpOnly('requestPrincipals', anyId(requestPrincipal)),
  serviceAccounts: (scope: AttributeScope) => anyId((value: string) => authenticated(serviceAccount(value, scope))),
  namespaces: () => anyId((value: string) => authenticated(regex(`.*/ns/${wildcard(value, '.*')}/.*`))),
  trustDomains: () => anyId((value: string) => authenticated(regex(`spiffe://${wildcard(value, '[^/]*')}/.*`))),
  ipBlocks: () => anyId((value: string) => ({ directRemoteIp: cidrRange(value) })),
  remoteIpBlocks: () => anyId((value: string) => ({ remoteIp: cidrRange(value) })),
} satisfies Record<string, (scope: AttributeScope) => Generator<Principal>>;

/** A `when` key: what it constrains, or undefined where Istio has no such attribute. */
export function conditionGenerator(
  key: string,
  scope: AttributeScope,
): { permission: Generator<Permission> } | { principal: Generator<Principal> } | undefined {
  const plain: Record<string, () => { permission: Generator<Permission> } | { principal: Generator<Principal> }> = {
    'destination.ip': () => ({ permission: permissions.destinationIp() }),
    'destination.port': () => ({ permission: permissions.ports() }),
    'connection.sni': () => ({ permission: permissions.serverName() }),
    'source.ip': () => ({ principal: principals.ipBlocks() }),
    'remote.ip': () => ({ principal: principals.remoteIpBlocks() }),
    'source.namespace': () => ({ principal: principals.namespaces() }),
    'source.principal': () => ({ principal: principals.principals() }),
    'source.serviceAccount': () => ({ principal: principals.serviceAccounts(scope) }),
    'source.trustDomain': () => ({ principal: principals.trustDomains() }),
    'request.auth.principal': () => ({ principal: principals.requestPrincipals(scope) }),
    'request.auth.audiences': () => ({ principal: httpOnly(key, claim(['aud']))(scope) }),
    'request.auth.presenter': () => ({ principal: httpOnly(key, anyId(presenter))(scope) }),
  };
  if (Object.hasOwn(plain, key)) return plain[key]!();
  const [, name, path] =
    /^(request\.headers|request\.auth\.claims|experimental\.envoy\.filters\.[^[]+)\[(.+)\]$/.exec(key) ?? [];
  if (!name || !path) return undefined;
  if (name === 'request.headers')
    return {
      principal: httpOnly(
        key,
        anyId((value) => ({ header: headerMatcher(path, value) })),
      )(scope),
    };
  if (name === 'request.auth.claims') return { principal: httpOnly(key, claim(path.split('][')))(scope) };
  return { permission: dynamicMetadata(name.slice('experimental.'.length), path) };
}

/** Refuses the attribute where there is no HTTP, at the time a value is asked. */
function httpOnly<Out>(name: string, generator: Generator<Out>): (scope: AttributeScope) => Generator<Out> {
  return (scope) => (values) => {
    if (scope.tcp) throw new Error(`${name} can be judged only for HTTP`);
    return generator(values);
  };
}

function anyOf(each: (value: string) => Permission): Generator<Permission> {
  return (values) => ({ orRules: { rules: values.map(each) } });
}
function anyId(each: (value: string) => Principal): Generator<Principal> {
  return (values) => ({ orIds: { ids: values.map(each) } });
}

function headerMatcher(name: string, value: string, ignoreCase = false): HeaderMatcher {
  return value === '*' ? { name, presentMatch: true } : { name, stringMatch: stringMatcher(value, ignoreCase) };
}

function pathPermission(value: string): Permission {
  if (!isPathTemplate(value)) return { urlPath: { path: stringMatcher(value) } };
  const type = 'type.googleapis.com/envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig' as const;
  const pathTemplate = value.replaceAll('{*}', '*').replaceAll('{**}', '**');
  const typedConfig = { '@type': type, pathTemplate };
  return { uriTemplate: { name: 'uri-template', typedConfig } as NonNullable<Permission['uriTemplate']> };
}

function portNumber(value: string): number {
  const port = /^\d{1,5}$/.test(value) ? Number(value) : 0;
  if (port < 1 || port > 65535) throw new Error(`"${value}" is not a port`);
  return port;
}

function cidrRange(value: string): CidrRange {
  parseCidr(value);
  const [addressPrefix, length] = value.split('/') as [string, string | undefined];
  const whole = isIpAddress(addressPrefix) && addressPrefix.includes(':') ? 128 : 32;
  return { addressPrefix, prefixLen: length === undefined ? whole : Number(length) };
}

function authenticated(principalName: StringMatcher): Principal {
  return { authenticated: { principalName } };
}

/** The policy writes SPIFFE ids without the scheme. */
function principalMatcher(value: string): StringMatcher {
  if (value === '*') return regex('.+');
  if (value.startsWith('*')) return regex(`spiffe://.*${quote(value.slice(1))}`);
  if (value.endsWith('*')) return { prefix: `spiffe://${value.slice(0, -1)}` };
  return { exact: `spiffe://${value}` };
}

function serviceAccount(value: string, scope: AttributeScope): StringMatcher {
  const slash = value.indexOf('/');
  const namespace = slash < 0 ? scope.namespace : value.slice(0, slash);
  // The optional parts leave room for identities with more segments than ns and sa.
  return regex(`spiffe://.+/ns/${quote(namespace)}/(.+/|)sa/${quote(value.slice(slash + 1))}(/.+)?`);
}

/** `issuer/subject` of a verified token. */
function requestPrincipal(value: string): Principal {
  const slash = value.lastIndexOf('/');
  const issuer = slash < 0 ? value : value.slice(0, slash);
  const subject = slash < 0 ? '' : value.slice(slash + 1);
  const both = (iss: StringMatcher, sub: StringMatcher): Principal => ({
    andIds: {
      ids: [
        { metadata: claimMatcherOf(['iss'], { stringMatch: iss }) },
        { metadata: claimMatcherOf(['sub'], { stringMatch: sub }) },
      ],
    },
  });
  const some = stringMatcher('*');
  if (value === '*') return both(some, some);
  if (slash < 0 && value.startsWith('*')) return both(some, stringMatcher(value));
  if (slash < 0 && value.endsWith('*')) return both(stringMatcher(value), some);
  const split = both(stringMatcher(issuer), stringMatcher(subject));
  // A prefix may end within the issuer, which has slashes of its own.
  if (!value.endsWith('*') || subject === '*') return split;
  return { orIds: { ids: [split, both(stringMatcher(value), some)] } };
}

function presenter(value: string): Principal {
  return { metadata: claimMatcherOf(['azp'], { stringMatch: stringMatcher(value) }) };
}

/** A claim that is a text or a list of texts. */
function claim(path: string[]): Generator<Principal> {
  return (values) => {
    const texts = values.map((value): ValueMatcher => ({ stringMatch: stringMatcher(value) }));
    const text: ValueMatcher = texts.length === 1 ? texts[0]! : { orMatch: { valueMatchers: texts } };
    return { metadata: claimMatcherOf(path, { orMatch: { valueMatchers: [{ listMatch: { oneOf: text } }, text] } }) };
  };
}

/** `[x]` asks for a list that has x. */
function dynamicMetadata(filter: string, key: string): Generator<Permission> {
  const each = (value: string): Permission => {
    const inList = /^\[(.*)\]$/.exec(value);
    const match: ValueMatcher = inList
      ? { listMatch: { oneOf: { stringMatch: stringMatcher(inList[1]!) } } }
      : { stringMatch: stringMatcher(value) };
    return { metadata: { filter, path: [{ key }], value: match } };
  };
  return (values) => (values.length === 1 ? each(values[0]!) : anyOf(each)(values));
}

function regex(pattern: string): StringMatcher {
  return { safeRegex: { regex: pattern } };
}
function quote(text: string): string {
  return text.replace(/[\\.+*?()|[\]{}^$]/g, '\\$&');
}
function wildcard(text: string, any: string): string {
  return text.split('*').map(quote).join(any);
}
