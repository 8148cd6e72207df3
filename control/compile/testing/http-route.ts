/**
 * Proves the door for kinds of routes: a simple HTTPRoute (gateway.networking.k8s.io/v1: parentRefs, hostnames, matches of path,
 * headers, query parameters and method, backendRefs with weights) as route forms. Fields beyond these are not read here.
 */
import type { Resource } from '../../../shared/resources/resource.ts';
import { type Fields, fields, namespaceOf, numeric, objects, specOf, strings, text } from '../../mesh/fields.ts';
import type { HttpMatch, HttpRule, RouteForm, RouteOrigin } from '../../mesh/routes/route-form.ts';
import { formsPerResource } from '../../mesh/routes/route-reader.ts';
import type { MeshSettings } from '../../mesh/view.ts';

/** A reader of HTTPRoutes: one form a parent. */
export function httpRouteReader() {
  return formsPerResource('HTTPRoute', (route, settings) =>
    objects(specOf(route)['parentRefs']).map((parent) => formFor(route, parent, settings)),
  );
}

function formFor(route: Resource, parent: Fields, { domainSuffix }: MeshSettings): RouteForm {
  const own = namespaceOf(route);
  const name = text(parent['name']) ?? '';
  const namespace = text(parent['namespace']) ?? own;
  const mesh = parent['kind'] === 'Service';
  const hostnames = strings(specOf(route)['hostnames']);
  const origin: RouteOrigin = {
    resource: route,
    namespace: own,
    config: `/apis/gateway.networking.k8s.io/v1/namespaces/${own}/http-route/${route.metadata.name}`,
  };
  const port = numeric(parent['port']);
  return {
    origin,
    precedence: 'gateway-api',
    // A route of the mesh is for its Service: hostnames do not apply to it (GEP-1294).
    hosts: mesh ? [`${name}.${namespace}.svc.${domainSuffix}`] : hostnames.length > 0 ? hostnames : ['*'],
    gateways: [mesh ? 'mesh' : `${namespace}/${name}`],
    // A route in another namespace than its Service is for the clients of its own.
    exportTo: [mesh && namespace !== own ? '.' : '*'],
    http: objects(specOf(route)['rules']).flatMap((rule) => rulesOf(rule, { origin, port, domainSuffix })),
    tcp: [],
    tls: [],
    withoutEffect: [],
  };
}

interface Parent {
  readonly origin: RouteOrigin;
  readonly port: number | undefined;
  readonly domainSuffix: string;
}

/** A rule for each match, because precedence is a match's, not a rule's. */
function rulesOf(rule: Fields, { origin, port, domainSuffix }: Parent): HttpRule[] {
  const matches = objects(rule['matches']);
  const backends = objects(rule['backendRefs']).filter((backend) => (numeric(backend['weight']) ?? 1) > 0);
  const action =
    backends.length === 0
      ? { directResponse: { status: 500 } }
      : { route: backends.map((backend) => destinationOf(backend, origin.namespace, domainSuffix)) };
  return (matches.length > 0 ? matches : [{}]).map((match) => ({
    ...action,
    origin,
    wholeSegments: true,
    match: [{ ...matchOf(match), ...(port !== undefined && { port }) }],
  }));
}

function destinationOf(backend: Fields, namespace: string, domainSuffix: string) {
  const name = text(backend['name']) ?? '';
  // A backend of kind Hostname (networking.istio.io) has its name in full.
  const host =
    backend['kind'] === 'Hostname' ? name : `${name}.${text(backend['namespace']) ?? namespace}.svc.${domainSuffix}`;
  const number = numeric(backend['port']);
  return {
    destination: { host, ...(number !== undefined && { port: { number } }) },
    weight: numeric(backend['weight']) ?? 1,
  };
}

function matchOf(match: Fields): HttpMatch {
  const path = fields(match['path']);
  const headers = objects(match['headers']).map((header) => [String(header['name']).toLowerCase(), matcher(header)]);
  const queryParams = objects(match['queryParams']).map((param) => [String(param['name']), matcher(param)]);
  const method = text(match['method']);
  return {
    uri: matcher({ type: 'PathPrefix', value: '/', ...path }),
    ...(headers.length > 0 && { headers: Object.fromEntries(headers) }),
    ...(queryParams.length > 0 && { queryParams: Object.fromEntries(queryParams) }),
    ...(method !== undefined && { method: { exact: method } }),
  };
}

function matcher({ type, value }: Fields): NonNullable<HttpMatch['uri']> {
  const written = String(value);
  if (type === 'PathPrefix') return { prefix: written };
  return type === 'RegularExpression' ? { regex: written } : { exact: written };
}
