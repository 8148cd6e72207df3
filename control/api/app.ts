/** The control API: Kubernetes' REST paths over a ResourceStore. */
import { Hono } from 'hono';
import type { AuditLog } from '../audit/audit-log.ts';
import type { ResourceKey, ResourceStore } from '../store/store.ts';
import { StoreError } from '../store/store.ts';
import type { ControlEvents } from '../telemetry/events.ts';
import { auditing, auditReceived } from './access/audit.ts';
import { isDiscovery, limitFailedTokens, limitRequests } from './access/limits.ts';
import { refuseRevoked, requirePathAccess } from './access/permission.ts';
import { reviewRoutes, type TokenHolder } from './access/reviews.ts';
import { secureHeaders } from './access/secure-headers.ts';
import { type Authentication, authenticate } from './auth.ts';
import type { ApiEnv } from './caller.ts';
import type { Neighbours } from './neighbours.ts';
import { observe } from './observe.ts';
import { apiDocuments } from './openapi/api-documents.ts';
import { customResourceRoutes } from './openapi/custom-resources.ts';
import type { ResourceKinds } from './resources/kinds.ts';
import type { OpenWatches } from './resources/open-watches.ts';
import { resourceApi } from './resources/resources.ts';
import { pathNotFound, respondToError } from './resources/status.ts';
import { healthRoutes } from './server/health.ts';
import { IdentityLimits } from './server/identity-limits.ts';

export interface ApiDependencies extends Authentication {
  store: ResourceStore;
  /** `{ kinds, validate }` of shared/resources. */
  kinds: ResourceKinds;
  /** Of tokens that a TokenReview asks about. Default: there are none. */
  holderOf?: TokenHolder;
  /** Tulle's version, as `0.1.0`. */
  version: string;
  /** Of `store`; default: one that lists the store at the first write. */
  neighbours?: Neighbours;
  /** Ends the watches at a stop. */
  watches?: OpenWatches;
  /** Default: IDENTITY_LIMITS. */
  limits?: IdentityLimits;
  /** Default: there is none. */
  audit?: AuditLog | undefined;
  events?: Pick<ControlEvents, 'answered'>;
  /** Reports internal errors; details are not sent to clients. Must not throw. */
  report?: (error: unknown) => void;
}

/** Exist in every mesh and may not be deleted. */
const initialNamespaces = ['default', 'istio-system'] as const;

export function isInitialNamespace({ group, plural, name }: ResourceKey): boolean {
  return group === '' && plural === 'namespaces' && (initialNamespaces as readonly string[]).includes(name);
}

/** Creates the initial namespaces that are missing. Call once, before the API is served. */
export async function createInitialNamespaces(store: ResourceStore): Promise<void> {
  for (const name of initialNamespaces) {
    const labels = { 'kubernetes.io/metadata.name': name };
    const resource = { apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels }, status: { phase: 'Active' } };
    try {
      await store.create({ group: '', plural: 'namespaces', namespace: '', name }, resource);
    } catch (error) {
      if (!(error instanceof StoreError && error.code === 'already-exists')) throw error;
    }
  }
}

/**
 * The app. It sets `caller` for every path, so that further routes (certificates, discovery) can be mounted on it with
 * `app.route('/', other)`; what users may do in the resource API is what roles grant them.
 */
export function createApi(dependencies: ApiDependencies): Hono<ApiEnv> {
  const { store, kinds, version, report = () => {} } = dependencies;
  // A trailing slash means the same path, as in Kubernetes.
  const app = new Hono<ApiEnv>({ strict: false });
  app.onError(respondToError(report));
  app.notFound((c) => c.json(pathNotFound().toStatus(), 404));
  if (dependencies.audit) app.use('*', auditing(dependencies.audit));
  if (dependencies.events) app.use('*', observe(dependencies.events));
  app.use('*', secureHeaders);
  app.use('*', refuseRevoked);
  const limits = dependencies.limits ?? new IdentityLimits();
  app.use('*', limitFailedTokens(limits, dependencies.isAdmin));
  app.use('*', authenticate(dependencies));
  const limit = limitRequests(limits);
  // Discovery takes JWT-SVIDs, which say who asks: it limits requests behind what reads them.
  app.use('*', (c, next) => (isDiscovery(c) ? next() : limit(c, next)));
  if (dependencies.audit) app.use('*', auditReceived(dependencies.audit));
  app.use('/', requirePathAccess);
  for (const base of ['/api', '/apis', '/openapi']) app.use(`${base}/*`, requirePathAccess);
  app.get('/version', (c) => c.json(versionDocument(version)));
  app.route('/', healthRoutes({ store: async () => void (await store.revision()) }));
  app.route('/', apiDocuments(kinds.kinds));
  app.route('/', customResourceRoutes(kinds.kinds, `${new Date().toISOString().slice(0, 19)}Z`));
  app.route('/', reviewRoutes(dependencies.holderOf ?? (async () => undefined)));
  app.route(
    '/',
    resourceApi({
      store,
      kinds,
      protectedNamespaces: initialNamespaces,
      report,
      neighbours: dependencies.neighbours,
      watches: dependencies.watches,
    }),
  );
  return app;
}

/** Of the Kubernetes API that is spoken; Tulle's version follows the plus sign. */
function versionDocument(version: string) {
  return { major: '1', minor: '32', gitVersion: `v1.32.0+tulle-${version}`, platform: 'tulle' };
}
