/** The paths of a kind in OpenAPI: what `resources.ts` answers, with the parameters it reads. */
import type { Kind } from '../../../shared/resources/kind.ts';
import { hasStatus, isBuiltIn, isDeletedTogether } from '../resources/kinds.ts';
import { historyOperation, historySchemas } from './openapi-history.ts';
import type { Json } from './openapi-schema.ts';

/** Schemas that operations refer to, beside those of the kinds. */
const STATUS = 'io.k8s.apimachinery.pkg.apis.meta.v1.Status';
const LIST_META = 'io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta';
const DELETE_OPTIONS = 'io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions';

const BODIES = ['application/json', 'application/yaml'];
const PATCHES = ['application/json-patch+json', 'application/merge-patch+json'];
const CORE_PATCH = 'application/strategic-merge-patch+json';
const APPLY = 'application/apply-patch+yaml';

type Parameters = Readonly<Record<string, string>>;
const SELECTORS: Parameters = {
  labelSelector: 'Labels, as app=reviews,version!=v1.',
  fieldSelector: 'Fields, as metadata.name=reviews.',
};
const LIST: Parameters = {
  ...SELECTORS,
  limit: 'Most resources of one answer; metadata.continue of the answer then gives the next page. Default: all.',
  continue: 'metadata.continue of the page before; the pages show the resources of one revision.',
  resourceVersion: 'A revision of the store; with watch, events after it.',
  resourceVersionMatch: 'Exact or NotOlderThan.',
  watch: 'true: changes, one JSON object a line, until timeoutSeconds are over.',
  allowWatchBookmarks: 'With watch: also bookmarks.',
  sendInitialEvents: 'With watch: first the existing resources.',
  timeoutSeconds: 'With watch: how long.',
};
const DRY_RUN: Parameters = { dryRun: 'All: validate only, write nothing.' };
const WRITE: Parameters = {
  ...DRY_RUN,
  fieldManager: 'Name of the client that writes.',
  fieldValidation: 'Unknown fields: Strict refuses, Warn warns, Ignore drops them. Default: Warn.',
};
const DELETE: Parameters = {
  ...DRY_RUN,
  propagationPolicy: 'Of the resources that it owns: Background, Foreground or Orphan. Default: Background.',
  orphanDependents: 'Older form of propagationPolicy: true is Orphan, false Background.',
};
const FORCE: Parameters = { force: 'With server-side apply: true takes fields that other managers own.' };

/** @param schema name of the kind's schema; that of its list is the same with `List` behind it */
export function pathsOf(kind: Kind, version: string, schema: string): Json {
  const root = kind.group === '' ? `/api/${version}` : `/apis/${kind.group}/${version}`;
  const collection = `${root}${kind.namespaced ? '/namespaces/{namespace}' : ''}/${kind.plural}`;
  const scope = kind.namespaced ? [place('namespace', 'Namespace of the resources.')] : [];
  const item = [...scope, place('name', `Name of the ${kind.kind}.`)];
  const operation = operationsOf(kind, version, schema);
  const patches = isBuiltIn(kind) ? [...PATCHES, CORE_PATCH] : PATCHES;
  return {
    ...(kind.namespaced
      ? { [`${root}/${kind.plural}`]: { get: operation('list', { suffix: 'ForAllNamespaces' }) } }
      : {}),
    [collection]: {
      parameters: scope,
      get: operation('list'),
      post: operation('post', { accepts: BODIES }),
      ...(isDeletedTogether(kind) ? { delete: operation('deletecollection', { accepts: BODIES }) } : {}),
    },
    [`${collection}/{name}`]: {
      parameters: item,
      get: operation('get'),
      put: operation('put', { accepts: BODIES }),
      patch: operation('patch', { accepts: [...patches, APPLY] }),
      delete: operation('delete', { accepts: BODIES }),
    },
    [`${collection}/{name}/history`]: {
      parameters: item,
      get: historyOperation(operation('get', { suffix: 'History' }), schema),
    },
    ...(hasStatus(kind) && {
      [`${collection}/{name}/status`]: {
        parameters: item,
        get: operation('get', { suffix: 'Status' }),
        put: operation('put', { suffix: 'Status', accepts: BODIES }),
        patch: operation('patch', { suffix: 'Status', accepts: patches }),
      },
    }),
  };
}

type Action = keyof typeof NAMES;
/** Kubernetes' words in operation ids. */
const NAMES = {
  list: 'list',
  get: 'read',
  post: 'create',
  put: 'replace',
  patch: 'patch',
  delete: 'delete',
  deletecollection: 'delete',
} as const;

interface OperationOptions {
  /** Of the operation id, behind the kind. */
  suffix?: string;
  /** Media types of the body; default: it takes none. */
  accepts?: readonly string[];
}

