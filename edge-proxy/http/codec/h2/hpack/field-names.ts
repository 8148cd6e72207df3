/** What the encoder knows of a field's name: how it is written, and whether its values may enter the dynamic table. */
import { ByteBuffer } from '../byte-buffer.ts';
import { writeCompactString, writeInteger } from './primitives.ts';
import { LAST_STATIC, STATIC_NAMES, STATIC_VALUES } from './static-table.ts';

export interface FieldName {
  /** Lowest index of the name in the static table; 0: none. */
  readonly staticIndex: number;
  /** The static values; the nth has index `staticIndex + n`. */
  readonly staticValues: readonly string[];
  /** Numbers the names whose values may enter the dynamic table; -1: they may not. */
  readonly slot: number;
  /** No hop may index a value. */
  readonly secret: boolean;
  /** The first part of a literal that does not enter the table (RFC 7541 sections 6.2.2 and 6.2.3). */
  readonly literal: Uint8Array;
  /** The first part of a literal that enters it (section 6.2.1). */
  readonly indexingLiteral: Uint8Array;
}

/** A guess at one would be confirmed by the size of a block (section 7.1). */
const SECRETS = (
  'authorization proxy-authorization cookie set-cookie x-api-key x-auth-token x-csrf-token x-xsrf-token ' +
  'x-amz-security-token x-forwarded-access-token x-goog-iap-jwt-assertion dpop authentication-info ' +
  'proxy-authentication-info x-jwt-assertion x-access-token x-id-token'
).split(' ');

/**
 * Fields whose values are the same in many messages of a connection and are no secrets. Others never enter the table: a
 * path, a request id, a length or a client's address differs in each message, and an unknown field may be a secret.
 */
const INDEXED = (
  ':authority :method :scheme :status :protocol accept accept-charset accept-encoding accept-language accept-ranges ' +
  'access-control-allow-credentials access-control-allow-headers access-control-allow-methods ' +
  'access-control-allow-origin access-control-expose-headers access-control-max-age access-control-request-headers ' +
  'access-control-request-method allow alt-svc cache-control content-encoding content-language content-type date expect ' +
  'grpc-accept-encoding grpc-encoding grpc-status grpc-timeout origin pragma priority sec-fetch-dest sec-fetch-mode ' +
  'sec-fetch-site server strict-transport-security te trailer user-agent vary via x-content-type-options ' +
  'x-envoy-attempt-count x-envoy-decorator-operation x-envoy-expected-rq-timeout-ms x-envoy-peer-metadata ' +
  'x-envoy-peer-metadata-id x-forwarded-client-cert x-forwarded-host x-forwarded-port x-forwarded-proto ' +
  'x-frame-options x-xss-protection'
).split(' ');
export const SLOTS: number = INDEXED.length;

/** Whether values of a field are the same in many messages, and no secrets. */
export function repeats(name: string): boolean {
  return INDEXED.includes(name);
}

const names = new Map<string, FieldName>();
/** Names from peers are kept too. Bounded: a peer that sends ever new names fills it once. */
const MOST_NAMES = 1024;
const LONGEST_KEPT = 64;

for (const name of [...STATIC_NAMES.slice(1), ...INDEXED, ...SECRETS])
  if (!names.has(name)) names.set(name, describe(name));

/** @param name in lower case */
export function fieldName(name: string): FieldName {
  return names.get(name) ?? learn(name);
}

function learn(name: string): FieldName {
  const made = describe(name);
  // A copy of its own: part of a larger string would keep that in memory.
  if (names.size < MOST_NAMES && name.length <= LONGEST_KEPT) names.set(` ${name}`.slice(1), made);
  return made;
}

function describe(name: string): FieldName {
  const staticIndex = Math.max(STATIC_NAMES.indexOf(name, 1), 0);
  const secret = SECRETS.includes(name);
  const staticValues: string[] = [];
  if (staticIndex > 0 && !secret)
    for (let at = staticIndex; at <= LAST_STATIC && STATIC_NAMES[at] === name; at++)
      staticValues.push(STATIC_VALUES[at]!);
  return {
    staticIndex,
    staticValues,
    slot: INDEXED.indexOf(name),
    secret,
    literal: beginning(name, staticIndex, secret ? 0x10 : 0, 4),
    indexingLiteral: beginning(name, staticIndex, 0x40, 6),
  };
}

function beginning(name: string, staticIndex: number, pattern: number, prefix: number): Uint8Array {
  const out = new ByteBuffer();
  writeInteger(out, pattern, prefix, staticIndex);
  if (staticIndex === 0) writeCompactString(out, name);
  return out.bytes.slice(0, out.length);
}
