/** What is measured, and what it must reach. */
import {
  extAuthzBootstrap,
  plainBootstrap,
  sidecarBootstrap,
  type Target,
  tcpBootstrap,
  webSocketBootstrap,
} from './bootstrap.ts';
import type { LoadPlan } from './load.ts';
import type { PeerName } from './peers.ts';
import { ACCEPTS_TOKENS, BEARER } from './token.ts';
import type { Kind } from './upstreams.ts';

/** What one figure of CPU means. */
export type Unit = 'request' | 'message' | 'connection' | 'MB' | 'idle connection';

export interface Scenario {
  readonly name: string;
  readonly what: string;
  readonly unit: Unit;
  readonly upstream: { readonly kind: Kind; readonly bytes: number };
  readonly mutualTls: boolean;
  readonly bootstrap: (target: Target) => object;
  readonly mode: LoadPlan['mode'];
  readonly connections: number;
  /** Of HTTP/2: at a time on each connection. Default: 1. */
  readonly streams?: number;
  /** Of each request of HTTP/1.1. Default: none but Host. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Measured beside Tulle's runtimes. */
  readonly beside: readonly PeerName[];
  /** Latency at half of what Envoy can do, instead of cost at saturation. */
  readonly halfRate?: boolean;
}

const floors: readonly PeerName[] = ['floor-bun', 'floor-node', 'floor-deno'];
const http = { kind: 'http', bytes: 1024 } as const;
const http2 = { unit: 'request', mutualTls: false, mode: 'h2', connections: 4, streams: 16 } as const;
const besideHttp2: readonly PeerName[] = ['nginx', 'envoy'];
const plain = { unit: 'request', mutualTls: false, mode: 'http', connections: 32 } as const;

export const SCENARIOS: readonly Scenario[] = [
  {
    ...plain,
    name: 'plain',
    what: 'HTTP/1.1, 1 KB answers, one route',
    upstream: http,
    bootstrap: plainBootstrap,
    beside: [...floors, 'nginx', 'haproxy', 'envoy'],
  },
  {
    ...plain,
    name: 'sidecar',
    what: "a sidecar's whole config; nginx as a plain proxy",
    upstream: http,
    bootstrap: sidecarBootstrap,
    beside: ['nginx', 'envoy'],
  },
  {
    ...plain,
    name: 'ext-authz',
    what: "a sidecar's whole config, and an HTTP service asked about each request",
    upstream: http,
    bootstrap: extAuthzBootstrap,
    beside: ['envoy'],
  },
  {
    ...plain,
    name: 'jwt',
    what: "a sidecar's whole config and jwt_authn, the same token in each request",
    upstream: http,
    bootstrap: (target) => sidecarBootstrap(target, [ACCEPTS_TOKENS]),
    headers: BEARER,
    beside: ['envoy'],
  },
  {
    ...plain,
    name: 'mtls',
    what: "a sidecar's whole config, mTLS on both hops",
    upstream: http,
    mutualTls: true,
    bootstrap: sidecarBootstrap,
    beside: ['nginx', 'envoy'],
  },
  {
    ...plain,
    name: 'latency',
    what: "a sidecar's whole config at half of Envoy's saturation",
    upstream: http,
    bootstrap: sidecarBootstrap,
    beside: ['envoy'],
    halfRate: true,
  },
  {
    ...plain,
    name: 'body-64k',
    what: '64 KB answers, one route',
    upstream: { kind: 'http', bytes: 64 * 1024 },
    bootstrap: plainBootstrap,
    beside: [...floors, 'nginx', 'haproxy', 'envoy'],
  },
  {
    ...plain,
    name: 'body-1m',
    what: '1 MB answers, one route',
    upstream: { kind: 'http', bytes: 1024 * 1024 },
    bootstrap: plainBootstrap,
    beside: ['nginx', 'haproxy', 'envoy'],
  },
  {
    ...plain,
    name: 'websocket',
    what: 'WebSocket messages of 256 bytes, to and fro',
    unit: 'message',
    upstream: { kind: 'websocket', bytes: 256 },
    bootstrap: webSocketBootstrap,
    mode: 'websocket',
    beside: ['nginx', 'haproxy', 'envoy'],
  },
  {
    ...plain,
    name: 'tcp',
    what: 'tcp_proxy, one way, as fast as it goes',
    unit: 'MB',
    upstream: { kind: 'source', bytes: 0 },
    bootstrap: tcpBootstrap,
    mode: 'download',
    connections: 4,
    beside: ['haproxy', 'envoy'],
  },
  {
    ...plain,
    name: 'churn',
    what: 'a new mTLS connection for each request',
    unit: 'connection',
    upstream: http,
    mutualTls: true,
    bootstrap: sidecarBootstrap,
    mode: 'churn',
    connections: 8,
    beside: ['nginx', 'envoy'],
  },
  {
    ...plain,
    name: 'idle',
    what: '1000 idle mTLS connections; memory of each',
    unit: 'idle connection',
    upstream: http,
    mutualTls: true,
    bootstrap: sidecarBootstrap,
    mode: 'idle',
    connections: 1000,
    beside: ['nginx', 'envoy'],
  },
  {
    ...http2,
    name: 'h2',
    what: 'h2c, 1 KB answers, 4 connections x 16 streams; nginx by grpc_pass',
    upstream: { kind: 'h2', bytes: 1024 },
    bootstrap: plainBootstrap,
    beside: besideHttp2,
  },
  {
    ...http2,
    name: 'h2-sidecar',
    what: "a sidecar's whole config, h2c; nginx as a plain proxy",
    upstream: { kind: 'h2', bytes: 1024 },
    bootstrap: sidecarBootstrap,
    beside: besideHttp2,
  },
  {
    ...http2,
    name: 'h2-mtls',
    what: "a sidecar's whole config, mTLS on both hops, gRPC unary of 1 KB",
    upstream: { kind: 'grpc', bytes: 1024 },
    mutualTls: true,
    mode: 'grpc',
    bootstrap: sidecarBootstrap,
    beside: besideHttp2,
  },
  {
    ...http2,
    name: 'grpc-stream',
    what: 'gRPC messages of 128 bytes to and fro on streams that stay, 4 connections x 16 streams',
    unit: 'message',
    upstream: { kind: 'grpc-stream', bytes: 128 },
    mode: 'grpc-stream',
    bootstrap: plainBootstrap,
    beside: besideHttp2,
  },
  {
    ...http2,
    name: 'h2-down',
    what: 'a response body without end on each of 4 connections, h2c',
    unit: 'MB',
    upstream: { kind: 'h2-source', bytes: 0 },
    mode: 'h2-down',
    bootstrap: plainBootstrap,
    beside: besideHttp2,
  },
  {
    ...http2,
    name: 'h2-up',
    what: 'a request body without end on each of 4 connections, h2c',
    unit: 'MB',
    upstream: { kind: 'h2-sink', bytes: 0 },
    mode: 'h2-up',
    bootstrap: plainBootstrap,
    beside: besideHttp2,
  },
];

