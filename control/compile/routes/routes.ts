/** Route configurations of sidecars: a virtual host per service, as the rules for it say. */
import { isHttp } from '../../../shared/match/protocol.ts';
import type { Route, RouteConfiguration, VirtualHost } from '../../../shared/xds/route.ts';
import type { RouteForm } from '../../mesh/routes/route-form.ts';
import type { MeshService, MeshSettings } from '../../mesh/view.ts';
import { destinationHashPolicy } from '../cluster/consistent-hash.ts';
import type { DestinationRule, Destinations } from '../cluster/destination-rule.ts';
import { generator, sharedList } from '../memo.ts';
import { hostCovers, moreSpecific, outboundCluster } from '../names.ts';
import type { Work } from '../output/compiled-node.ts';
import { type Origin, type Produced, produced } from '../output/produced.ts';
import { frozen } from '../output/shared-resource.ts';
import type { OutboundPolicy } from '../scope/outbound-policy.ts';
import type { Services } from '../scope/scope.ts';
import { aliasHosts } from '../scope/service-aliases.ts';
import { countsAttempts, type ProxySettings } from '../sidecar/http-manager.ts';
import type { RouteCaller } from './form-routes.ts';
import { domainsOf } from './host-names.ts';
import { defaultRoute } from './http-rules.ts';
import { type MeshFormRoutes, type Replacements, withReplacements } from './mesh-form-routes.ts';

const DIRECT_RESPONSE_LIMIT = 1048576;

/** What the routes of a sidecar are made of. */
export interface SidecarRoutes {
  readonly services: Services;
  /** Those bound to the mesh. */
  readonly forms: readonly RouteForm[];
  readonly destinations: Destinations;
  readonly caller: RouteCaller & { readonly dnsDomain: string };
  readonly settings: Pick<ProxySettings, 'config' | 'http'>;
  readonly policy: OutboundPolicy;
  readonly formRoutes: MeshFormRoutes;
}

interface ConfigurationInput {
  readonly hosts: readonly VirtualHost[];
  readonly name: string;
  readonly side: Origin['side'];
  readonly port: number | undefined;
  /** Domains are compared with the port that requests name. */
  readonly comparesPort: boolean;
}

export const configuration = generator<ConfigurationInput, Produced<'routes'>>(
  { hosts: true, name: true, side: true, port: true, comparesPort: true },
  ({ hosts, name, side, port, comparesPort }) => {
    const config: RouteConfiguration = {
      name,
      virtualHosts: [...hosts],
      validateClusters: false,
      ...(!comparesPort && { ignorePortInHostMatching: true }),
      maxDirectResponseBodySizeBytes: DIRECT_RESPONSE_LIMIT,
    };
    return produced('routes', config, { side, port });
  },
);

/** The configuration `name` of these virtual hosts: the same object for the same hosts. */
export function routeConfiguration(
  name: string,
  virtualHosts: readonly VirtualHost[],
  side: Origin['side'],
  port: number | undefined,
): Produced<'routes'> {
  return configuration({ hosts: sharedList(virtualHosts), name, side, port, comparesPort: false });
}

/** The configuration with other routes in the place of some; the same object where it has none of those. */
export function configurationWith(item: Produced<'routes'>, replacements: Replacements): Produced<'routes'> {
  const { name = '', virtualHosts = [], ignorePortInHostMatching = false } = item.resource;
  const hosts = virtualHosts.map((host) => withReplacements(host, replacements));
  if (hosts.every((host, i) => host === virtualHosts[i])) return item;
  const { side, port } = item.origin;
  return configuration({ hosts: sharedList(hosts), name, side, port, comparesPort: !ignorePortInHostMatching });
}

export function servesHttp(service: MeshService, port: number): boolean {
  return service.ports.some(
    (item) => item.number === port && (isHttp(item.protocol) || item.protocol === 'UNSUPPORTED'),
  );
}

const servicesAtPort = generator<{ services: readonly MeshService[]; port: number }, ReadonlyMap<string, MeshService>>(
  { services: true, port: true },
  ({ services, port }) =>
    new Map(
      services.filter((service) => servesHttp(service, port)).map((service) => [service.hostname, service] as const),
    ),
);

