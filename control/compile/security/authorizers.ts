/**
 * The authorization services that CUSTOM policies may name: the envoyExtAuthzHttp and envoyExtAuthzGrpc entries of MeshConfig's
 * extensionProviders, each as the filters that ask it (istio.io: MeshConfig.ExtensionProvider).
 */
import type { ExtensionProvider } from '../../../shared/resources/mesh-config/mesh-config-providers.ts';
import type { StringMatcher } from '../../../shared/xds/core.ts';
import {
  type ExtAuthz,
  type ListStringMatcher,
  type NetworkExtAuthz,
  type StatusCodeName,
  statusCodeName,
} from '../../../shared/xds/filters/ext-authz.ts';
import { exportedTo } from '../../mesh/export-to.ts';
import { specOf } from '../../mesh/fields.ts';
import type { MeshService, MeshSettings } from '../../mesh/view.ts';
import { protoDuration } from '../durations.ts';
import { generator } from '../memo.ts';
import { outboundCluster } from '../names.ts';
import type { AuthorizationPolicy } from './rbac.ts';

type HttpProvider = NonNullable<ExtensionProvider['envoyExtAuthzHttp']>;
type GrpcProvider = NonNullable<ExtensionProvider['envoyExtAuthzGrpc']>;
type RequestBody = HttpProvider['includeRequestBodyInCheck'];

/** What asks one provider; which requests are asked about is added where a policy names it. */
export interface Authorizer {
  readonly http: ExtAuthz;
  /** undefined: it cannot be asked about connections. */
  readonly tcp: NetworkExtAuthz | undefined;
  /** The service that is asked. */
  readonly service: ServiceName;
}

/** Other namespaces may have a service of the same host: it is not asked. */
export interface ServiceName {
  readonly hostname: string;
  readonly namespace: string;
}

/** Why a provider cannot be asked. */
export interface Unusable {
  readonly reason: string;
}

export type Authorizers = ReadonlyMap<string, Authorizer | Unusable>;

/** As Istio has it where a provider names no time: what its DestinationRule allows. */
const DEFAULT_TIMEOUT = '600s';

const NONE: Authorizers = new Map();

/** What the policies may name; nothing where none of them is CUSTOM, so that a change of providers concerns no other proxy. */
export function authorizersFor(policies: readonly AuthorizationPolicy[], mesh: MeshOfProviders): Authorizers {
  return isAsking({ policies }) ? authorizersOf(mesh) : NONE;
}

const isAsking = generator<{ policies: readonly AuthorizationPolicy[] }, boolean>({ policies: true }, ({ policies }) =>
  policies.some((policy) => specOf(policy).action === 'CUSTOM'),
);

/** The services of the providers that the policies name. */
export function servicesAsked(
  policies: readonly AuthorizationPolicy[],
  authorizers: Authorizers,
  services: readonly MeshService[],
): readonly MeshService[] {
  if (authorizers.size === 0) return [];
  const asked = new Set<string>();
  for (const policy of policies) {
    const { action, provider } = specOf(policy);
    const authorizer = action === 'CUSTOM' ? authorizers.get(provider?.name ?? '') : undefined;
    if (authorizer && 'service' in authorizer) asked.add(nameOf(authorizer.service));
  }
  return asked.size === 0 ? [] : services.filter((service) => asked.has(nameOf(service)));
}

const nameOf = ({ namespace, hostname }: ServiceName): string => `${namespace}/${hostname}`;

interface MeshOfProviders {
  readonly services: readonly MeshService[];
  readonly settings: MeshSettings;
}

/** By the name of the provider; the same map as long as no provider and none of their services changes. */
export function authorizersOf(mesh: MeshOfProviders): Authorizers {
  return authorizersAt({ settings: mesh.settings, hosts: hostsOf(mesh) });
}

/** The host of each provider's service, or why there is none, as one text that changes when one of them does. */
const hostsOf = generator<MeshOfProviders, string>({ services: true, settings: true }, ({ services, settings }) =>
  JSON.stringify(
    providersIn(settings).map(([, { service = '' }]) => serviceOf(services, service, settings.rootNamespace)),
  ),
);

type FoundService = ServiceName | Unusable;

const authorizersAt = generator<{ settings: MeshSettings; hosts: string }, Authorizers>(
  { settings: true, hosts: true },
  ({ settings, hosts }) => {
    const found = JSON.parse(hosts) as FoundService[];
    return new Map(providersIn(settings).map(([name], i) => [name, authorizerOf(settings, name, found[i]!)] as const));
  },
);

