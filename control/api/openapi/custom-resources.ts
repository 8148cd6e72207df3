/**
 * CustomResourceDefinitions of the kinds that Kubernetes has by CRDs, read-only: tools look them up before they use a kind
 * (https://kubernetes.io/docs/reference/kubernetes-api/extend-resources/custom-resource-definition-v1/).
 */
import { createHash } from 'node:crypto';
import { type Context, Hono } from 'hono';
import * as z from 'zod';
import { describeResource } from '../../../shared/resources/describe/resource-description.ts';
import { defineKind, type Kind } from '../../../shared/resources/kind.ts';
import type { Resource } from '../../../shared/resources/resource.ts';
import type { ApiEnv } from '../caller.ts';
import { pushBody } from '../push-body.ts';
import { answer, answerList, wantsTable } from '../resources/answer.ts';
import { hasStatus, type Target } from '../resources/kinds.ts';
import { isTrue, watchTimeoutMs } from '../resources/request-options.ts';
import { parseSelectors } from '../resources/selectors.ts';
import { ApiError, methodNotAllowed, notFound } from '../resources/status.ts';
import { readObject } from '../server/body.ts';
import { type Json, openApiSchema } from './openapi-schema.ts';

/** Only for discovery and paths: nothing of this kind is stored. */
export const customResourceDefinition: Kind = defineKind({
  kind: 'CustomResourceDefinition',
  group: 'apiextensions.k8s.io',
  versions: ['v1'],
  plural: 'customresourcedefinitions',
  singular: 'customresourcedefinition',
  shortNames: ['crd', 'crds'],
  categories: ['api-extensions'],
  namespaced: false,
  body: z.looseObject({}),
  check: () => ({ violations: [], warnings: [] }),
  columns: [],
  description: 'The definition of a kind that is served.',
}) as Kind;

export const CRD_VERBS: readonly string[] = ['get', 'list', 'watch'];

const PATH = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';

/** @param since RFC 3339: the definitions' creation time */
export function customResourceRoutes(kinds: readonly Kind[], since: string): Hono<ApiEnv> {
  const app = new Hono<ApiEnv>();
  const target = (name: string): Target => ({
    kind: customResourceDefinition,
    version: 'v1',
    apiVersion: 'apiextensions.k8s.io/v1',
    namespace: '',
    name,
  });
  // Made at the first request: most control planes never receive one.
  let made: Resource[] | undefined;
  const all = () =>
    (made ??= kinds
      .filter(isCustom)
      .map((kind) => definitionOf(kind, since))
      .sort(byName));
  app.get(PATH, (c) => {
    const selectors = parseSelectors(
      customResourceDefinition,
      c.req.query('labelSelector'),
      c.req.query('fieldSelector'),
    );
    const found = all().filter(selectors.matches);
    wantsTable(c);
    if (isTrue(c.req.query('watch'))) return watch(c, found);
    return answerList(c, target(''), found, { revision: 1 });
  });
  app.get(`${PATH}/:name`, (c) => {
    const name = c.req.param('name');
    const found = all().find(({ metadata }) => metadata.name === name);
    if (!found) throw notFound(customResourceDefinition, name);
    return answer(c, target(name), found);
  });
  app.post(PATH, async (c) => {
    const { value } = await readObject(c);
    const name = String((value['metadata'] as { name?: unknown } | undefined)?.name ?? '');
    if (!all().some(({ metadata }) => metadata.name === name)) throw methodNotAllowed();
    // What installs Istio's CRDs, as helm does, takes this for done.
    const details = { name, group: customResourceDefinition.group, kind: customResourceDefinition.plural };
    const message = `customresourcedefinitions.apiextensions.k8s.io "${name}" already exists`;
    throw new ApiError(409, 'AlreadyExists', message, details);
  });
  const refuse = () => {
    throw methodNotAllowed();
  };
  app.all(PATH, refuse);
  app.all(`${PATH}/:name`, refuse);
  return app;
}

