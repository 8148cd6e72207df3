/** envoy.service.auth.v3.CheckResponse (external_auth.proto) as a verdict. */
import { readFields, readText } from '../../../protobuf/reader.ts';
import { readStruct } from '../../../protobuf/struct.ts';
import { latin1 } from '../../codec/bytes.ts';
import {
  type Allowed,
  type DynamicMetadata,
  type HeaderAction,
  type HeaderMutation,
  INVALID,
  type Verdict,
} from './verdict.ts';

const NONE = new Uint8Array(0);
/** HeaderValueOption.append_action */
const ACTIONS: readonly HeaderAction[] = ['append', 'add-if-absent', 'overwrite', 'overwrite-if-exists'];
const PERMISSION_DENIED = 403;

/** @throws Error where it is no such message */
export function readCheckResponse(message: Uint8Array): Verdict {
  let code = 0;
  let answer: { readonly field: number; readonly content: Uint8Array } | undefined;
  let metadata: DynamicMetadata | undefined;
  readFields(message, (field, bytes) => {
    if (field === 1) code = statusCode(bytes);
    // A oneof: the last counts.
    else if (field === 2 || field === 3 || field === 5) answer = { field, content: bytes };
    else if (field === 4) metadata = readStruct(bytes);
  });
  const chosen = answer as { field: number; content: Uint8Array } | undefined;
  const contentOf = (field: number) => (chosen?.field === field ? chosen.content : undefined);
  if (code === 0) return allowed(contentOf(3) ?? NONE, metadata);
  const failed = contentOf(5);
  return failed ? refused('failed', failed, metadata) : refused('denied', contentOf(2) ?? NONE, metadata);
}

function statusCode(status: Uint8Array): number {
  let code = 0;
  readFields(status, (field, _, value) => {
    if (field === 1) code = value;
  });
  return code;
}

function allowed(message: Uint8Array, outer: DynamicMetadata | undefined): Verdict {
  const headers: HeaderMutation[] = [];
  const responseHeaders: (HeaderMutation | undefined)[] = [];
  const headersToRemove: string[] = [];
  const queryToSet: [string, string][] = [];
  const queryToRemove: string[] = [];
  let metadata = outer;
  readFields(message, (field, bytes) => {
    if (field === 2) headers.push(requestHeader(bytes));
    // Deprecated, and as in Envoy it takes the place of the response's.
    else if (field === 3) metadata = readStruct(bytes);
    else if (field === 5) headersToRemove.push(readText(bytes).toLowerCase());
    else if (field === 6) responseHeaders.push(responseHeader(bytes));
    else if (field === 7) queryToSet.push(keyAndValue(bytes));
    else if (field === 8) queryToRemove.push(readText(bytes));
  });
  if (responseHeaders.includes(undefined)) return INVALID;
  const joins = (one: HeaderMutation) => one.action === 'join';
  return {
    kind: 'allowed',
    headers: [...headers.filter((one) => !joins(one)), ...headers.filter(joins)],
    headersToRemove,
    responseHeaders: responseHeaders as HeaderMutation[],
    queryToSet,
    queryToRemove,
    metadata,
  } satisfies Allowed;
}

function refused(kind: 'denied' | 'failed', message: Uint8Array, metadata: DynamicMetadata | undefined): Verdict {
  const headers: HeaderMutation[] = [];
  let status = 0;
  let body: Uint8Array = NONE;
  readFields(message, (field, bytes) => {
    if (field === 1) status = statusCode(bytes);
    else if (field === 2) headers.push(answerHeader(bytes));
    else if (field === 3) body = bytes;
  });
  const made = { body, headers, metadata };
  // No answer can be sent with another status.
  const sent = status >= 200 && status <= 599 ? status : undefined;
  return kind === 'denied' ? { kind, status: sent ?? PERMISSION_DENIED, ...made } : { kind, status: sent, ...made };
}

interface HeaderOption {
  readonly key: string;
  readonly value: string;
  /** Deprecated. */
  readonly append: boolean | undefined;
  readonly action: number;
}

/** envoy.config.core.v3.HeaderValueOption */
function headerOption(message: Uint8Array): HeaderOption {
  let [key, value] = ['', ''];
  let append: boolean | undefined;
  let action = 0;
  readFields(message, (field, bytes, varint) => {
    if (field === 1) [key, value] = keyAndValue(bytes);
    else if (field === 2) append = boolValue(bytes);
    else if (field === 3) action = varint;
  });
  return { key: key.toLowerCase(), value, append, action };
}

/** As in Envoy 1.40, `append` alone counts: a header of the client is replaced unless the service says otherwise. */
function requestHeader(message: Uint8Array): HeaderMutation {
  const { key, value, append } = headerOption(message);
  return { key, value, action: append ? 'join' : 'overwrite' };
}

/** @returns undefined: an action that there is not */
function responseHeader(message: Uint8Array): HeaderMutation | undefined {
  const { key, value, append, action: number } = headerOption(message);
  const action = append === undefined ? ACTIONS[number] : append ? 'append' : 'overwrite';
  return action && { key, value, action };
}

/** Of an answer to the client: several fields of a name are several, as `Set-Cookie` needs it. */
function answerHeader(message: Uint8Array): HeaderMutation {
  const { key, value } = headerOption(message);
  return { key, value, action: 'append' };
}

/** google.protobuf.BoolValue */
function boolValue(message: Uint8Array): boolean {
  let held = false;
  readFields(message, (field, _, value) => {
    if (field === 1) held = value !== 0;
  });
  return held;
}

/** HeaderValue and QueryParameter; as text of the wire: a character a byte. */
function keyAndValue(message: Uint8Array): [string, string] {
  const out: [string, string] = ['', ''];
  readFields(message, (field, bytes) => {
    if (field === 1 || field === 2) out[field - 1] = latin1(bytes, 0, bytes.length);
  });
  return out;
}