function providersIn({ config }: MeshSettings): [name: string, provider: HttpProvider | GrpcProvider][] {
  return (config.extensionProviders ?? []).flatMap(({ name = '', envoyExtAuthzHttp, envoyExtAuthzGrpc }) => {
    const provider = envoyExtAuthzHttp ?? envoyExtAuthzGrpc;
    return provider ? [[name, provider] as [string, HttpProvider | GrpcProvider]] : [];
  });
}

/**
 * `namespace/host` is the service of that namespace. A host alone is the one service of that host which is exported to the root
 * namespace; of several, that of the namespace which the host names (`name.namespace.svc.…`) or that of the root namespace.
 * No other namespace can offer a host which names a namespace: it would be asked in the place of the owner's service.
 */
export function serviceOf(services: readonly NamedService[], service: string, rootNamespace: string): FoundService {
  const slash = service.indexOf('/');
  if (slash >= 0) {
    const [namespace, hostname] = [service.slice(0, slash), service.slice(slash + 1)];
    const exists = services.some((one) => one.hostname === hostname && one.namespace === namespace);
    return exists ? { hostname, namespace } : { reason: `there is no service ${service}` };
  }
  const owners = ownersOf(service, rootNamespace);
  const found = services.filter(({ hostname }) => hostname === service);
  const offered = found.filter(({ exportTo, namespace }) => exportedTo(exportTo, namespace, rootNamespace));
  const namespaces = new Set(offered.map(({ namespace }) => namespace));
  const owner = owners.find((namespace) => namespaces.has(namespace));
  if (owner !== undefined) return { hostname: service, namespace: owner };
  const [namespace] = namespaces;
  if (namespace !== undefined && owners.length > 1)
    return { reason: `its service ${service} is not of namespace ${owners.join(' or ')}: write namespace/host` };
  if (namespaces.size > 1) return { reason: `its service ${service} is in several namespaces: write namespace/host` };
  if (namespace !== undefined) return { hostname: service, namespace };
  if (found.length === 0) return { reason: `there is no service ${service}` };
  return { reason: `its service ${service} is not exported to ${rootNamespace}: write namespace/host` };
}

type NamedService = Pick<MeshService, 'hostname' | 'namespace' | 'exportTo'>;

/** Namespaces whose services of the host come before others: the one that a host of the cluster names, and the root namespace. */
function ownersOf(host: string, rootNamespace: string): readonly string[] {
  const [, namespace = '', svc] = host.split('.');
  return svc === 'svc' ? [namespace, rootNamespace] : [rootNamespace];
}

function authorizerOf({ config }: MeshSettings, name: string, found: FoundService): Authorizer | Unusable {
  if ('reason' in found) return found;
  const { envoyExtAuthzHttp, envoyExtAuthzGrpc } = config.extensionProviders!.find((one) => one.name === name)!;
  const refused = refusedPart((envoyExtAuthzHttp ?? envoyExtAuthzGrpc)!);
  if (refused !== undefined) return { reason: refused };
  if (envoyExtAuthzHttp) return httpAuthorizer(envoyExtAuthzHttp, found);
  return grpcAuthorizer(envoyExtAuthzGrpc!, found);
}

/** Names that a proxy decides itself. */
const OF_THE_PROXY =
  /^(?:host|connection|content-length|expect|keep-alive|proxy-connection|te|trailer|transfer-encoding|upgrade)$/i;
/** Text with commands of Envoy's formats, `%REQ(X)%`, and `%%`. */
const FORMAT = /^(?:[^%\u0000-\u0008\u000a-\u001f\u007f]|%%|%[A-Z_]+(?:\([^()%]*\))?(?::\d+)?%)*$/;

/** What validation admits and no proxy could run: it would refuse the whole listener. */
function refusedPart(provider: Partial<HttpProvider>): string | undefined {
  const { includeRequestBodyInCheck: body, pathPrefix = '', includeAdditionalHeadersInCheck: added = {} } = provider;
  if (body && !body.maxRequestBytes) return 'includeRequestBodyInCheck.maxRequestBytes must be greater than 0';
  if (pathPrefix !== '' && !/^\/[\x21-\x7e]*$/.test(pathPrefix)) return 'pathPrefix is no path';
  for (const [name, value] of Object.entries(added)) {
    if (!/^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/.test(name) || OF_THE_PROXY.test(name))
      return `includeAdditionalHeadersInCheck: "${name}" is no header that could be added`;
    if (!FORMAT.test(value)) return `includeAdditionalHeadersInCheck["${name}"] is no value of a header`;
  }
  return undefined;
}

