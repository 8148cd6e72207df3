/** The subresource `history` in OpenAPI. */
import type { Json } from './openapi-schema.ts';

const HISTORY = 'dev.tulle.history.v1.ResourceHistory';
const REFERENCE = { $ref: `#/components/schemas/${HISTORY}` };

/** @param operation that reads the resource, with what is said when it fails @param schema name of the kind's schema */
export function historyOperation(operation: Json, schema: string): Json {
  const found = { anyOf: [REFERENCE, { $ref: `#/components/schemas/${schema}` }] };
  const { default: failure } = operation['responses'] as Json;
  const revision = {
    ...{ name: 'revision', in: 'query', schema: { type: 'string', uniqueItems: true } },
    description: 'A revision that is kept: the resource as that write left it. Default: the list of revisions.',
  };
  const ok = { description: 'OK', content: { 'application/json': { schema: found } } };
  return { ...operation, parameters: [revision], responses: { 200: ok, default: failure } };
}

const text = (description: string) => ({ type: 'string', description });

export const historySchemas: Readonly<Record<string, Json>> = {
  [HISTORY]: {
    type: 'object',
    properties: {
      apiVersion: text('history.tulle.dev/v1.'),
      kind: text('ResourceHistory.'),
      metadata: {
        type: 'object',
        properties: { name: text('Of the resource.'), namespace: text('Of the resource.') },
        description: 'Which resource.',
      },
      revisions: {
        type: 'array',
        description: 'What creations, updates and deletions left, newest first.',
        items: {
          type: 'object',
          properties: {
            revision: { type: 'integer', format: 'int64', description: 'The resourceVersion that the write gave.' },
            time: text('When, in RFC 3339.'),
            operation: text('Create, Update or Delete.'),
            user: text('Name of the user; absent: the control plane itself.'),
            fieldManager: text('The field manager of the request.'),
          },
        },
      },
    },
    required: ['revisions'],
  },
};
