/** envoy.filters.http.dynamic_forward_proxy: the cluster resolves the names itself; Envoy needs the filter as well. */
import { DynamicForwardProxy } from '../../../../shared/xds/http-filters.ts';
import { defineFilter } from '../definition.ts';

export const dynamicForwardProxy = defineFilter({
  type: 'envoy.extensions.filters.http.dynamic_forward_proxy.v3.FilterConfig',
  schema: DynamicForwardProxy,
  create: () => undefined,
});
