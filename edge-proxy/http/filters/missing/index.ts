/** A filter that this proxy does not have (shared/xds/filters/missing.ts): its requests are answered 503. */
import { MISSING_DETAILS, MISSING_HTTP_TYPE, Missing } from '../../../../shared/xds/filters/missing.ts';
import type { LocalReply } from '../../request/request-context.ts';
import { defineFilter } from '../definition.ts';
import type { FilterHooks } from '../hooks.ts';

const UNAVAILABLE: LocalReply = { status: 503, body: '', details: MISSING_DETAILS };
const REFUSES: FilterHooks = { onRequestHead: () => UNAVAILABLE, stillAllows: () => false };

export const missing = defineFilter({
  type: MISSING_HTTP_TYPE,
  schema: Missing,
  create: ({ filter, reason }, { env }) => {
    env.warn?.(`HTTP filter ${filter} is not run (${reason}): its requests are answered 503`);
    return REFUSES;
  },
});
