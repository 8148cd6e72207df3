/** envoy.filters.http.wasm. Modules are not run here: a plugin acts as its failure policy says of one that fails. */
import { FAILED_CLOSED, failsClosed, Wasm } from '../../../../shared/xds/filters/wasm.ts';
import type { LocalReply } from '../../request/request-context.ts';
import { defineFilter } from '../definition.ts';
import type { FilterHooks } from '../hooks.ts';

/** Envoy's answer where a plugin has no virtual machine and fails closed. */
const UNAVAILABLE: LocalReply = { status: 503, body: '', details: FAILED_CLOSED };
const REFUSES: FilterHooks = { onRequestHead: () => UNAVAILABLE, stillAllows: () => false };

export const wasm = defineFilter({
  type: 'envoy.extensions.filters.http.wasm.v3.Wasm',
  schema: Wasm,
  create: ({ config = {} }, { env }) => {
    const closed = failsClosed(config);
    env.warn?.(
      `Wasm plugin ${config.name ?? ''} is not run: ${closed ? 'its requests are answered 503' : 'requests pass without it'}`,
    );
    return closed ? REFUSES : undefined;
  },
});
