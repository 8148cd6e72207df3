/** envoy.filters.http.grpc_stats: accepted because Istio lists it; it counts nothing here. */
import { GrpcStats } from '../../../../shared/xds/http-filters.ts';
import { defineFilter } from '../definition.ts';

export const grpcStats = defineFilter({
  type: 'envoy.extensions.filters.http.grpc_stats.v3.FilterConfig',
  schema: GrpcStats,
  create: () => undefined,
});
