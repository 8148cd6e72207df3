/** The node that a caller says it is: bounded, in Istio's form, and the caller's own. */
import type { Node } from '../../shared/xds/core.ts';
import { keptNode } from '../compile/scope/node-metadata.ts';
import type { Caller } from './caller.ts';
import { badRequest, forbidden } from './resources/status.ts';
import { isObject } from './server/body.ts';

/** Of one node; far above what Istio's agent and Envoy send. */
const NODE_LIMITS = { characters: 64 * 1024, depth: 16, values: 4096 } as const;

/** A name of 253, its namespace and a domain, as DNS has them, and an address. */
const MAX_ID = 640;
const ID = /^[a-z]{1,16}~[0-9A-Fa-f:.]{0,45}~[A-Za-z0-9._-]+~[A-Za-z0-9._-]*$/;

/** C0, DEL, C1 and Unicode's line ends: a log or a terminal reads them as more than text. */
const CONTROL = /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/;

/**
 * Before anything is made of a body that holds a node. Other checks refuse what is no such body.
 * @throws ApiError 400 naming the limit
 */
export function checkNodeSize(body: unknown): void {
  if (isObject(body)) measure(body['node'], 0, { ...NODE_LIMITS });
}

function measure(value: unknown, depth: number, left: { characters: number; values: number }): void {
  left.values -= 1;
  if (left.values < 0) throw badRequest(`node: must not hold more than ${NODE_LIMITS.values} values`);
  if (typeof value === 'string') measureText(value, left);
  if (typeof value !== 'object' || value === null) return;
  if (depth === NODE_LIMITS.depth) throw badRequest(`node: must not be nested deeper than ${NODE_LIMITS.depth} levels`);
  for (const name in value) {
    measureText(name, left);
    measure((value as Record<string, unknown>)[name], depth + 1, left);
  }
}

function measureText(text: string, left: { characters: number }): void {
  left.characters -= text.length;
  if (left.characters < 0) throw badRequest(`node: must not exceed ${NODE_LIMITS.characters} characters`);
}

/**
 * The part of a node that is kept. A node must have the identity that its caller proved.
 * @throws ApiError 400 malformed, 403 not the caller's own
 */
export function callersNode(node: Node, caller: Caller & { kind: 'workload' }): Node {
  if (node.id.length > MAX_ID || !ID.test(node.id))
    throw badRequest(
      `node.id: must be type~ip~name.namespace~dns domain, of at most ${MAX_ID} letters, digits, ".", "-", "_" and ":"`,
    );
  const kept = keptNode(node);
  checkText(kept, 'node');
  const foreign = foreignNode(kept, caller);
  if (foreign) throw forbidden(foreign);
  return kept;
}

/** Whose a session of discovery is. One that was opened with a certificate cannot be continued with a token. */
export const ownerOf = ({ spiffeId, byToken }: Caller & { kind: 'workload' }): string =>
  byToken ? `${spiffeId} by token` : spiffeId;

/** @throws ApiError 400 naming the field */
function checkText(value: unknown, path: string): void {
  if (typeof value === 'string' && CONTROL.test(value))
    throw badRequest(`${path}: must not contain control characters`);
  if (typeof value !== 'object' || value === null) return;
  for (const [name, field] of Object.entries(value)) {
    checkText(name, path);
    checkText(field, `${path}.${name}`);
  }
}

/** @returns what is wrong */
function foreignNode(node: Node, caller: Caller & { kind: 'workload' }): string | undefined {
  const metadata = node.metadata ?? {};
  // The id identifies a proxy: with another namespace it would replace that namespace's proxy in proxy-status.
  if (!node.id.split('~')[2]?.endsWith(`.${caller.namespace}`))
    return `node.id: must be type~ip~name.${caller.namespace}~dns domain, the namespace of the caller's identity`;
  if (metadata['NAMESPACE'] !== caller.namespace)
    return `node.metadata.NAMESPACE: must be "${caller.namespace}", the namespace of the caller's identity`;
  if (metadata['SERVICE_ACCOUNT'] !== caller.serviceAccount)
    return `node.metadata.SERVICE_ACCOUNT: must be "${caller.serviceAccount}", the caller's service account`;
  return undefined;
}