/**
 * The virtual hosts of the HTTP services at `port`, by name; the last catches everything else. Pauses after each
 * form and each service.
 */
export function* sidecarVirtualHosts(input: SidecarRoutes, port: number): Work<VirtualHost[]> {
  const { services, forms, caller, destinations, settings } = input;
  const counts = countsAttempts(settings);
  const here = servicesAtPort({ services: services.list, port });
  const taken = new Set<string>();
  const hosts: VirtualHost[] = [];
  const aliases = aliasHosts({ list: services.list });
  const add = (hostname: string, service: MeshService | undefined, routes: readonly Route[]) => {
    // As in istiod, rules for an alias hold for its full name alone: its short names are the service's.
    const names = aliases.has(hostname) ? [hostname] : domainsOf(hostname, service, caller.dnsDomain);
    const domains = names.filter((domain) => !taken.has(domain.toLowerCase()));
    if (domains.length === 0) return;
    for (const domain of domains) taken.add(domain.toLowerCase());
    hosts.push(virtualHost({ routes, hostname, domains: domains.join('\n'), port, counts }));
  };
  const covered = new Set<MeshService>();
  for (const form of forms) {
    const routes = input.formRoutes.of(form, port);
    if (routes.length === 0) continue;
    for (const { hostname, service } of hostsOf(input, form, here, port)) {
      if (service ? covered.has(service) : false) continue;
      if (service) covered.add(service);
      add(hostname, service, routes);
    }
    yield;
  }
  const retries = settings.config.defaultHttpRetryPolicy;
  for (const service of here.values()) {
    if (covered.has(service)) continue;
    add(service.hostname, service, defaultRoutes({ service, rule: destinations.rule(service), retries, port }));
    yield;
  }
  hosts.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
  if (!taken.has('*')) hosts.push(catchAll({ requests: input.policy.requests, counts }));
  return hosts;
}

/** The virtual host of one service for whatever host its requests name. Pauses after each form. */
export function* serviceVirtualHost(input: SidecarRoutes, service: MeshService, port: number): Work<VirtualHost> {
  const { forms, destinations, settings } = input;
  const counts = countsAttempts(settings);
  const { hostname } = service;
  const here = new Map([[hostname, service]]);
  for (const form of forms) {
    const routes = input.formRoutes.of(form, port);
    if (routes.length > 0 && hostsOf(input, form, here, port).some((found) => found.service === service))
      return virtualHost({ routes, hostname, domains: '*', port, counts });
    yield;
  }
  const retries = settings.config.defaultHttpRetryPolicy;
  const routes = defaultRoutes({ service, rule: destinations.rule(service), retries, port });
  return virtualHost({ routes, hostname, domains: '*', port, counts });
}

interface VirtualHostInput {
  readonly routes: readonly Route[];
  readonly hostname: string;
  /** One a line. */
  readonly domains: string;
  readonly port: number;
  /** Requests carry the number of their attempt. */
  readonly counts: boolean;
}

/** The unit that is generated, versioned and encoded. */
const virtualHost = generator<VirtualHostInput, VirtualHost>(
  { routes: true, hostname: true, domains: true, port: true, counts: true },
  ({ routes, hostname, domains, port, counts }) =>
    frozen({
      name: `${hostname}:${port}`,
      domains: domains.split('\n'),
      routes: [...routes],
      ...(counts && { includeRequestAttemptCount: true }),
    }),
);

type MeshRetries = MeshSettings['config']['defaultHttpRetryPolicy'];

/** The routes of a service without rules. */
const defaultRoutes = generator<
  { service: MeshService; rule: DestinationRule | undefined; retries: MeshRetries; port: number },
  readonly Route[]
>({ service: true, rule: true, retries: true, port: true }, ({ service, rule, retries, port }) => {
  const cluster = outboundCluster(port, undefined, service.hostname);
  const destinations: Destinations = { service: () => service, rule: () => rule };
  const hash = destinationHashPolicy(destinations, service.hostname, port, undefined);
  return Object.freeze([defaultRoute(cluster, `${service.hostname}:${port}/*`, hash, retries)]);
});

