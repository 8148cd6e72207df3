/** Routes of listeners that serve every HTTP port of their services: HTTP proxies, and Unix domain sockets. */
import type { Route, VirtualHost } from '../../../shared/xds/route.ts';
import type { MeshService } from '../../mesh/view.ts';
import { generator, sharedList } from '../memo.ts';
import { DYNAMIC_ANY, outboundCluster, PASSTHROUGH } from '../names.ts';
import type { Work } from '../output/compiled-node.ts';
import type { Produced } from '../output/produced.ts';
import { frozen } from '../output/shared-resource.ts';
import type { Services } from '../scope/scope.ts';
import { countsAttempts } from '../sidecar/http-manager.ts';
import { serviceDomains } from './host-names.ts';
import {
  type CatchAllInput,
  catchAll,
  configuration,
  type SidecarRoutes,
  servesHttp,
  sidecarVirtualHosts,
} from './routes.ts';

/** Takes the bytes of a CONNECT. */
const tunnelTo = (name: string, cluster: string): Route => ({
  name,
  match: { connectMatcher: {} },
  route: {
    cluster,
    timeout: '0s',
    maxGrpcTimeout: '0s',
    upgradeConfigs: [{ upgradeType: 'CONNECT', connectConfig: {} }],
  },
});

const REGISTRY_ONLY_TEXT =
  '%REQ(:AUTHORITY)%: no service of the mesh has this host and port, and outboundTrafficPolicy is REGISTRY_ONLY\n';

/** What the HTTP proxy does with other hosts than the mesh's: no original destination says where they are. */
const proxyCatchAll = generator<CatchAllInput, VirtualHost>(
  { requests: true, counts: true },
  ({ requests, counts }) => {
    const cluster = requests === PASSTHROUGH ? DYNAMIC_ANY : requests;
    const base = catchAll({ requests: cluster, counts });
    const [all] = base.routes!;
    if (cluster !== undefined) return { ...base, routes: [tunnelTo('allow_any', cluster), all!] };
    const refused = {
      ...all!,
      directResponse: { status: 502, bodyFormat: { textFormatSource: { inlineString: REGISTRY_ONLY_TEXT } } },
    };
    return { ...base, routes: [{ ...refused, match: { connectMatcher: {} } }, refused] };
  },
);

/** Of the HTTP proxy: a virtual host for each TCP and TLS port of a service, which takes tunnels alone. */
const tunnelHosts = generator<{ services: readonly MeshService[]; dnsDomain: string }, readonly HostsOfPort[]>(
  { services: true, dnsDomain: true },
  ({ services, dnsDomain }) =>
    services.flatMap((service) =>
      service.ports
        .filter(({ protocol, number }) => protocol !== 'UDP' && !servesHttp(service, number))
        .map(({ number }) => ({ number, hosts: [tunnelHost({ service, dnsDomain, port: number })] })),
    ),
);

/** The hosts of a port with a tunnel to each service that declares no protocol there: not only HTTP is called on it. */
const withTunnels = generator<
  { services: Services; port: number; hosts: readonly VirtualHost[] },
  readonly VirtualHost[]
>({ services: true, port: true, hosts: true }, ({ services, port, hosts }) =>
  hosts.map((host) => {
    const service = services.byHost.get(host.name.slice(0, host.name.lastIndexOf(':')));
    const isUndeclared = service?.ports.some(({ number, protocol }) => number === port && protocol === 'UNSUPPORTED');
    return service && isUndeclared ? withTunnel({ host, service, port }) : host;
  }),
);

const withTunnel = generator<{ host: VirtualHost; service: MeshService; port: number }, VirtualHost>(
  { host: true, service: true, port: true },
  ({ host, service, port }) =>
    frozen({ ...host, routes: [tunnelTo('tunnel', tunnelCluster(service, port)), ...(host.routes ?? [])] }),
);

/** Without capture only the request says where a service of resolution NONE is. */
function tunnelCluster({ resolution, hostname }: MeshService, port: number): string {
  return resolution === 'NONE' ? DYNAMIC_ANY : outboundCluster(port, undefined, hostname);
}

const tunnelHost = generator<{ service: MeshService; dnsDomain: string; port: number }, VirtualHost>(
  { service: true, dnsDomain: true, port: true },
  ({ service, dnsDomain, port }) =>
    frozen({
      name: `${service.hostname}:${port}`,
      domains: [...serviceDomains({ service, dnsDomain })],
      routes: [tunnelTo('tunnel', tunnelCluster(service, port))],
    }),
);

/** A route configuration whose virtual hosts are distinguished by the port that requests name. */
export interface Proxied {
  readonly name: string;
  /** Of its listener. */
  readonly port: number | undefined;
  /** CONNECT is served: a tunnel to each TCP port, and to any host where unknown destinations are allowed. */
  readonly tunnels: boolean;
}

/** The virtual hosts of every HTTP port of the services. Pauses after each. */
export function* proxiedRoutes(input: SidecarRoutes, { name, port, tunnels }: Proxied): Work<Produced<'routes'>> {
  const { requests } = input.policy;
  const virtualHosts: VirtualHost[] = [];
  const taken = new Set<string>();
  for (const { number, hosts } of yield* hostsByPort(input, tunnels)) {
    for (const host of hosts) {
      if (host.name === 'allow_any' || host.name === 'block_all') continue;
      const names = host.domains.flatMap((domain) =>
        number === 80 ? [`${domain}:80`, domain] : [`${domain}:${number}`],
      );
      const domains = names.filter((domain) => !taken.has(domain.toLowerCase()));
      for (const domain of domains) taken.add(domain.toLowerCase());
      if (domains.length > 0) virtualHosts.push(renamed({ host, domains: domains.join('\n') }));
      yield;
    }
  }
  const others = { requests, counts: countsAttempts(input.settings) };
  virtualHosts.push(tunnels ? proxyCatchAll(others) : catchAll(others));
  return configuration({ hosts: sharedList(virtualHosts), name, side: 'outbound', port, comparesPort: true });
}

interface HostsOfPort {
  readonly number: number;
  readonly hosts: readonly VirtualHost[];
}

function* hostsByPort(input: SidecarRoutes, tunnels: boolean): Work<HostsOfPort[]> {
  const { services, caller } = input;
  const byPort: HostsOfPort[] = [];
  for (const number of routedPorts({ list: services.list })) {
    const hosts = yield* sidecarVirtualHosts(input, number);
    byPort.push({ number, hosts: tunnels ? withTunnels({ services, port: number, hosts: sharedList(hosts) }) : hosts });
  }
  if (tunnels) byPort.push(...tunnelHosts({ services: services.list, dnsDomain: caller.dnsDomain }));
  return byPort;
}

/** Ports that are HTTP or may turn out to be, ascending. */
const routedPorts = generator<{ list: readonly MeshService[] }, readonly number[]>({ list: true }, ({ list }) => {
  const ports = list.flatMap((service) => service.ports.filter(({ number }) => servesHttp(service, number)));
  return [...new Set(ports.map(({ number }) => number))].sort((a, b) => a - b);
});

/** A virtual host under other domains, one a line. */
const renamed = generator<{ host: VirtualHost; domains: string }, VirtualHost>(
  { host: true, domains: true },
  ({ host, domains }) => frozen({ ...host, domains: domains.split('\n') }),
);
