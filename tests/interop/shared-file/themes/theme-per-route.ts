/** What routes, virtual hosts and tables say in the place of a filter's own config: rbac, fault, cors, buffer. */
import { any, filter, type Json, listener, manager, percent, prefix, say, to } from '../../harness/bootstrap-parts.ts';
import type { Spec } from '../cases.ts';
import { on } from '../cases.ts';
import type { Theme } from './themes.ts';

const own = (name: string, message: string, fields: Json = {}) => ({
  [`envoy.filters.http.${name}`]: any(`filters.http.${message}`, fields),
});
const rules = (action: string, header: string) => ({
  action,
  policies: {
    [`by-${header}`]: {
      permissions: [{ any: true }],
      principals: [{ header: { name: header, string_match: { exact: 'yes' } } }],
    },
  },
});
const rbac = (...given: [] | [action: string, header: string]) =>
  own('rbac', 'rbac.v3.RBACPerRoute', given.length === 0 ? {} : { rbac: { rules: rules(...given) } });
const fault = (http_status: number) =>
  own('fault', 'fault.v3.HTTPFault', { abort: { http_status, percentage: percent(100) } });
const cors = (fields: Json) => own('cors', 'cors.v3.CorsPolicy', fields);
const buffer = (fields: Json) => own('buffer', 'buffer.v3.BufferPerRoute', fields);
const per = (typed_per_filter_config: Json) => ({ typed_per_filter_config });

const table = {
  route_config: {
    name: 'per-route',
    ...per({
      ...rbac('DENY', 'x-table'),
      ...fault(477),
      ...cors({ allow_origin_string_match: [{ exact: 'http://table.test' }], allow_methods: 'TABLE', max_age: '7' }),
      ...buffer({ buffer: { max_request_bytes: 20 } }),
    }),
    virtual_hosts: [
      {
        name: 'host',
        domains: ['host.test'],
        ...per({
          ...rbac('DENY', 'x-host'),
          ...fault(478),
          ...cors({ allow_origin_string_match: [{ exact: 'http://host.test' }], allow_headers: 'x-host' }),
          ...buffer({ buffer: { max_request_bytes: 40 } }),
        }),
        routes: [
          {
            ...prefix('/off'),
            ...to('echo'),
            ...per({ ...rbac(), ...own('fault', 'fault.v3.HTTPFault'), ...buffer({ disabled: true }) }),
          },
          { ...prefix('/own'), ...to('echo'), ...per({ ...rbac('ALLOW', 'x-route'), ...fault(479) }) },
          { ...prefix('/cors'), ...to('echo'), ...per(cors({ expose_headers: 'x-route', allow_credentials: true })) },
          { ...prefix('/'), ...to('echo') },
        ],
      },
      { name: 'bare', domains: ['bare.test'], routes: [{ ...prefix('/'), ...to('echo') }] },
      { name: 'said', domains: ['said.test'], routes: [{ ...prefix('/'), ...say('said') }] },
    ],
  },
};
/** In a FilterConfig, which says besides whether the filter runs. */
const wrapped = (name: string, fields: Json) => ({
  [`envoy.filters.http.${name}`]: { '@type': 'type.googleapis.com/envoy.config.route.v3.FilterConfig', ...fields },
});
const aborting = (status: number) => fault(status)['envoy.filters.http.fault'];
const share = (fields: Json) => ({
  route: { weighted_clusters: { clusters: [{ name: 'echo', weight: 1, ...per(fields) }] } },
});
const switches = {
  route_config: {
    name: 'switches',
    virtual_hosts: [
      {
        name: 'host',
        domains: ['host.test'],
        ...per(fault(478)),
        routes: [
          { ...prefix('/off'), ...to('echo'), ...per(wrapped('fault', { disabled: true })) },
          { ...prefix('/on'), ...to('echo'), ...per(wrapped('fault', { config: {} })) },
          { ...prefix('/wrapped'), ...to('echo'), ...per(wrapped('fault', { config: aborting(479) })) },
          { ...prefix('/weighted'), ...share(fault(476)) },
          { ...prefix('/weighted-off'), ...share(wrapped('fault', { disabled: true })) },
          { ...prefix('/weighted-bare'), ...share({}), ...per(fault(475)) },
          { ...prefix('/other'), ...to('echo'), ...per({ 'another-name': aborting(474) }) },
          { ...prefix('/'), ...to('echo') },
        ],
      },
      {
        name: 'bare',
        domains: ['bare.test'],
        routes: [
          { ...prefix('/on'), ...to('echo'), ...per(fault(479)) },
          { ...prefix('/'), ...to('echo') },
        ],
      },
    ],
  },
};
/** Both answer a preflight: which one does is the listener's order. */
const order = {
  route_config: {
    name: 'order',
    virtual_hosts: [
      {
        name: 'host',
        domains: ['host.test'],
        ...per({ ...fault(478), ...cors({ allow_origin_string_match: [{ exact: 'http://host.test' }] }) }),
        routes: [{ ...prefix('/'), ...to('echo') }],
      },
    ],
  },
};
const guard = filter('rbac.v3.RBAC', { rules: rules('DENY', 'x-filter') });
const empty = filter('rbac.v3.RBAC');