/** They never change: the existing ones, unless the client has them, and then nothing until the timeout. */
function watch(c: Context<ApiEnv>, found: readonly Resource[]): Response {
  const stop = new AbortController();
  const timer = setTimeout(() => stop.abort(), watchTimeoutMs(c.req.query('timeoutSeconds')));
  c.req.raw.signal.addEventListener('abort', () => stop.abort());
  const initial = ['', '0'].includes(c.req.query('resourceVersion') ?? '') ? found : [];
  const bookmark = isTrue(c.req.query('sendInitialEvents')) && isTrue(c.req.query('allowWatchBookmarks'));
  const body = pushBody({ chunks: lines(initial, bookmark, stop.signal, timer), cancel: () => stop.abort() });
  return c.body(body, 200, { 'content-type': 'application/json' });
}

async function* lines(
  found: readonly Resource[],
  bookmark: boolean,
  signal: AbortSignal,
  timer: ReturnType<typeof setTimeout>,
): AsyncGenerator<Uint8Array, void, void> {
  const encode = (line: object) => new TextEncoder().encode(`${JSON.stringify(line)}\n`);
  for (const object of found) yield encode({ type: 'ADDED', object });
  if (bookmark) {
    const annotations = { 'k8s.io/initial-events-end': 'true' };
    const { kind } = customResourceDefinition;
    const metadata = { resourceVersion: '1', creationTimestamp: null, annotations };
    yield encode({ type: 'BOOKMARK', object: { kind, apiVersion: 'apiextensions.k8s.io/v1', metadata } });
  }
  if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
  clearTimeout(timer);
}

/** Groups that a Kubernetes API server has without CRDs. */
const isCustom = ({ group }: Kind): boolean => group !== '' && !group.endsWith('.k8s.io');
const byName = (a: Resource, b: Resource): number => (a.metadata.name < b.metadata.name ? -1 : 1);

function definitionOf(kind: Kind, since: string): Resource {
  const { group, plural, singular, shortNames, categories, namespaced } = kind;
  const name = `${plural}.${group}`;
  const names = { plural, singular, kind: kind.kind, listKind: `${kind.kind}List`, shortNames, categories };
  const [storage = ''] = kind.versions;
  const condition = (type: string, reason: string, message: string) => ({
    type,
    status: 'True',
    lastTransitionTime: since,
    reason,
    message,
  });
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name, uid: uidOf(name), resourceVersion: '1', generation: 1, creationTimestamp: since },
    spec: {
      group,
      names,
      scope: namespaced ? 'Namespaced' : 'Cluster',
      versions: kind.versions.map((version) => versionOf(kind, version, storage)),
      conversion: { strategy: 'None' },
    },
    status: {
      acceptedNames: names,
      storedVersions: [storage],
      conditions: [
        condition('NamesAccepted', 'NoConflicts', 'no conflicts found'),
        condition('Established', 'InitialNamesAccepted', 'the initial names have been accepted'),
      ],
    },
  };
}

function versionOf(kind: Kind, version: string, storage: string): Json {
  const schema = openApiSchema(describeResource(kind, version)) as { properties?: Json };
  const openAPIV3Schema = { ...schema, properties: { ...schema.properties, metadata: { type: 'object' } } };
  return {
    name: version,
    served: true,
    storage: version === storage,
    schema: { openAPIV3Schema: inline(openAPIV3Schema) },
    ...(hasStatus(kind) ? { subresources: { status: {} } } : {}),
    additionalPrinterColumns: kind.columns.map(({ name, type, jsonPath, description, priority }) => ({
      name,
      type,
      jsonPath,
      description,
      ...(priority === undefined ? {} : { priority }),
    })),
  };
}

/** A CRD has no references: an IntOrString says what it is by an extension. */
function inline(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(inline);
  if (typeof value !== 'object' || value === null) return value;
  const { allOf, ...rest } = value as Json;
  const reference = Array.isArray(allOf) ? (allOf[0] as { $ref?: string }).$ref : undefined;
  if (reference) return { ...rest, 'x-kubernetes-int-or-string': true };
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, inline(item)]));
}

/** The same after every start. */
function uidOf(name: string): string {
  const hex = createHash('sha256').update(name).digest('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-5${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}