/**
 * What the hosts of a form are at `port`: services of the registry it covers there, and hosts unknown to the
 * registry, which exist at the covered services' ports, or at port 80 when it covers none at all.
 */
function hostsOf(
  { services, forms }: SidecarRoutes,
  form: RouteForm,
  here: ReadonlyMap<string, MeshService>,
  port: number,
): { hostname: string; service: MeshService | undefined }[] {
  const found: { hostname: string; service: MeshService | undefined }[] = [];
  const unknown: string[] = [];
  let known = false;
  const named = namedHosts({ forms });
  for (const host of form.hosts) {
    const wild = host.startsWith('*');
    const exact = here.get(host);
    const covered = wild
      ? [...here.values()].filter(
          (service) => hostCovers(host, service.hostname) && !namedBetter(named, form, host, service),
        )
      : exact
        ? [exact]
        : [];
    found.push(...covered.map((service) => ({ hostname: service.hostname, service })));
    const exists = wild
      ? services.list.some((service) => hostCovers(host, service.hostname))
      : services.byHost.has(host);
    if (covered.length === 0 && !exists) unknown.push(host);
    else known = true;
  }
  if (found.length > 0 || (!known && port === 80))
    found.push(...unknown.map((hostname) => ({ hostname, service: undefined })));
  return found;
}

interface NamedHosts {
  readonly exact: ReadonlyMap<string, ReadonlySet<RouteForm>>;
  readonly wild: readonly { readonly name: string; readonly form: RouteForm }[];
}

/** The hosts that the forms of the mesh name. */
const namedHosts = generator<{ forms: readonly RouteForm[] }, NamedHosts>({ forms: true }, ({ forms }) => {
  const exact = new Map<string, Set<RouteForm>>();
  const wild: { name: string; form: RouteForm }[] = [];
  for (const form of forms)
    for (const name of form.hosts) {
      if (name.startsWith('*')) wild.push({ name, form });
      else exact.set(name, (exact.get(name) ?? new Set()).add(form));
    }
  return { exact, wild };
});

/** A wildcard host does not take the services that another form names more exactly. */
function namedBetter({ exact, wild }: NamedHosts, form: RouteForm, host: string, { hostname }: MeshService): boolean {
  for (const other of exact.get(hostname) ?? []) if (other !== form) return true;
  return wild.some(
    ({ name, form: other }) => other !== form && hostCovers(name, hostname) && moreSpecific(name, host) < 0,
  );
}

export interface CatchAllInput extends Pick<OutboundPolicy, 'requests'> {
  /** Requests carry the number of their attempt. */
  readonly counts: boolean;
}

/** What becomes of requests to other hosts: the cluster that takes them; undefined: they are refused. */
export const catchAll = generator<CatchAllInput, VirtualHost>(
  { requests: true, counts: true },
  ({ requests, counts }) =>
    requests === undefined
      ? {
          name: 'block_all',
          domains: ['*'],
          ...(counts && { includeRequestAttemptCount: true }),
          routes: [{ name: 'block_all', match: { prefix: '/' }, directResponse: { status: 502 } }],
        }
      : {
          name: 'allow_any',
          domains: ['*'],
          ...(counts && { includeRequestAttemptCount: true }),
          routes: [
            {
              name: 'allow_any',
              match: { prefix: '/' },
              route: { cluster: requests, timeout: '0s', maxGrpcTimeout: '0s' },
            },
          ],
        },
);

/** HTTP service ports among `services`, ascending. */
export function httpPorts({ list }: Pick<Services, 'list'>): readonly number[] {
  return portsOf({ list });
}

const portsOf = generator<{ list: readonly MeshService[] }, readonly number[]>({ list: true }, ({ list }) => {
  const ports = new Set<number>();
  for (const service of list) for (const port of service.ports) if (isHttp(port.protocol)) ports.add(port.number);
  return [...ports].sort((a, b) => a - b);
});