const asking = ['filter', 'table', 'host', 'route'];
const judged = (id: string): Spec[] =>
  ['', '/off', '/own'].flatMap((path): Spec[] => [
    [`${id}${path.replace('/', '-')}-free`, path || '/'],
    ...asking.map((who): Spec => [`${id}${path.replace('/', '-')}-${who}`, path || '/', { [`X-${who}`]: 'yes' }]),
  ]);
const asks = { 'Access-Control-Request-Method': 'PUT' };
const crossing = (id: string, path: string): Spec[] =>
  ['table', 'host', 'route'].flatMap((who): Spec[] => [
    [`${id}-${who}`, path, { Origin: `http://${who}.test` }],
    [`${id}-${who}-asks`, path, { Origin: `http://${who}.test`, ...asks }, { method: 'OPTIONS' }],
  ]);
const long = (bytes: number): Spec[2] => ({ 'Transfer-Encoding': 'chunked', 'X-Bytes': String(bytes) });
const body = (bytes: number) => ({
  method: 'POST',
  body: `${bytes.toString(16)}\r\n${'x'.repeat(bytes)}\r\n0\r\n\r\n`,
});
const sized = (id: string, path: string): Spec[] =>
  [10, 30, 50].map((bytes): Spec => [`${id}-${bytes}`, path, long(bytes), body(bytes)]);

export const perRoute: Theme = {
  listeners: [
    listener('per-rbac', manager([], [guard], table)),
    listener('per-rbac-empty', manager([], [empty], table)),
    listener('per-fault', manager([], [filter('fault.v3.HTTPFault')], table)),
    listener('per-cors', manager([], [filter('cors.v3.Cors')], table)),
    listener('per-switch-on', manager([], [filter('fault.v3.HTTPFault')], switches)),
    listener('per-switch-off', manager([], [{ ...filter('fault.v3.HTTPFault'), disabled: true }], switches)),
    listener('per-order-fault', manager([], [filter('fault.v3.HTTPFault'), filter('cors.v3.Cors')], order)),
    listener('per-order-cors', manager([], [filter('cors.v3.Cors'), filter('fault.v3.HTTPFault')], order)),
    listener('per-buffer', manager([], [filter('buffer.v3.Buffer', { max_request_bytes: 15 })], table)),
  ],
  cases: [
    ...['per-rbac', 'per-rbac-empty'].flatMap((name) => [
      ...on(name, 'host.test', judged(`${name}-host`)),
      ...on(name, 'bare.test', judged(`${name}-bare`)),
      ...on(name, 'said.test', judged(`${name}-said`)),
      ...on(name, 'unserved.test', judged(`${name}-unserved`)),
    ]),
    ...['host', 'bare', 'said', 'unserved'].flatMap((host) =>
      on(
        'per-fault',
        `${host}.test`,
        ['/', '/off', '/own'].map((path): Spec => [`per-fault-${host}-${path.slice(1)}`, path]),
      ),
    ),
    ...on('per-cors', 'host.test', [...crossing('per-cors-host', '/'), ...crossing('per-cors-route', '/cors')]),
    ...on('per-cors', 'bare.test', crossing('per-cors-bare', '/')),
    ...['per-switch-on', 'per-switch-off'].flatMap((name) =>
      ['host', 'bare', 'unserved'].flatMap((host) =>
        on(
          name,
          `${host}.test`,
          ['/', '/off', '/on', '/wrapped', '/weighted', '/weighted-off', '/weighted-bare', '/other'].map(
            (path): Spec => [`${name}-${host}-${path.slice(1)}`, path],
          ),
        ),
      ),
    ),
    ...['per-order-fault', 'per-order-cors'].flatMap((name) =>
      on(name, 'host.test', [[name, '/', { Origin: 'http://host.test', ...asks }, { method: 'OPTIONS' }]]),
    ),
    ...on('per-buffer', 'host.test', [...sized('per-buffer-host', '/'), ...sized('per-buffer-off', '/off')]),
    ...on('per-buffer', 'bare.test', sized('per-buffer-bare', '/')),
  ],
};
