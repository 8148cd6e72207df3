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
import { HeaderMap } from '../../message/header-map.ts';
import type { FilterEnv } from '../definition.ts';
import { compileChoice, type HeaderChoice, shownHeaders } from './headers.ts';
import type { AuthorizationService, Question } from './service.ts';
import { type DynamicMetadata, type HeaderMutation, NO_ANSWER, type Verdict } from './verdict.ts';

/** Names headers that are taken off the request; it goes nowhere itself. */
const TO_REMOVE = 'x-envoy-auth-headers-to-remove';
/** A refusal shows a client these besides those of the list (Envoy's toClientMatchers). */
const ALWAYS_SHOWN: ReadonlySet<string> = new Set(['content-length', 'www-authenticate', 'location']);
/** Longest answer: it is kept whole. */
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
  return {
    async check({ context, maxBodyBytes }: Question): Promise<Verdict> {
      const { request, requestBody: body, signal } = context;
      const headers = new HeaderMap();
      for (const [key, value] of shownHeaders(request, shows, body, maxBodyBytes)) headers.append(key, value, key);
      for (const { key, format } of added) headers.set(key, format(request));
      const head = {
        method: request.method,
        path: pathOverride !== '' ? pathOverride : `${pathPrefix}${request.path}`,
        authority: request.authority,
        headers,
      };
      const bytes = body && body.bytes > 0 ? joined(body.chunks, body.bytes).subarray(0, maxBodyBytes) : undefined;
      try {
        const options = { timeoutMs, signal, maxBodyBytes: MAX_ANSWER_BYTES, repeatable: true };
        const answer = await env.call.http(cluster, head, bytes, options);
        return judge(answer.status, answer.headers, answer.body);
      } catch {
        return NO_ANSWER;
      }
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

type Judge = (status: number, headers: HeaderMap, body: Uint8Array) => Verdict;

function compileJudge(lists: NonNullable<HttpService['authorizationResponse']>, path: string): Judge {
  const none: HeaderChoice = () => false;
  const choice = (field: keyof typeof lists) => compileChoice(lists[field], `${path}.${field}`);
  const toUpstream = choice('allowedUpstreamHeaders') ?? none;
  const appendedUpstream = choice('allowedUpstreamHeadersToAppend') ?? none;
  const onSuccess = choice('allowedClientHeadersOnSuccess') ?? none;
  const toMetadata = choice('dynamicMetadataFromHeaders') ?? none;
  const listed = choice('allowedClientHeaders');
  const shown: HeaderChoice = listed ? (key) => ALWAYS_SHOWN.has(key) || listed(key) : () => true;
  return (status, headers, body) => {
    // As in Envoy, a server error is no verdict.
    if (status >= 500) return NO_ANSWER;
    const headersToRemove = namesIn(headers);
    headers.remove(TO_REMOVE);
    const metadata = metadataOf(headers, toMetadata);
    if (status !== 200) return { kind: 'denied', status, body, headers: denialHeaders(headers, shown), metadata };
    const changes: HeaderMutation[] = [];
    const appended: HeaderMutation[] = [];
    const responseHeaders: HeaderMutation[] = [];
    each(headers, (key, value) => {
      if (toUpstream(key)) changes.push({ key, value, action: 'overwrite' });
      if (appendedUpstream(key)) appended.push({ key, value, action: 'append' });
      if (onSuccess(key)) responseHeaders.push({ key, value, action: 'append' });
    });
    return {
      kind: 'allowed',
      headers: [...changes, ...appended],
      headersToRemove,
      responseHeaders,
      queryToSet: [],
      queryToRemove: [],
      metadata,
    };
  };
}

function denialHeaders(headers: HeaderMap, shown: HeaderChoice): HeaderMutation[] {
  const out: HeaderMutation[] = [];
  each(headers, (key, value) => {
    if (shown(key)) out.push({ key, value, action: 'append' });
  });
  return out;
}

function namesIn(headers: HeaderMap): string[] {
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
