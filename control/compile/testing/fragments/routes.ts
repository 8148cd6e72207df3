/** Fragments of routes: merging with delegates, domains of virtual hosts, the order of the Gateway API. */
import { validate } from '../../../../shared/resources/index.ts';
import type { HttpMatchRequest, HttpRoute } from '../../../../shared/resources/schema/virtual-service.ts';
import { buildView } from '../../../mesh/build-view.ts';
import { mergeRule } from '../../../mesh/routes/delegate.ts';
import type { HttpRule, RouteForm } from '../../../mesh/routes/route-form.ts';
import { compileNode } from '../../node/node.ts';
import { subnetMatch } from '../../routes/l4-routes.ts';
import { joinedFor } from '../../routes/precedence.ts';
import type { Fragment, Outcome } from './fragment.ts';

interface Merge<Part> {
  readonly root: Part;
  readonly delegate: Part;
}

export function conflictOfMatches({ input: { root, delegate }, expected }: Fragment<Merge<HttpMatchRequest>>): Outcome {
  return { made: mergeRule({ match: [root] }, { match: [delegate] }) === undefined, expected };
}

/** null: one of the matches conflicts with all of the root's. */
export function mergedMatches({ input, expected }: Fragment<Merge<HttpMatchRequest[]>>): Outcome {
  const merged = mergeRule({ match: input.root }, { match: input.delegate });
  return { made: merged ? (merged.match ?? []) : null, expected };
}

interface RouteMerge {
  readonly root: HttpRoute;
  readonly delegate: readonly HttpRoute[];
}

export function mergedRoutes({ input: { root, delegate }, expected }: Fragment<RouteMerge>): Outcome {
  return { made: delegate.flatMap((each) => mergeRule(root, each) ?? []), expected };
}

interface DomainInput {
  readonly service: {
    readonly hostname: string;
    readonly resolution?: number;
    readonly attributes?: { readonly serviceRegistry?: string };
  };
  readonly port: number;
  readonly proxy: { readonly dnsDomain: string };
}

/** The domains of the virtual host of a service; their order has no meaning. */
export function domains({ input: { service, port, proxy }, expected }: Fragment<DomainInput>): Outcome {
  const node = { id: `sidecar~10.0.0.1~app.default~${proxy.dnsDomain}`, metadata: { NAMESPACE: 'default' } };
  const { routes = [] } = compileNode(buildView([serviceOf(service, port)], 1), node);
  const hosts = routes.find(({ name }) => name === String(port))?.virtualHosts ?? [];
  const own = hosts.find(({ domains: [first = ''] }) => first !== '*')?.domains ?? [];
  return { made: [...own].sort(), expected: [...(expected as string[])].sort() };
}

function serviceOf({ hostname, attributes }: DomainInput['service'], port: number) {
  // Of the Kubernetes registry, with the resolution of a headless Service.
  if (attributes?.serviceRegistry === 'Kubernetes') {
    const [name = '', namespace = ''] = hostname.split('.');
    const spec = { clusterIP: 'None', ports: [{ port, name: 'http' }] };
    return { apiVersion: 'v1', kind: 'Service', metadata: { name, namespace }, spec };
  }
  return {
    apiVersion: 'networking.istio.io/v1',
    kind: 'ServiceEntry',
    metadata: { name: 'one', namespace: 'default' },
    spec: { hosts: [hostname], ports: [{ number: port, name: 'http', protocol: 'HTTP' }], resolution: 'STATIC' },
  };
}

/** The rules of a route of the Gateway API; upstream's order keeps them whole, each with one match at most. */
export function gatewayApiOrder({ input, expected }: Fragment<readonly HttpRoute[]>): Outcome {
  const metadata = { name: 'route', namespace: 'default' };
  const resource = { apiVersion: 'gateway.networking.k8s.io/v1', kind: 'HTTPRoute', metadata };
  const origin = { resource, namespace: 'default', config: '' };
  const http = input.map((rule): HttpRule => ({ ...rule, origin }));
  const form: RouteForm = {
    origin,
    precedence: 'gateway-api',
    hosts: ['a.example'],
    gateways: ['mesh'],
    exportTo: ['*'],
    http,
    tcp: [],
    tls: [],
    withoutEffect: [],
  };
  const sorted = joinedFor([form], 'a.example').flatMap((joined) => joined.http);
  return { made: sorted.map(({ origin: _, ...rule }) => rule), expected };
}

/** A destination subnet of a tcp route as the range of a filter chain; null: the VirtualService is refused. */
export function cidrRange({ input, expected }: Fragment<string>): Outcome {
  const { resource } = validate({
    apiVersion: 'networking.istio.io/v1',
    kind: 'VirtualService',
    metadata: { name: 'one', namespace: 'default' },
    spec: {
      hosts: ['a.example'],
      tcp: [{ match: [{ destinationSubnets: [input] }], route: [{ destination: { host: 'a.example' } }] }],
    },
  });
  return { made: resource ? subnetMatch([input]).prefixRanges?.[0] : null, expected };
}
