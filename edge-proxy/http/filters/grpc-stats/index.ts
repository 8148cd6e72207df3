/** envoy.filters.http.grpc_stats */
import { GrpcStats } from '../../../../shared/xds/http-filters.ts';
import { defineFilter } from '../definition.ts';
import { compileGrpcStats } from './compile.ts';
import { createGrpcStatsFilter } from './filter.ts';

export const grpcStats = defineFilter({
  type: 'envoy.extensions.filters.http.grpc_stats.v3.FilterConfig',
  schema: GrpcStats,
  create: (config, { env }) => createGrpcStatsFilter(compileGrpcStats(config), env.stats),
});
