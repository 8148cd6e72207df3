/** Filters that EnvoyFilters add: local rate limits, header mutations. */
import { any, filter, type Json, listener, manager, percent, prefix, say, to } from '../../harness/bootstrap-parts.ts';
import type { Spec } from '../cases.ts';
import { on } from '../cases.ts';
import type { Theme } from './themes.ts';

const always = { default_value: percent(100) };
/** Filled so slowly that a run sees no second token. */
const limit = (max_tokens: number, more: Json = {}) => ({
  stat_prefix: 'limited',
  token_bucket: { max_tokens, tokens_per_fill: 1, fill_interval: '100000s' },
  filter_enabled: always,
  filter_enforced: always,
  ...more,
});
const perRoute = (name: string, message: string, fields: Json) => ({
  typed_per_filter_config: { [`envoy.filters.http.${name}`]: any(`filters.http.${message}`, fields) },
});
const LIMIT = 'local_ratelimit.v3.LocalRateLimit';
const limited = (max_tokens: number, more: Json = {}) => perRoute('local_ratelimit', LIMIT, limit(max_tokens, more));
const add = (key: string, value: string, append_action = 'APPEND_IF_EXISTS_OR_ADD') => ({
  append: { header: { key, value }, append_action },
});

const limits = {
  route_config: {
    name: 'limits',
    virtual_hosts: [
      {
        name: 'host',
        domains: ['*'],
        routes: [
          { ...prefix('/one'), ...to('echo'), ...limited(1) },
          { ...prefix('/headers'), ...to('echo'), ...limited(2, { enable_x_ratelimit_headers: 'DRAFT_VERSION_03' }) },
          {
            ...prefix('/status'),
            ...to('echo'),
            ...limited(1, {
              status: { code: 'ServiceUnavailable' },
              response_headers_to_add: [{ header: { key: 'x-limited', value: '%PROTOCOL%' } }],
            }),
          },
          { ...prefix('/low'), ...to('echo'), ...limited(1, { status: { code: 'OK' } }) },
          {
            ...prefix('/observed'),
            ...to('echo'),
            ...limited(1, {
              filter_enforced: undefined,
              request_headers_to_add_when_not_enforced: [{ header: { key: 'x-over', value: 'yes' } }],
            }),
          },
          { ...prefix('/disabled'), ...to('echo'), ...limited(1, { filter_enabled: undefined }) },
          { ...prefix('/said'), ...say('said'), ...limited(1) },
          { ...prefix('/'), ...to('echo') },
        ],
      },
    ],
  },
};
const mutations = {
  route_config: {
    name: 'mutations',
    virtual_hosts: [
      {
        name: 'host',
        domains: ['*'],
        ...perRoute('header_mutation', 'header_mutation.v3.HeaderMutationPerRoute', {
          mutations: { request_mutations: [add('x-level', 'host')], response_mutations: [add('x-answer', 'host')] },
        }),
        routes: [
          {
            ...prefix('/own'),
            ...to('echo'),
            ...perRoute('header_mutation', 'header_mutation.v3.HeaderMutationPerRoute', {
              mutations: {
                request_mutations: [{ remove: 'x-sent' }, add('x-level', 'route', 'OVERWRITE_IF_EXISTS_OR_ADD')],
                response_mutations: [add('x-answer', 'route', 'ADD_IF_ABSENT')],
              },
            }),
          },
          { ...prefix('/'), ...to('echo') },
        ],
      },
    ],
  },
};
const mutation = (more: Json = {}) =>
  filter('header_mutation.v3.HeaderMutation', {
    mutations: {
      request_mutations: [
        add('x-level', 'filter'),
        add('x-from', '%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%'),
        { remove: 'x-gone' },
      ],
      response_mutations: [add('x-answer', 'filter')],
    },
    ...more,
  });

const repeated = (id: string, path: string): Spec[] => [1, 2, 3].map((n): Spec => [`${id}-${n}`, path]);
const mutated = (id: string): Spec[] => [
  [`${id}`, '/', { 'X-Sent': 'a', 'X-Gone': 'b' }],
  [`${id}-own`, '/own', { 'X-Sent': 'a', 'X-Gone': 'b', 'X-Level': 'client' }],
];

export const filters: Theme = {
  listeners: [
    listener('local-limits', manager([], [filter(LIMIT, { stat_prefix: 'none' })], limits)),
    listener('mutations', manager([], [mutation()], mutations)),
    listener('mutations-specific', manager([], [mutation({ most_specific_header_mutations_wins: true })], mutations)),
  ],
  cases: [
    ...on('local-limits', 'host.test', [
      ...repeated('limit-one', '/one'),
      ...repeated('limit-headers', '/headers'),
      ...repeated('limit-status', '/status'),
      ...repeated('limit-low', '/low'),
      ...repeated('limit-observed', '/observed'),
      ...repeated('limit-disabled', '/disabled'),
      ...repeated('limit-said', '/said'),
      ...repeated('limit-none', '/none'),
    ]),
    ...on('mutations', 'host.test', mutated('mutated')),
    ...on('mutations-specific', 'host.test', mutated('mutated-specific')),
  ],
};
