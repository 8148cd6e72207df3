/** Asks a service about each request, with its body up to a limit: it may change headers both ways, or deny. */
import { joined } from '../../../edge-proxy/http/codec/bytes.ts';
import {
  type BufferedBody,
  type FilterContext,
  type FilterHooks,
  type HeadAnswer,
  StateSlot,
} from '../../../edge-proxy/http/filters/hooks.ts';
import { HeaderMap } from '../../../edge-proxy/http/message/header-map.ts';
import type { CallReply, SideCall } from '../../../edge-proxy/http/side-call/side-call.ts';
import type { LocalReply } from '../../../edge-proxy/http/stream.ts';
import type { CheckConfig } from './compile.ts';

const failed: LocalReply = { status: 403, body: '', details: 'ext_authz_error', flag: 'UAEX' };
const OF_THE_CONNECTION = new Set(['connection', 'content-length', 'date', 'keep-alive', 'transfer-encoding']);

export function createCheck(config: CheckConfig, call: SideCall): FilterHooks {
  const forClient = new StateSlot<HeaderMap>();
  return {
    onRequestHead: (context) =>
      context.requestBody ? check(config, call, context, context.requestBody, forClient) : config.body,
    onResponseHead: (context, { headers }) => {
      const added = context.get(forClient);
      if (added) for (let i = 0; i < added.size; i++) headers.append(added.keys[i]!, added.values[i]!);
      return undefined;
    },
  };
}

async function check(
  { cluster, timeoutMs, body: { buffer } }: CheckConfig,
  call: SideCall,
  context: FilterContext,
  { chunks, bytes, complete }: BufferedBody,
  forClient: StateSlot<HeaderMap>,
): Promise<HeadAnswer> {
  const { request, signal } = context;
  const headers = request.headers.copy();
  headers.set('x-partial-body', String(!complete));
  const body = joined(chunks, bytes).subarray(0, buffer);
  const head = { method: request.method, path: `/check${request.path}`, authority: request.authority, headers };
  let reply: CallReply;
  try {
    reply = await call.http(cluster, head, body, { timeoutMs, signal, maxBodyBytes: 100_000 });
  } catch {
    return failed;
  }
  if (reply.status !== 200) return denial(reply);
  const added = new HeaderMap();
  for (const [key, value] of entries(reply.headers)) {
    if (key.startsWith('x-user-')) request.headers.set(key, value);
    else if (key === 'set-cookie') added.append(key, value);
  }
  context.set(forClient, added);
  return undefined;
}

function denial({ status, headers, body }: CallReply): LocalReply {
  const fields: Record<string, string[]> = {};
  for (const [key, value] of entries(headers)) if (!OF_THE_CONNECTION.has(key)) (fields[key] ??= []).push(value);
  return { status, body, headers: fields, details: 'ext_authz_denied', flag: 'UAEX' };
}

function entries(headers: HeaderMap): [string, string][] {
  return headers.keys.map((key, i) => [key, headers.values[i]!]);
}
