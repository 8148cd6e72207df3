/** envoy.filters.http.router: the end of every list. What forwards is http/router.ts; its options are the manager's. */
import { Router } from '../../../../shared/xds/http-filters.ts';
import { defineFilter } from '../definition.ts';

export const router = defineFilter({
  type: 'envoy.extensions.filters.http.router.v3.Router',
  schema: Router,
  create: () => undefined,
  terminal: true,
});
