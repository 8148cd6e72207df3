/**
 * Proves the way of routes: a simple HTTPRoute (gateway.networking.k8s.io/v1: parentRefs, hostnames, matches of path,
 * headers and method, backendRefs with weights) as the form that routes are compiled from. That form is the VirtualService,
 * as it is for istiod. Fields beyond these are not read here.
 */
import type { Resource } from '../../../shared/resources/resource.ts';
import { type Fields, fields, namespaceOf, numeric, objects, specOf, strings, text } from '../../mesh/fields.ts';
import type { MeshUpdate } from '../../mesh/mesh-index.ts';
import { generator } from '../memo.ts';
import type { HttpMatchRequest, HttpRoute, StringMatch, VirtualServiceSpec } from '../routes/virtual-service-spec.ts';

/** The step with VirtualServices in the place of HTTPRoutes; the same objects for the same route. */
export function withRoutes({ removed, added }: MeshUpdate): MeshUpdate {
  const read = (resource: Resource) =>
    resource.kind === 'HTTPRoute' ? virtualServices({ route: resource }) : [resource];
  return { removed: removed.flatMap(read), added: added.flatMap(read) };
}

const SUFFIX = 'svc.cluster.local';

/** One VirtualService a parent. */
const virtualServices = generator<{ route: Resource }, readonly Resource[]>({ route: true }, ({ route }) =>
  objects(specOf(route)['parentRefs']).map((parent, i) => virtualService(route, parent, i)),
);

function virtualService(route: Resource, parent: Fields, index: number): Resource {
  const own = namespaceOf(route);
  const name = text(parent['name']) ?? '';
  const namespace = text(parent['namespace']) ?? own;
  const mesh = parent['kind'] === 'Service';
  const hostnames = strings(specOf(route)['hostnames']);
  // A route of the mesh is for its Service: hostnames do not apply to it (GEP-1294).
  const hosts = mesh ? [`${name}.${namespace}.${SUFFIX}`] : hostnames.length > 0 ? hostnames : ['*'];
  const port = numeric(parent['port']);
  const spec: VirtualServiceSpec = {
    hosts,
    gateways: [mesh ? 'mesh' : `${namespace}/${name}`],
    http: objects(specOf(route)['rules'])
      .flatMap((rule) => rulesOf(rule, own, port))
      .sort((a, b) => compareWeights(weightOf(b), weightOf(a))),
  };
  return {
    apiVersion: 'networking.istio.io/v1',
    kind: 'VirtualService',
    metadata: {
      ...route.metadata,
      name: `${route.metadata.name}-${index}`,
      annotations: { 'internal.istio.io/route-semantics': 'gateway' },
    },
    spec,
  };
}

/** A rule for each match, because precedence is a match's, not a rule's. */
function rulesOf(rule: Fields, namespace: string, port: number | undefined): HttpRoute[] {
  const matches = objects(rule['matches']);
  const backends = objects(rule['backendRefs']).filter((backend) => (numeric(backend['weight']) ?? 1) > 0);
  const action: HttpRoute =
    backends.length === 0
      ? { directResponse: { status: 500 } }
      : { route: backends.map((backend) => destinationOf(backend, namespace)) };
  return (matches.length > 0 ? matches : [{}]).map((match) => ({
    ...action,
    match: [{ ...matchOf(match), ...(port !== undefined && { port }) }],
  }));
}

function destinationOf(backend: Fields, namespace: string) {
  const host = `${text(backend['name'])}.${text(backend['namespace']) ?? namespace}.${SUFFIX}`;
  const number = numeric(backend['port']);
  return {
    destination: { host, ...(number !== undefined && { port: { number } }) },
    weight: numeric(backend['weight']) ?? 1,
  };
}

function matchOf(match: Fields): HttpMatchRequest {
  const path = fields(match['path']);
  const headers = objects(match['headers']).map((header) => [String(header['name']).toLowerCase(), matcher(header)]);
  const method = text(match['method']);
  return {
    uri: matcher({ type: 'PathPrefix', value: '/', ...path }),
    ...(headers.length > 0 && { headers: Object.fromEntries(headers) }),
    ...(method !== undefined && { method: { exact: method } }),
  };
}

function matcher({ type, value }: Fields): StringMatch {
  const written = String(value);
  if (type === 'PathPrefix') return { prefix: written };
  return type === 'RegularExpression' ? { regex: written } : { exact: written };
}

/** HTTPRouteRule precedence: an exact path, a longer path, a method, more headers; then the order in the route. */
function weightOf({ match }: HttpRoute): number[] {
  const { uri, method, headers } = match?.[0] ?? {};
  const length = (uri?.exact ?? uri?.prefix ?? uri?.regex ?? '').length;
  return [Number(uri?.exact !== undefined), length, Number(method !== undefined), Object.keys(headers ?? {}).length];
}

function compareWeights(a: readonly number[], b: readonly number[]): number {
  for (const [i, one] of a.entries()) if (one !== b[i]) return one - (b[i] ?? 0);
  return 0;
}
