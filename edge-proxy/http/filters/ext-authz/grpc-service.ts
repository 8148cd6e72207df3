/** Asks an authorization service over gRPC: envoy.service.auth.v3.Authorization/Check. */
import type { GrpcService } from '../../../../shared/xds/filters/ext-authz.ts';
import { durationMs } from '../../../../shared/xds/message.ts';
import { ConfigError } from '../../../config-error.ts';
import { isToken } from '../../codec/h1/fields.ts';
import { GRPC } from '../../grpc/status.ts';
import { HeaderMap } from '../../message/header-map.ts';
import type { CancelSignal } from '../../request/cancellation.ts';
import type { SideCall } from '../../side-call/side-call.ts';
import type { FilterEnv } from '../definition.ts';
import { type CheckForm, httpCheck } from './check-request.ts';
import { readCheckResponse } from './check-response.ts';
import type { AuthorizationService } from './service.ts';
import { NO_ANSWER, type Verdict } from './verdict.ts';

const METHOD = '/envoy.service.auth.v3.Authorization/Check';
const DEFAULT_TIMEOUT_MS = 200;
const MAX_ANSWER_BYTES = 1024 * 1024;

/** Resolves with `NO_ANSWER` where none comes; never rejects. */
export type AskGrpc = (check: Uint8Array, signal: CancelSignal) => Promise<Verdict>;

/** Throws ConfigError. */
export function compileAsk(config: GrpcService, call: SideCall, path: string): AskGrpc {
  const { envoyGrpc, timeout, initialMetadata = [] } = config;
  const { clusterName, authority } = envoyGrpc;
  const metadata = new HeaderMap();
  for (const [i, { key, value = '' }] of initialMetadata.entries()) {
    const at = `${path}.initialMetadata[${i}]`;
    if (!isToken(key)) throw new ConfigError(`${at}.key`, `"${key}" is no header name`);
    if (!/^[\x20-\x7e]*$/.test(value)) throw new ConfigError(`${at}.value`, 'must be printable ASCII');
    metadata.append(key.toLowerCase(), value);
  }
  const options = {
    timeoutMs: timeout === undefined ? DEFAULT_TIMEOUT_MS : durationMs(timeout),
    maxMessageBytes: MAX_ANSWER_BYTES,
    metadata,
    ...(authority && { authority }),
  };
  return async (check, signal) => {
    try {
      const reply = await call.unary(clusterName, METHOD, check, { ...options, signal });
      return reply.status === GRPC.OK && reply.response ? readCheckResponse(reply.response) : NO_ANSWER;
    } catch {
      return NO_ANSWER;
    }
  };
}

/** Throws ConfigError. */
export function compileGrpcService(
  config: GrpcService,
  form: CheckForm,
  env: Pick<FilterEnv, 'call' | 'now' | 'random'>,
  path: string,
): AuthorizationService {
  const ask = compileAsk(config, env.call, path);
  return {
    check: ({ context: { request, requestBody: body, signal }, maxBodyBytes, contextExtensions }) => {
      const id = String(Math.floor(env.random() * Number.MAX_SAFE_INTEGER));
      return ask(httpCheck(form, { request, body, maxBodyBytes, contextExtensions, time: env.now(), id }), signal);
    },
  };
}