function operationsOf(kind: Kind, version: string, schema: string) {
  const group = kind.group === '' ? 'core' : kind.group.replace(/\.k8s\.io$/, '');
  const camel = [...group.split('.'), version].map((part) => part[0]?.toUpperCase() + part.slice(1)).join('');
  return (action: Action, { suffix = '', accepts = [] }: OperationOptions = {}): Json => {
    const scope = kind.namespaced && suffix !== 'ForAllNamespaces' ? 'Namespaced' : '';
    const collection = action === 'deletecollection' ? 'Collection' : '';
    const applies = accepts.includes(APPLY);
    return {
      operationId: `${NAMES[action]}${camel}${collection}${scope}${kind.kind}${suffix}`,
      'x-kubernetes-action': action,
      'x-kubernetes-group-version-kind': { group: kind.group, version, kind: kind.kind },
      parameters: Object.entries({ ...PARAMETERS[action], ...(applies && FORCE) }).map(([name, says]) =>
        query(name, says),
      ),
      ...(accepts.length > 0 ? { requestBody: body(action, accepts, schema) } : {}),
      responses: responses(action, schema, applies),
    };
  };
}

const PARAMETERS: Readonly<Record<Action, Parameters>> = {
  list: LIST,
  get: {},
  post: WRITE,
  put: WRITE,
  patch: WRITE,
  delete: DELETE,
  deletecollection: { ...SELECTORS, ...DELETE },
};

function body(action: Action, accepts: readonly string[], schema: string): Json {
  const deletes = action === 'delete' || action === 'deletecollection';
  const content = action === 'patch' ? {} : reference(deletes ? DELETE_OPTIONS : schema);
  return { content: Object.fromEntries(accepts.map((type) => [type, { schema: content }])), required: !deletes };
}

/** @param creates the operation creates what does not exist */
function responses(action: Action, schema: string, creates: boolean): Json {
  const answer = (description: string, found: Json) => ({
    description,
    content: { 'application/json': { schema: found } },
  });
  const own = reference(schema);
  const wrong = { default: answer('What is wrong', reference(STATUS)) };
  if (action === 'post') return { 201: answer('Created', own), ...wrong };
  if (action === 'list' || action === 'deletecollection')
    return { 200: answer('OK', reference(`${schema}List`)), ...wrong };
  if (action === 'delete') {
    const found = { anyOf: [reference(STATUS), own] };
    return { 200: answer('OK', found), 202: answer('Accepted: finalizers are left', found), ...wrong };
  }
  return { 200: answer('OK', own), ...(creates && { 201: answer('Created', own) }), ...wrong };
}

const reference = (name: string) => ({ $ref: `#/components/schemas/${name}` });
const query = (name: string, description: string) => ({
  name,
  in: 'query',
  description,
  schema: { type: 'string', uniqueItems: true },
});
const place = (name: string, description: string) => ({
  name,
  in: 'path',
  required: true,
  description,
  schema: { type: 'string', uniqueItems: true },
});

/** Of a list of resources, as the API answers it. */
export function listSchema(kind: Kind, version: string, schema: string): Json {
  const properties = {
    apiVersion: { type: 'string', description: 'API version of the list.' },
    kind: { type: 'string', description: `${kind.kind}List.` },
    metadata: { allOf: [reference(LIST_META)], description: 'Revision of the store the list was read at.' },
    items: { type: 'array', items: reference(schema), description: 'The resources.' },
  };
  const named = { group: kind.group, version, kind: `${kind.kind}List` };
  return { type: 'object', properties, required: ['items'], 'x-kubernetes-group-version-kind': [named] };
}

const text = (description: string) => ({ type: 'string', description });

export const metaSchemas: Readonly<Record<string, Json>> = {
  ...historySchemas,
  [LIST_META]: {
    type: 'object',
    properties: {
      resourceVersion: text('Revision of the store, from which a watch can continue.'),
      continue: text('Gives the next page; absent on the last one.'),
      remainingItemCount: {
        type: 'integer',
        format: 'int64',
        description: 'How many resources follow this page; absent with selectors.',
      },
    },
  },
  [DELETE_OPTIONS]: {
    type: 'object',
    properties: {
      apiVersion: text('v1.'),
      kind: text('DeleteOptions.'),
      dryRun: { type: 'array', items: { type: 'string' }, description: 'All: validate only, delete nothing.' },
      gracePeriodSeconds: { type: 'integer', format: 'int64', description: 'Not used: nothing waits for it.' },
      orphanDependents: { type: 'boolean', description: 'Older form of propagationPolicy.' },
      preconditions: {
        type: 'object',
        properties: {
          uid: text('The deletion is refused unless the resource has this UID.'),
          resourceVersion: text('The deletion is refused unless the resource has this revision.'),
        },
        description: 'What the resource must be.',
      },
      propagationPolicy: text('Of the resources that it owns: Background, Foreground or Orphan.'),
    },
  },
  [STATUS]: {
    type: 'object',
    properties: {
      apiVersion: text('v1.'),
      kind: text('Status.'),
      metadata: { allOf: [reference(LIST_META)] },
      status: text('Success or Failure.'),
      message: text('What is wrong, for people.'),
      reason: text('What is wrong, for programs, as NotFound.'),
      code: { type: 'integer', format: 'int32', description: 'The HTTP status.' },
      details: {
        type: 'object',
        'x-kubernetes-preserve-unknown-fields': true,
        description: 'Every violation with its field.',
      },
    },
  },
};
