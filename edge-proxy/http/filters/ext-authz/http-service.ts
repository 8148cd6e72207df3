/**
 * Asks an authorization service over plain HTTP: it is sent a request like the client's, and 200 lets that pass
 * (envoyproxy.io: External Authorization, HttpService).
 */
import { FRAMING_HEADERS } from '../../../../shared/match/framing-headers.ts';
import type { HttpService, ListStringMatcher } from '../../../../shared/xds/filters/ext-authz.ts';
import { durationMs } from '../../../../shared/xds/message.ts';
import { ConfigError } from '../../../config-error.ts';
import { joined } from '../../codec/bytes.ts';
import { compileFormat, type Format } from '../../headers/compile-format.ts';
import type { HeaderMap } from '../../message/header-map.ts';
import { SideCallError } from '../../side-call/failure.ts';
import type { CallReply } from '../../side-call/side-call.ts';
import type { FilterEnv } from '../definition.ts';
import { compileChoice, type HeaderChoice, shownHeaders } from './headers.ts';
import type { AuthorizationService, Question } from './service.ts';
import {
  type Allowed,
  type DynamicMetadata,
  type HeaderAction,
  type HeaderMutation,
  NO_ANSWER,
  NOT_ASKABLE,
  type Verdict,
} from './verdict.ts';

/** Names headers that are taken off the request; it goes nowhere itself. */
const TO_REMOVE = 'x-envoy-auth-headers-to-remove';
/** A refusal shows a client these besides those of the list (Envoy's toClientMatchers). */
const ALWAYS_SHOWN: ReadonlySet<string> = new Set(['content-length', 'www-authenticate', 'location']);
/** Longest answer. */
const MAX_ANSWER_BYTES = 1024 * 1024;

export interface HttpServiceOptions {
  /** Of ExtAuthz; in its place the deprecated list of the service. */
  readonly allowedHeaders: ListStringMatcher | undefined;
  readonly disallowed: HeaderChoice | undefined;
}

/** Throws ConfigError. */
export function compileHttpService(
  config: HttpService,
  { allowedHeaders, disallowed }: HttpServiceOptions,
  env: Pick<FilterEnv, 'call' | 'now'>,
  path: string,
): AuthorizationService {
  const { serverUri, pathPrefix = '', pathOverride = '', authorizationRequest = {}, authorizationResponse } = config;
  const { cluster } = serverUri;
  const timeoutMs = durationMs(serverUri.timeout);
  if (pathPrefix !== '' && pathOverride !== '')
    throw new ConfigError(path, 'must not have both pathPrefix and pathOverride');
  for (const [field, value] of [
    ['pathPrefix', pathPrefix],
    ['pathOverride', pathOverride],
  ] as const)
    if (value !== '' && !/^\/[\x21-\x7e]*$/.test(value))
      throw new ConfigError(`${path}.${field}`, 'must begin with "/" and be a path');
  const listed = compileChoice(
    authorizationRequest.allowedHeaders ?? allowedHeaders,
    authorizationRequest.allowedHeaders ? `${path}.authorizationRequest.allowedHeaders` : 'allowedHeaders',
  );
  const shows: HeaderChoice = (key) =>
    (key === 'authorization' || listed?.(key) === true) && disallowed?.(key) !== true;
  const added = (authorizationRequest.headersToAdd ?? []).map(({ key, value = '' }, i) =>
    compileAddition(key, value, `${path}.authorizationRequest.headersToAdd[${i}]`, env),
  );
  const judge = compileJudge(authorizationResponse ?? {}, `${path}.authorizationResponse`);
  const verdictOf = (answer: CallReply): Verdict => {
    try {
      return judge(answer);
    } catch {
      return NO_ANSWER;
    }
  };
  return {
    check({ context, maxBodyBytes }: Question): Promise<Verdict> {
      const { request, requestBody: body, signal } = context;
      const headers = shownHeaders(request, shows, body, maxBodyBytes);
      for (const { key, format } of added) headers.set(key, format(request));
      const head = {
        method: request.method,
        path: pathOverride !== '' ? pathOverride : `${pathPrefix}${request.path}`,
        authority: request.authority,
        headers,
      };
      const bytes = body && body.bytes > 0 ? joined(body.chunks, body.bytes).subarray(0, maxBodyBytes) : undefined;
      const options = { timeoutMs, signal, maxBodyBytes: MAX_ANSWER_BYTES, repeatable: true, keepsBody };
      return env.call.http(cluster, head, bytes, options).then(verdictOf, noAnswer);
    },
  };
}

