/** The HTTP filters of this proxy. A new filter is a folder beside this file and a line here: docs/recipes.md. */
import { buffer } from './buffer/index.ts';
import { cors } from './cors/index.ts';
import type { FilterDefinition } from './definition.ts';
import { dynamicForwardProxy } from './dynamic-forward-proxy/index.ts';
import { extAuthz } from './ext-authz/index.ts';
import { fault } from './fault/index.ts';
import { grpcStats } from './grpc-stats/index.ts';
import { grpcWeb } from './grpc-web/index.ts';
import { headerMutation } from './header-mutation/index.ts';
import { istioStats } from './istio-stats/index.ts';
import { jwtAuthn } from './jwt-authn/index.ts';
import { localRatelimit } from './local-ratelimit/index.ts';
import { missing } from './missing/index.ts';
import { peerMetadata } from './peer-metadata/index.ts';
import { rbac } from './rbac/index.ts';
import { router } from './router/index.ts';
import { wasm } from './wasm/index.ts';

/** Their order has no meaning: filters run in the listener's. */
export const HTTP_FILTERS: readonly FilterDefinition[] = [
  buffer,
  cors,
  dynamicForwardProxy,
  extAuthz,
  fault,
  grpcStats,
  grpcWeb,
  headerMutation,
  istioStats,
  jwtAuthn,
  localRatelimit,
  missing,
  peerMetadata,
  rbac,
  router,
  wasm,
];