export function httpAuthorizer(provider: HttpProvider, service: ServiceName): Authorizer {
  const { hostname: host } = service;
  const { port = 0, pathPrefix, timeout, includeAdditionalHeadersInCheck: added = {} } = provider;
  const shown = provider.includeRequestHeadersInCheck?.length
    ? provider.includeRequestHeadersInCheck
    : provider.includeHeadersInCheck;
  const allowedHeaders = headerList(shown);
  const answers = {
    ...listed('allowedUpstreamHeaders', provider.headersToUpstreamOnAllow),
    ...listed('allowedClientHeaders', provider.headersToDownstreamOnDeny),
    ...listed('allowedClientHeadersOnSuccess', provider.headersToDownstreamOnAllow),
  };
  const headersToAdd = Object.keys(added)
    .sort()
    .map((key) => ({ key, value: added[key]! }));
  return {
    service,
    tcp: undefined,
    http: {
      httpService: {
        serverUri: {
          uri: `http://${host}`,
          cluster: outboundCluster(port, undefined, host),
          timeout: protoDuration(timeout) ?? DEFAULT_TIMEOUT,
        },
        ...(pathPrefix && { pathPrefix }),
        ...(headersToAdd.length > 0 && { authorizationRequest: { headersToAdd } }),
        ...(Object.keys(answers).length > 0 && { authorizationResponse: answers }),
      },
      ...(allowedHeaders && { allowedHeaders }),
      ...common(provider),
    },
  };
}

export function grpcAuthorizer(provider: GrpcProvider, service: ServiceName): Authorizer {
  const { hostname: host } = service;
  const { port = 0, timeout, failOpen } = provider;
  const grpcService = {
    envoyGrpc: { clusterName: outboundCluster(port, undefined, host), authority: host },
    timeout: protoDuration(timeout) ?? DEFAULT_TIMEOUT,
  };
  return {
    service,
    http: { grpcService, ...common(provider) },
    tcp: {
      statPrefix: 'tcp.',
      grpcService,
      transportApiVersion: 'V3',
      ...(failOpen && { failureModeAllow: true }),
    },
  };
}

function common(provider: HttpProvider | GrpcProvider): Omit<ExtAuthz, 'httpService' | 'grpcService'> {
  const { failOpen, clearRouteCache, statusOnError, includeRequestBodyInCheck } = provider;
  const code = statusName(statusOnError);
  const withRequestBody = requestBody(includeRequestBodyInCheck);
  return {
    transportApiVersion: 'V3',
    ...(failOpen && { failureModeAllow: true }),
    ...(clearRouteCache && { clearRouteCache: true }),
    ...(code && { statusOnError: { code } }),
    ...(withRequestBody && { withRequestBody }),
  };
}

/** Validation has refused statuses that have no name. */
function statusName(status: string | undefined): StatusCodeName | undefined {
  return status ? statusCodeName(Number(status)) : undefined;
}

function requestBody(body: RequestBody): ExtAuthz['withRequestBody'] {
  if (!body) return undefined;
  const { maxRequestBytes = 0, allowPartialMessage, packAsBytes } = body;
  return {
    maxRequestBytes,
    ...(allowPartialMessage && { allowPartialMessage: true }),
    ...(packAsBytes && { packAsBytes: true }),
  };
}

type AnswerList = 'allowedUpstreamHeaders' | 'allowedClientHeaders' | 'allowedClientHeadersOnSuccess';

function listed(field: AnswerList, names: readonly string[] | undefined): { [F in AnswerList]?: ListStringMatcher } {
  const list = headerList(names);
  return list ? { [field]: list } : {};
}

/** Exact names, `prefix*` or `*suffix`, in any case. */
function headerList(names: readonly string[] | undefined): ListStringMatcher | undefined {
  if (!names?.length) return undefined;
  return { patterns: names.map(headerPattern) };
}

function headerPattern(name: string): StringMatcher {
  const ignoreCase = true;
  if (name === '*') return { safeRegex: { regex: '.+' } };
  if (name.startsWith('*')) return { suffix: name.slice(1), ignoreCase };
  if (name.endsWith('*')) return { prefix: name.slice(0, -1), ignoreCase };
  return { exact: name, ignoreCase };
}