export type Figure = 'cpuUs' | 'p99Us' | 'idleMb' | 'perConnectionKb';

/** A bound on a figure of a runtime, by itself or as a ratio to a peer in the same run. */
export interface Aim {
  readonly scenario: string;
  readonly figure: Figure;
  readonly against: PeerName | undefined;
  readonly limit: Readonly<Partial<Record<'bun' | 'node' | 'deno', number>>>;
}

export const AIMS: readonly Aim[] = [
  { scenario: 'plain', figure: 'cpuUs', against: 'nginx', limit: { bun: 1.05, node: 1.3, deno: 1.45 } },
  { scenario: 'sidecar', figure: 'cpuUs', against: 'envoy', limit: { bun: 0.45, node: 0.55, deno: 0.65 } },
  { scenario: 'sidecar', figure: 'cpuUs', against: 'nginx', limit: { bun: 1.3, node: 1.6, deno: 1.8 } },
  { scenario: 'mtls', figure: 'cpuUs', against: 'envoy', limit: { bun: 0.5, node: 0.7, deno: 0.75 } },
  { scenario: 'latency', figure: 'p99Us', against: 'envoy', limit: { bun: 1, node: 1.2, deno: 1.5 } },
  { scenario: 'sidecar', figure: 'idleMb', against: undefined, limit: { bun: 45, node: 75, deno: 80 } },
  { scenario: 'h2', figure: 'cpuUs', against: 'nginx', limit: { bun: 1.1, node: 1.35, deno: 1.5 } },
  { scenario: 'h2-sidecar', figure: 'cpuUs', against: 'envoy', limit: { bun: 0.8, node: 1, deno: 1.2 } },
  { scenario: 'h2-mtls', figure: 'cpuUs', against: 'envoy', limit: { bun: 0.8, node: 1.1, deno: 1.2 } },
  // Messages per CPU second at least 1.2, 0.9 and 0.8 times Envoy's.
  { scenario: 'grpc-stream', figure: 'cpuUs', against: 'envoy', limit: { bun: 1 / 1.2, node: 1 / 0.9, deno: 1 / 0.8 } },
  { scenario: 'idle', figure: 'perConnectionKb', against: 'envoy', limit: { bun: 1 } },
];