function compileAddition(
  name: string,
  value: string,
  path: string,
  { now }: Pick<FilterEnv, 'now'>,
): { key: string; format: Format } {
  const key = name.toLowerCase();
  if (!/^[!#$%&'*+\-.^_`|~0-9a-z]+$/.test(key)) throw new ConfigError(path, `"${name}" is no header name`);
  if (FRAMING_HEADERS.has(key) || key === 'host') throw new ConfigError(path, `"${name}" is decided by the proxy`);
  // The head of a request has no times that last: the wall clock does for both.
  return { key, format: compileFormat(value, `${path}.value`, { now, monotonicMs: now }) };
}

type Judge = (answer: CallReply) => Verdict;

/** Only that of a refusal reaches a client. */
const keepsBody = (status: number): boolean => status !== 200 && status < 500;
/** A client could choose requests that cannot be sent, such as a CONNECT, to go round the service. */
const noAnswer = (error: unknown): Verdict =>
  error instanceof SideCallError && error.reason === 'invalid_request' ? NOT_ASKABLE : NO_ANSWER;
const NO_MUTATIONS: readonly HeaderMutation[] = [];
const NO_NAMES: readonly string[] = [];
const NO_PARAMETERS: Allowed['queryToSet'] = [];

function compileJudge(lists: NonNullable<HttpService['authorizationResponse']>, path: string): Judge {
  const choice = (field: keyof typeof lists) => compileChoice(lists[field], `${path}.${field}`);
  const toUpstream = choice('allowedUpstreamHeaders');
  const appendedUpstream = choice('allowedUpstreamHeadersToAppend');
  const onSuccess = choice('allowedClientHeadersOnSuccess');
  const toMetadata = choice('dynamicMetadataFromHeaders');
  const listed = choice('allowedClientHeaders');
  const shown: HeaderChoice = listed ? (key) => ALWAYS_SHOWN.has(key) || listed(key) : () => true;
  return ({ status, headers, body }) => {
    // As in Envoy, a server error is no verdict.
    if (status >= 500) return NO_ANSWER;
    const headersToRemove = namesIn(headers);
    headers.remove(TO_REMOVE);
    const metadata = toMetadata && metadataOf(headers, toMetadata);
    if (status !== 200)
      return { kind: 'denied', status, body, headers: mutationsOf(headers, shown, 'append'), metadata };
    const changes = mutationsOf(headers, toUpstream, 'overwrite');
    const appended = mutationsOf(headers, appendedUpstream, 'append');
    return {
      kind: 'allowed',
      headers: appended.length === 0 ? changes : [...changes, ...appended],
      headersToRemove,
      responseHeaders: mutationsOf(headers, onSuccess, 'append'),
      queryToSet: NO_PARAMETERS,
      queryToRemove: NO_NAMES,
      metadata,
    };
  };
}

/** @param chosen undefined: none is */
function mutationsOf(
  { keys, values }: HeaderMap,
  chosen: HeaderChoice | undefined,
  action: HeaderAction,
): readonly HeaderMutation[] {
  if (chosen === undefined) return NO_MUTATIONS;
  let out: HeaderMutation[] | undefined;
  for (let i = 0; i < keys.length; i++) {
    const key = keys[i]!;
    if (chosen(key) && !FRAMING_HEADERS.has(key)) (out ??= []).push({ key, value: values[i]!, action });
  }
  return out ?? NO_MUTATIONS;
}

function namesIn(headers: HeaderMap): readonly string[] {
  if (!headers.has(TO_REMOVE)) return NO_NAMES;
  const names: string[] = [];
  each(headers, (key, value) => {
    if (key !== TO_REMOVE) return;
    for (const name of value.split(',')) if (name.trim() !== '') names.push(name.trim().toLowerCase());
  });
  return names;
}

function metadataOf(headers: HeaderMap, chosen: HeaderChoice): DynamicMetadata | undefined {
  let out: Record<string, string> | undefined;
  each(headers, (key, value) => {
    if (!chosen(key)) return;
    out ??= Object.create(null) as Record<string, string>;
    out[key] = value;
  });
  return out;
}

/** Fields of the connection of the answer are left out. */
function each({ keys, values }: HeaderMap, take: (key: string, value: string) => void): void {
  for (let i = 0; i < keys.length; i++) if (!FRAMING_HEADERS.has(keys[i]!)) take(keys[i]!, values[i]!);
}
