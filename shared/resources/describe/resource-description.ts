/** A kind described whole, with what every resource has: apiVersion, kind and metadata. */

import type { Kind } from '../kind.ts';
import { Metadata } from '../meta.ts';
import { type Description, describe, type Field, fieldsOf, type ShapeOf } from './description.ts';

/** The schema of `metadata`, by its Kubernetes name. */
export function objectMeta(): ShapeOf<'object'> {
  return { type: 'object', fields: fieldsOf(describe(Metadata)), oneOfs: [], name: 'ObjectMeta' };
}

export function describeResource(kind: Kind, version: string): Description {
  const body = describe(kind.body).shape as ShapeOf<'object'>;
  const apiVersion = kind.group === '' ? version : `${kind.group}/${version}`;
  const fields = [
    text('apiVersion', `The version it is written in, as ${apiVersion}.`),
    text('kind', `The kind, ${kind.kind}.`),
    field('metadata', 'Name, namespace, labels, annotations.', objectMeta()),
    ...body.fields,
  ];
  return { text: kind.description, rules: [], shape: { type: 'object', fields, oneOfs: body.oneOfs } };
}

const text = (name: string, says: string) => field(name, says, { type: 'string', names: [], length: {} });

function field(name: string, says: string, shape: Description['shape']): Field {
  return { name, required: false, description: { text: says, rules: [], shape } };
}
