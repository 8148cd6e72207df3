/**
 * Filters that use every seam at once, for filters.test.ts: one asks a service about the body of each request, one changes
 * the bodies of responses while they stream.
 */
import { type FilterHooks, type HttpFilter, REWRITE_BODY, StateSlot } from '../../edge-proxy/http/filters/hooks.ts';
import { HeaderMap } from '../../edge-proxy/http/message/header-map.ts';
import type { SideCall } from '../../edge-proxy/http/side-call/side-call.ts';

/** Longest body that is shown to the service. */
export const JUDGED_BYTES = 100_000;
const refused = { status: 403, body: 'refused', details: 'judged' };
const unjudged = { status: 503, body: 'not judged', details: 'judge_failed' };

function judge(call: SideCall): FilterHooks {
  const judged = new StateSlot<string>();
  return {
    onRequestHead: async (context) => {
      const { requestBody, request, signal } = context;
      if (!requestBody) return { buffer: JUDGED_BYTES, whenFull: 'reject' };
      const headers = new HeaderMap();
      headers.append('x-path', request.path);
      const body = new Uint8Array(requestBody.bytes);
      let at = 0;
      for (const chunk of requestBody.chunks) {
        body.set(chunk, at);
        at += chunk.length;
      }
      try {
        const head = { method: 'POST', path: '/judge', headers };
        const reply = await call.http('judge', head, body, { timeoutMs: 20_000, signal, maxBodyBytes: 1000 });
        if (reply.status !== 200) return refused;
        const by = reply.headers.get('x-judge') ?? '';
        request.headers.set('x-judged-by', by);
        context.set(judged, by);
        return undefined;
      } catch {
        return unjudged;
      }
    },
    onResponseHead: (context, { headers }) => {
      const by = context.get(judged);
      if (by !== undefined) headers.set('x-was-judged-by', by);
      return undefined;
    },
  };
}

/** Small letters of ASCII become capitals. */
const shout: FilterHooks = {
  onResponseHead: (_, { headers }) => (headers.get('x-shout') === 'yes' ? REWRITE_BODY : undefined),
  onResponseData: (context, bytes) => {
    if (context.request.responseHeaders?.get('x-shout') !== 'yes') return undefined;
    return bytes.map((byte) => (byte >= 0x61 && byte <= 0x7a ? byte - 0x20 : byte));
  },
};

export function testFilters(call: SideCall): HttpFilter[] {
  return [
    { name: 'judge', ...judge(call) },
    { name: 'shout', ...shout },
  ];
}
