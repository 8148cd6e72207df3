/** tcp_proxy: where bytes go, when a connection ends and why, as its access log and its listener's tell. */
import { any, at, type Json, listener, manager, prefix, say, staticCluster } from '../../harness/bootstrap-parts.ts';
import type { StreamCase } from '../compare-tcp.ts';
import type { Theme } from './themes.ts';

const network = (type: string, fields: Json): Json => ({
  name: `envoy.filters.network.${type.split('.')[0]}`,
  typed_config: any(`filters.network.${type}`, { stat_prefix: 'streams', ...fields }),
});
const log = (name: string) => [
  {
    name: 'stdout',
    typed_config: any('access_loggers.stream.v3.StdoutAccessLog', {
      log_format: {
        json_format: {
          case: name,
          code: '%RESPONSE_CODE%',
          flags: '%RESPONSE_FLAGS%',
          long: '%RESPONSE_FLAGS_LONG%',
          details: '%RESPONSE_CODE_DETAILS%',
          ended: '%CONNECTION_TERMINATION_DETAILS%',
          failure: '%UPSTREAM_TRANSPORT_FAILURE_REASON%',
          received: '%BYTES_RECEIVED%',
          sent: '%BYTES_SENT%',
          host: '%UPSTREAM_HOST%',
          remote: '%UPSTREAM_REMOTE_ADDRESS% %UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% %UPSTREAM_REMOTE_PORT%',
          cluster: '%UPSTREAM_CLUSTER%',
          raw: '%UPSTREAM_CLUSTER_RAW%',
          attempts: '%UPSTREAM_REQUEST_ATTEMPT_COUNT%',
          protocol: '%PROTOCOL%',
          method: '%REQ(:METHOD)%',
          authority: '%REQ(:AUTHORITY)%',
          route: '%ROUTE_NAME%',
          sni: '%REQUESTED_SERVER_NAME%',
          client: '%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% %DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%',
          peer: '%DOWNSTREAM_PEER_URI_SAN% %DOWNSTREAM_PEER_SUBJECT%',
        },
      },
    }),
  },
];
const proxyTo = (name: string, fields: Json) => network('tcp_proxy.v3.TcpProxy', { access_log: log(name), ...fields });
const streams = (name: string, filters: Json[], more: Json = {}): Json => ({
  name,
  address: at(0),
  filter_chains: [{ name: 'only', filters }],
  ...more,
});
const limit = (max_connections: number, more: Json = {}) =>
  network('connection_limit.v3.ConnectionLimit', { max_connections, ...more });
const deny = network('rbac.v3.RBAC', {
  rules: { action: 'DENY', policies: { 'no[one]': { permissions: [{ any: true }], principals: [{ any: true }] } } },
});

const plain: Record<string, Json> = {
  'tcp-plain': { cluster: 'tunnel' },
  'tcp-client-ends': { cluster: 'tunnel', idle_timeout: '0.6s' },
  'tcp-client-resets': { cluster: 'tunnel' },
  'tcp-weighted': {
    weighted_clusters: {
      clusters: [
        { name: 'tunnel', weight: 1 },
        { name: 'tunnel', weight: 3 },
      ],
    },
  },
  'tcp-idle': { cluster: 'tunnel', idle_timeout: '0.6s' },
  'tcp-idle-silent': { cluster: 'tunnel', idle_timeout: '0.3s' },
  'tcp-duration': { cluster: 'tunnel', max_downstream_connection_duration: '0.6s' },
  'tcp-dead': { cluster: 'dead' },
  'tcp-dead-thrice': { cluster: 'dead', max_connect_attempts: 3 },
  'tcp-empty': { cluster: 'empty' },
  'tcp-missing': { cluster: 'missing' },
  'tcp-full': { cluster: 'no-connections' },
  'tcp-by-source': { cluster: 'tunnel', hash_policy: [{ source_ip: {} }] },
};

const cases: StreamCase[] = [
  ...['tcp-plain', 'tcp-weighted', 'tcp-by-source', 'tcp-long'].map((id) => ({
    id,
    send: `${id === 'tcp-long' ? 'x'.repeat(200_000) : 'hello'} bye`,
  })),
  { id: 'tcp-client-ends', send: 'abc', after: { bytes: 3, act: 'end' } },
  { id: 'tcp-client-resets', send: 'abc', after: { bytes: 3, act: 'destroy' } },
  ...['tcp-idle', 'tcp-duration', 'tcp-dead', 'tcp-dead-thrice', 'tcp-empty', 'tcp-missing', 'tcp-full'].map((id) => ({
    id,
    send: 'hello',
  })),
  { id: 'tcp-idle-silent', send: '' },
  { id: 'tcp-denied', send: 'hello', logs: ['tcp-denied', 'tcp-denied-listener'] },
  { id: 'tcp-limited', send: 'hello bye', beside: 1, logs: ['tcp-limited-listener', 'tcp-limited'] },
  { id: 'tcp-limited-not', send: 'hello bye', beside: 1 },
  { id: 'tcp-limit-off', send: 'hello bye', beside: 1 },
  { id: 'tcp-of-listener', send: 'hello bye', logs: ['tcp-of-listener', 'tcp-of-listener-listener'] },
  { id: 'tcp-http', send: 'GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n', logs: ['tcp-http-listener'] },
  { id: 'tcp-http-silent', send: '', after: { bytes: 0, act: 'end' }, logs: ['tcp-http-silent-listener'] },
  { id: 'tcp-no-chain', send: 'hello', logs: ['tcp-no-chain-listener'] },
];

const said = [{ name: 'said', domains: ['*'], routes: [{ ...prefix('/'), ...say('said') }] }];
const ofListener = (name: string) => ({ access_log: log(`${name}-listener`) });
const bytes = (name: string) => proxyTo(name, { cluster: 'tunnel' });

export const tcpStreams: Theme = {
  listeners: [
    ...Object.entries(plain).map(([name, fields]) => streams(name, [proxyTo(name, fields)])),
    streams('tcp-long', [bytes('tcp-long')]),
    streams('tcp-denied', [deny, bytes('tcp-denied')], ofListener('tcp-denied')),
    streams('tcp-limited', [limit(1), bytes('tcp-limited')], ofListener('tcp-limited')),
    streams('tcp-limited-not', [limit(2), bytes('tcp-limited-not')]),
    streams('tcp-limit-off', [
      limit(1, { runtime_enabled: { default_value: false, runtime_key: 'none' } }),
      bytes('tcp-limit-off'),
    ]),
    streams('tcp-of-listener', [bytes('tcp-of-listener')], ofListener('tcp-of-listener')),
    ...['tcp-http', 'tcp-http-silent'].map((name) => ({
      ...listener(name, manager([], [], {}, said)),
      ...ofListener(name),
    })),
    {
      name: 'tcp-no-chain',
      address: at(0),
      ...ofListener('tcp-no-chain'),
      filter_chains: [{ filter_chain_match: { source_ports: [1] }, filters: [bytes('tcp-no-chain')] }],
    },
  ],
  clusters: (upstreams) => [
    staticCluster('no-connections', upstreams.bytes, { circuit_breakers: { thresholds: [{ max_connections: 0 }] } }),
  ],
  cases: [],
  streams: cases,
};
