/** envoy.filters.http.grpc_web */
import { GrpcWeb } from '../../../../shared/xds/http-filters.ts';
import { defineFilter } from '../definition.ts';
import { createGrpcWebFilter } from './filter.ts';

export const grpcWeb = defineFilter({
  type: 'envoy.extensions.filters.http.grpc_web.v3.GrpcWeb',
  schema: GrpcWeb,
  create: (_, { env }) => createGrpcWebFilter(env.stats),
});
