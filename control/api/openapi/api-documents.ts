/** The discovery documents from which kubectl learns what is served (https://kubernetes.io/docs/concepts/overview/kubernetes-api/). */
import { type Context, Hono, type Next } from 'hono';
import type { Kind } from '../../../shared/resources/kind.ts';
import type { ApiEnv } from '../caller.ts';
import { wantsTable } from '../resources/answer.ts';
import { HISTORY_API_VERSION, HISTORY_KIND } from '../resources/history/history.ts';
import { apiVersionOf, hasStatus, isDeletedTogether } from '../resources/kinds.ts';
import { pathNotFound } from '../resources/status.ts';
import { AGGREGATED_TYPE, groupDiscoveryList, wantsAggregated } from './aggregated-discovery.ts';
import { CRD_VERBS, customResourceDefinition } from './custom-resources.ts';
import { GNOSTIC, GNOSTIC_ANSWER, gnosticDocument } from './gnostic.ts';
import { type OpenApi, openApi } from './openapi.ts';
import { reviewKinds, type ServedKind } from './review-kinds.ts';
import { swaggerOf } from './swagger.ts';

const VERBS = ['create', 'delete', 'deletecollection', 'get', 'list', 'patch', 'update', 'watch'];
const ONE_BY_ONE = VERBS.filter((verb) => verb !== 'deletecollection');
const STATUS_VERBS = ['get', 'patch', 'update'];

/** GET /api, /apis, /api/v1, /apis/{group}, /apis/{group}/{version}, /openapi/v3 and what it lists */
export function apiDocuments(stored: readonly Kind[]): Hono<ApiEnv> {
  const kinds: readonly ServedKind[] = [
    ...stored.map((kind) => ({ ...kind, verbs: isDeletedTogether(kind) ? VERBS : ONE_BY_ONE })),
    ...reviewKinds,
    { ...customResourceDefinition, verbs: CRD_VERBS },
  ];
  const groups = [...new Set(kinds.map((kind) => kind.group))].filter((group) => group !== '');
  const app = new Hono<ApiEnv>();
  const aggregated = (names: readonly string[]) => (c: Context<ApiEnv>, next: Next) => {
    if (!wantsAggregated(c.req.header('accept'))) return next();
    const list = JSON.stringify(groupDiscoveryList(kinds, names));
    return Promise.resolve(c.body(list, 200, { 'content-type': AGGREGATED_TYPE, vary: 'accept' }));
  };
  app.get('/api', aggregated(['']), (c) =>
    c.json({ kind: 'APIVersions', versions: ['v1'], serverAddressByClientCIDRs: [] }),
  );
  app.get('/apis', aggregated(groups), (c) =>
    c.json({ kind: 'APIGroupList', apiVersion: 'v1', groups: groups.map((group) => apiGroup(kinds, group)) }),
  );
  app.get('/api/:version', (c) => c.json(resourceList(kinds, '', c.req.param('version'))));
  app.get('/apis/:group', (c) => {
    const group = c.req.param('group');
    if (!groups.includes(group)) throw pathNotFound();
    return c.json({ kind: 'APIGroup', apiVersion: 'v1', ...apiGroup(kinds, group) });
  });
  app.get('/apis/:group/:version', (c) => c.json(resourceList(kinds, c.req.param('group'), c.req.param('version'))));
  // Generated on the first request: most control planes never receive one.
  let made: OpenApi | undefined;
  const described = () => (made ??= openApi(stored));
  app.get('/', (c) => c.json({ paths: rootPaths(kinds) }));
  let gnostic: Uint8Array<ArrayBuffer> | undefined;
  app.get('/openapi/v2', (c) => {
    if (acceptsGnostic(c.req.header('accept'))) {
      gnostic ??= new Uint8Array(gnosticDocument(swaggerOf(described())));
      return c.body(gnostic, 200, { 'content-type': GNOSTIC_ANSWER, vary: 'accept' });
    }
    wantsTable(c);
    return c.json(swaggerOf(described()), 200, { vary: 'accept' });
  });
  app.get('/openapi/v3', (c) => c.json(described().index));
  app.get('/openapi/v3/*', (c) => {
    const text = described().documents.get(c.req.path.slice('/openapi/v3/'.length));
    if (text === undefined) throw pathNotFound();
    return c.body(text, 200, { 'content-type': 'application/json' });
  });
  return app;
}

/** Whether the first type of an Accept header that can be had is gnostic's. */
function acceptsGnostic(accept = ''): boolean {
  const types = accept.split(',').map((range) => range.split(';')[0]?.trim());
  const known = types.find((type) => type === GNOSTIC || type === GNOSTIC_ANSWER || type === 'application/json');
  return known !== undefined && known !== 'application/json';
}

/** What Kubernetes' root lists: the documents and health checks below it. */
function rootPaths(kinds: readonly ServedKind[]): string[] {
  const groups = kinds.filter(({ group }) => group !== '');
  const paths = groups.flatMap(({ group, versions }) => [
    `/apis/${group}`,
    ...versions.map((version) => `/apis/${group}/${version}`),
  ]);
  const fixed = ['/api', '/api/v1', '/apis', '/healthz', '/livez', '/openapi/v2', '/openapi/v3', '/readyz', '/version'];
  return [...new Set([...fixed, ...paths])].sort();
}

function apiGroup(kinds: readonly ServedKind[], group: string) {
  const versions = [...new Set(kinds.filter((kind) => kind.group === group).flatMap((kind) => kind.versions))];
  const described = versions.map((version) => ({ groupVersion: `${group}/${version}`, version }));
  return { name: group, versions: described, preferredVersion: described[0] };
}

const statusOf = ({ plural, namespaced, kind }: ServedKind) => ({
  name: `${plural}/status`,
  singularName: '',
  namespaced,
  kind,
  verbs: STATUS_VERBS,
});

/** Of Tulle's own: kinds that only reviews have are not stored, nor are definitions. */
const isStored = ({ verbs }: ServedKind) => verbs.includes('update');
const historyOf = ({ plural, namespaced }: ServedKind) => ({
  ...{ name: `${plural}/history`, singularName: '', namespaced, kind: HISTORY_KIND },
  ...{ group: HISTORY_API_VERSION.split('/')[0], version: HISTORY_API_VERSION.split('/')[1], verbs: ['get'] },
});

function resourceList(kinds: readonly ServedKind[], group: string, version: string) {
  const served = kinds.filter((kind) => kind.group === group && kind.versions.includes(version));
  if (served.length === 0) throw pathNotFound();
  const resources = served.flatMap((kind) => [
    {
      name: kind.plural,
      singularName: kind.singular,
      namespaced: kind.namespaced,
      kind: kind.kind,
      verbs: kind.verbs,
      shortNames: kind.shortNames,
      categories: kind.categories,
    },
    ...(hasStatus(kind) ? [statusOf(kind)] : []),
    ...(isStored(kind) ? [historyOf(kind)] : []),
  ]);
  return { kind: 'APIResourceList', apiVersion: 'v1', groupVersion: apiVersionOf(group, version), resources };
}
