/** Header fields that only this mesh may say: which of a client's Envoy passes on, by where the client stands. */
import { listener, manager, prefix, to } from '../../harness/bootstrap-parts.ts';
import { one } from '../cases.ts';
import type { Theme } from './themes.ts';

/** Names of Envoy (source/common/http/headers.h), and what proxies say to each other; each with a value that it could have. */
const SENT: Readonly<Record<string, string>> = {
  'X-Envoy-Attempt-Count': '7',
  'X-Envoy-Decorator-Operation': 'forged',
  'X-Envoy-Degraded': 'true',
  'X-Envoy-Downstream-Service-Cluster': 'forged',
  'X-Envoy-Downstream-Service-Node': 'forged',
  'X-Envoy-Expected-Rq-Timeout-Ms': '7',
  'X-Envoy-External-Address': '9.9.9.9',
  'X-Envoy-Force-Trace': '1',
  'X-Envoy-Hedge-On-Per-Try-Timeout': 'true',
  'X-Envoy-Immediate-Health-Check-Fail': 'true',
  'X-Envoy-Internal': 'true',
  'X-Envoy-Ip-Tags': 'forged',
  'X-Envoy-Is-Timeout-Retry': 'true',
  'X-Envoy-Local-Overloaded': 'true',
  'X-Envoy-Max-Retries': '3',
  'X-Envoy-Original-Dst-Host': '10.0.0.9:80',
  'X-Envoy-Original-Host': 'forged.test',
  'X-Envoy-Original-Method': 'FORGED',
  'X-Envoy-Original-Path': '/forged',
  'X-Envoy-Original-Url': 'http://forged.test/',
  'X-Envoy-Overloaded': 'true',
  'X-Envoy-Peer-Metadata': 'forged',
  'X-Envoy-Peer-Metadata-Id': 'forged',
  'X-Envoy-RateLimited': 'true',
  'X-Envoy-Retriable-Header-Names': 'x-a',
  'X-Envoy-Retriable-Status-Codes': '503',
  'X-Envoy-Retry-Grpc-On': 'cancelled',
  'X-Envoy-Retry-On': '5xx',
  'X-Envoy-Upstream-Alt-Stat-Name': 'forged',
  'X-Envoy-Upstream-Canary': 'true',
  'X-Envoy-Upstream-Healthchecked-Cluster': 'forged',
  'X-Envoy-Upstream-Rq-Per-Try-Timeout-Ms': '900',
  'X-Envoy-Upstream-Rq-Timeout-Alt-Response': '1',
  'X-Envoy-Upstream-Rq-Timeout-Ms': '7000',
  'X-Envoy-Upstream-Service-Time': '7',
  'X-Envoy-Upstream-Stream-Duration-Ms': '7000',
  'X-Client-Trace-Id': 'forged',
  'X-Forwarded-Client-Cert': 'By=forged',
  'X-Forwarded-Host': 'forged.test',
  'X-Forwarded-Port': '7',
  'X-Forwarded-Proto': 'https',
};
const MORE = { 'X-Only-Inside': '1', 'x-only-inside': '2', 'X-Passed': '1' };
const inside = { internal_address_config: { cidr_ranges: [{ address_prefix: '10.0.0.0', prefix_len: 8 }] } };
const loopback = { internal_address_config: { cidr_ranges: [{ address_prefix: '127.0.0.0', prefix_len: 8 }] } };
const edge = { use_remote_address: true, skip_xff_append: true };

const echoed = [
  { ...prefix('/rewritten'), ...to('echo', { prefix_rewrite: '/other', host_rewrite_literal: 'other.test' }) },
  { ...prefix('/'), ...to('echo') },
];
const routes = (name: string) => ({
  name,
  internal_only_headers: ['x-only-inside'],
  validate_clusters: false,
  virtual_hosts: [{ name: 'main', domains: ['*'], routes: echoed }],
});

/** Listener -> its manager: an edge, a sidecar, and both for clients that are internal. */
const MANAGERS: Readonly<Record<string, object>> = {
  'internal-edge': edge,
  'internal-edge-hops': { ...edge, xff_num_trusted_hops: 1 },
  'internal-edge-inside': { ...edge, ...loopback },
  'internal-sidecar': {},
  'internal-sidecar-inside': inside,
};

export const internalHeaders: Theme = {
  listeners: Object.entries(MANAGERS).map(([name, more]) =>
    listener(name, manager([], [], { ...more, route_config: routes(name) })),
  ),
  cases: Object.keys(MANAGERS).flatMap((name) => [
    one(name)([name, '/a', { ...SENT, ...MORE }]),
    one(name)([`${name}-xff`, '/a', { ...SENT, ...MORE, 'X-Forwarded-For': '10.1.2.3' }]),
    one(name)([
      `${name}-rewritten`,
      '/rewritten',
      { 'X-Envoy-Original-Path': '/forged', 'X-Envoy-Original-Host': 'forged' },
    ]),
  ]),
};
