/** What is compared, one file a theme: listeners and clusters of the shared bootstrap, and the requests sent to them. */
import type { Json } from '../../harness/bootstrap-parts.ts';
import type { Case } from '../cases.ts';
import type { StreamCase } from '../compare-tcp.ts';
import { clients } from './theme-clients.ts';
import { connects } from './theme-connect.ts';
import { filters } from './theme-filters.ts';
import { grpc } from './theme-grpc.ts';
import { headers } from './theme-headers.ts';
import { internalHeaders } from './theme-internal.ts';
import { jwt } from './theme-jwt.ts';
import { jwtProviders } from './theme-jwt-providers.ts';
import { logs } from './theme-logs.ts';
import { mirrors } from './theme-mirrors.ts';
import { perRoute } from './theme-per-route.ts';
import { requestIds } from './theme-request-ids.ts';
import { routes } from './theme-routes.ts';
import { tcpStreams } from './theme-streams.ts';

/** The ports of the upstreams; `dead` is one that refuses. */
export interface Upstreams {
  echo: number;
  second: number;
  dead: number;
  /** One that sends back what it gets, without HTTP. */
  bytes: number;
  /** One that answers byte for byte as the request asks. */
  raw: number;
  /** The upstream of mirrors. */
  shadow: number;
}

export interface Theme {
  readonly listeners: readonly Json[];
  readonly clusters?: (upstreams: Upstreams) => readonly Json[];
  readonly cases: readonly Case[];
  readonly streams?: readonly StreamCase[];
}

export const THEMES: readonly Theme[] = [
  requestIds,
  mirrors,
  tcpStreams,
  logs,
  headers,
  perRoute,
  routes,
  connects,
  jwt,
  jwtProviders,
  clients,
  internalHeaders,
  grpc,
  filters,
];
