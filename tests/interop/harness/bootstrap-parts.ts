/** Pieces the shared bootstrap is written with: xDS in its JSON form, snake_case. */
const ANY = 'type.googleapis.com/envoy.extensions.';

export type Json = Record<string, unknown>;
export const any = (name: string, fields: object = {}) => ({ '@type': `${ANY}${name}`, ...fields });
export const filter = (name: string, fields: object = {}): Json => ({
  name: `envoy.filters.http.${name.split('.')[0]}`,
  typed_config: any(`filters.http.${name}`, fields),
});
export const percent = (numerator: number) => ({ numerator, denominator: 'HUNDRED' });
export const header = (key: string, value: string, action: string) => ({
  header: { key, value },
  append_action: action,
});
export const at = (port: number) => ({ socket_address: { address: '127.0.0.1', port_value: port } });
export const to = (cluster: string | undefined, more: object = {}) => ({
  route: { ...(cluster && { cluster }), ...more },
});
export const say = (text: string, status = 200) => ({ direct_response: { status, body: { inline_string: text } } });
export const prefix = (value: string, more: object = {}) => ({ match: { prefix: value, ...more } });

export const assignment = (cluster_name: string, port: number | undefined, hostname?: string) => ({
  cluster_name,
  endpoints:
    port === undefined ? [] : [{ lb_endpoints: [{ endpoint: { address: at(port), ...(hostname && { hostname }) } }] }],
});

export const staticCluster = (name: string, port: number | undefined, more: object = {}) => ({
  name,
  type: 'STATIC',
  connect_timeout: '10s',
  // Cases run side by side; the default of 3 retries at once is not what they are about.
  circuit_breakers: { thresholds: [{ max_retries: 1000 }] },
  load_assignment: assignment(name, port),
  ...more,
});

const accessLog = {
  name: 'stdout',
  typed_config: any('access_loggers.stream.v3.StdoutAccessLog', {
    log_format: {
      json_format: {
        case: '%REQ(X-CASE)%',
        code: '%RESPONSE_CODE%',
        flags: '%RESPONSE_FLAGS%',
        details: '%RESPONSE_CODE_DETAILS%',
        path: '%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%',
        host: '%REQ(:AUTHORITY)%',
        received: '%BYTES_RECEIVED%',
        sent: '%BYTES_SENT%',
        cluster: '%UPSTREAM_CLUSTER%',
      },
    },
  }),
};

export const manager = (routes: object[], filters: object[], more: object = {}, hosts: object[] = []) => ({
  name: 'envoy.filters.network.http_connection_manager',
  typed_config: any('filters.network.http_connection_manager.v3.HttpConnectionManager', {
    stat_prefix: 'interop',
    access_log: [accessLog],
    route_config: {
      name: 'local',
      validate_clusters: false,
      virtual_hosts: [
        ...hosts,
        { name: 'main', domains: ['main.test', 'main.test:*'], routes, include_request_attempt_count: true },
      ],
    },
    http_filters: [...filters, filter('router.v3.Router')],
    ...more,
  }),
});
export const listener = (name: string, hcm: object, transportSocket?: object) => ({
  name,
  address: at(0),
  filter_chains: [{ filters: [hcm], ...(transportSocket ? { transport_socket: transportSocket } : {}) }],
});
