/** The paths of a kind in OpenAPI: what `resources.ts` answers, with the parameters it reads. */
import type { Kind } from '../../../shared/resources/kind.ts';
import type { Json } from './openapi-schema.ts';

/** Schemas that operations refer to, beside those of the kinds. */
const STATUS = 'io.k8s.apimachinery.pkg.apis.meta.v1.Status';
const LIST_META = 'io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta';

const BODIES = ['application/json', 'application/yaml'];
const PATCHES = ['application/json-patch+json', 'application/merge-patch+json', 'application/apply-patch+yaml'];

const WRITE = {
  dryRun: 'All: judge only, write nothing.',
  fieldManager: 'Name of the client that writes.',
  fieldValidation: 'Unknown fields: Strict refuses, Warn warns, Ignore drops them. Default: Warn.',
};
const LIST = {
  labelSelector: 'Labels, as app=reviews,version!=v1.',
  fieldSelector: 'Fields, as metadata.name=reviews.',
  limit: 'May be ignored: lists come whole.',
  continue: 'Not used: lists come whole.',
  resourceVersion: 'A revision of the store; with watch, events after it.',
  resourceVersionMatch: 'Exact or NotOlderThan.',
  watch: 'true: changes, one JSON object a line, until timeoutSeconds are over.',
  allowWatchBookmarks: 'With watch: also bookmarks.',
  sendInitialEvents: 'With watch: first the existing resources.',
  timeoutSeconds: 'With watch: how long.',
};

/** @param schema name of the kind's schema; that of its list is the same with `List` behind it */
export function pathsOf(kind: Kind, version: string, schema: string): Json {
  const root = kind.group === '' ? `/api/${version}` : `/apis/${kind.group}/${version}`;
  const collection = `${root}${kind.namespaced ? '/namespaces/{namespace}' : ''}/${kind.plural}`;
  const scope = kind.namespaced ? [place('namespace', 'Namespace of the resources.')] : [];
  const operation = operationsOf(kind, version, schema);
  return {
    ...(kind.namespaced ? { [`${root}/${kind.plural}`]: { get: operation('list', 'ForAllNamespaces') } } : {}),
    [collection]: { parameters: scope, get: operation('list'), post: operation('post', '', BODIES) },
    [`${collection}/{name}`]: {
      parameters: [...scope, place('name', `Name of the ${kind.kind}.`)],
      get: operation('get'),
      put: operation('put', '', BODIES),
      patch: operation('patch', '', PATCHES),
      delete: operation('delete'),
    },
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
} as const;

function operationsOf(kind: Kind, version: string, schema: string) {
  const group = kind.group === '' ? 'core' : kind.group.replace(/\.k8s\.io$/, '');
  const camel = [...group.split('.'), version].map((part) => part[0]?.toUpperCase() + part.slice(1)).join('');
  return (action: Action, suffix = '', accepts: readonly string[] = []): Json => ({
    operationId: `${NAMES[action]}${camel}${kind.namespaced && !suffix ? 'Namespaced' : ''}${kind.kind}${suffix}`,
    'x-kubernetes-action': action,
    'x-kubernetes-group-version-kind': { group: kind.group, version, kind: kind.kind },
    parameters: Object.entries(parametersOf(action)).map(([name, says]) => query(name, says)),
    ...(accepts.length > 0 ? { requestBody: body(action, accepts, schema) } : {}),
    responses: responses(action, schema),
  });
}

function parametersOf(action: Action): Readonly<Record<string, string>> {
  if (action === 'list') return LIST;
  if (action === 'delete') return { dryRun: WRITE.dryRun };
  return action === 'get' ? {} : WRITE;
}

function body(action: Action, accepts: readonly string[], schema: string): Json {
  const content = action === 'patch' ? {} : reference(schema);
  return { content: Object.fromEntries(accepts.map((type) => [type, { schema: content }])), required: true };
}

function responses(action: Action, schema: string): Json {
  const answer = (description: string, name: string) => ({
    description,
    content: { 'application/json': { schema: reference(name) } },
  });
  const found = action === 'list' ? `${schema}List` : action === 'delete' ? STATUS : schema;
  return {
    [action === 'post' ? 201 : 200]: answer(action === 'post' ? 'Created' : 'OK', found),
    default: answer('What is wrong', STATUS),
  };
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
  [LIST_META]: {
    type: 'object',
    properties: { resourceVersion: text('Revision of the store, from which a watch can continue.') },
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
