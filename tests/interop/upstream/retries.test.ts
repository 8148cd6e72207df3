/** Retries, timeouts and limits of the upstream side, compared with a real Envoy case by case. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RUNTIMES, temporaryFolder } from '../../kit/environment.ts';
import { ENVOY, startEnvoy } from '../../kit/envoy.ts';
import { type RunningProxy, startTulle } from '../../kit/proxy.ts';
import { outcomeOf } from '../harness/compare.ts';
import { type Echo, startEcho } from '../harness/echo.ts';
import { listener, manager, staticCluster } from '../shared-file/bootstrap.ts';
import type { Case } from '../shared-file/cases.ts';

const fast = { num_retries: 2, retry_back_off: { base_interval: '0.005s' } };
const retry = (on: string, more: object = {}) => ({ retry_policy: { retry_on: on, ...fast, ...more } });

/** Path -> route action, and its cluster when not `echo`. */
const ROUTES: Record<string, { cluster?: string; [field: string]: unknown }> = {
  '/5xx': retry('5xx'),
  '/none': {},
  '/4xx': retry('retriable-4xx'),
  '/limited': retry('envoy-ratelimited'),
  '/before': { ...retry('reset-before-request') },
  '/before-dead': { cluster: 'dead', ...retry('reset-before-request') },
  '/refused': { cluster: 'dead', ...retry('refused-stream') },
  '/zero': retry('5xx', { num_retries: 0 }),
  '/grpc': retry('cancelled,deadline-exceeded,internal,resource-exhausted,unavailable'),
  '/headers': retry('retriable-headers', {
    retriable_headers: [
      { name: 'x-again', present_match: true },
      { name: 'x-verdict', string_match: { prefix: 'later' } },
    ],
  }),
  '/only-some': retry('5xx', { retriable_request_headers: [{ name: 'x-safe', string_match: { exact: 'yes' } }] }),
  '/reset-after': retry('5xx', {
    rate_limited_retry_back_off: { reset_headers: [{ name: 'Retry-After', format: 'SECONDS' }], max_interval: '2s' },
  }),
  '/idle-try': { timeout: '5s', ...retry('reset', { per_try_idle_timeout: '0.15s', num_retries: 1 }) },
  '/per-try': { timeout: '5s', ...retry('reset', { per_try_timeout: '0.15s', num_retries: 1 }) },
  '/per-try-no-retry': { timeout: '5s', retry_policy: { per_try_timeout: '0.15s' } },
  '/per-try-long': { timeout: '0.15s', ...retry('reset', { per_try_timeout: '3s', num_retries: 1 }) },
  '/hedge': {
    timeout: '5s',
    ...retry('5xx', { per_try_timeout: '0.15s', num_retries: 1 }),
    hedge_policy: { hedge_on_per_try_timeout: true },
  },
  '/timeout': { timeout: '0.15s' },
  '/grpc-time': { timeout: '3s', max_grpc_timeout: '0s' },
  '/grpc-max': { timeout: '3s', max_grpc_timeout: '0.15s' },
  '/duration': { timeout: '3s', max_stream_duration: { max_stream_duration: '0.15s' } },
  '/idle': { idle_timeout: '0.15s', timeout: '3s' },
  '/upstream-duration': { cluster: 'short', timeout: '3s' },
  '/full': { cluster: 'full' },
  '/high': { cluster: 'full', priority: 'HIGH' },
  '/high-none': { cluster: 'nohigh', priority: 'HIGH' },
  '/budget': { cluster: 'budget', ...retry('5xx') },
  '/noretries': { cluster: 'noretries', ...retry('5xx') },
  '/failover': { cluster: 'failover', ...retry('connect-failure', { retry_priority: previous(1), num_retries: 3 }) },
  '/other-host': {
    cluster: 'two',
    ...retry('connect-failure', {
      num_retries: 5,
      host_selection_retry_max_attempts: 20,
      retry_host_predicate: [
        {
          name: 'envoy.retry_host_predicates.previous_hosts',
          typed_config: {
            '@type': 'type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate',
          },
        },
      ],
    }),
  },
};

function previous(updateFrequency: number): object {
  return {
    name: 'envoy.retry_priorities.previous_priorities',
    typed_config: {
      '@type': 'type.googleapis.com/envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig',
      update_frequency: updateFrequency,
    },
  };
}

const breakers = (...thresholds: object[]) => ({ circuit_breakers: { thresholds } });

function bootstrap(echo: number, dead: number) {
  const endpoint = (port: number) => ({
    endpoint: { address: { socket_address: { address: '127.0.0.1', port_value: port } } },
  });
  const routes = Object.entries(ROUTES).map(([path, { cluster = 'echo', ...action }]) => ({
    match: { path_separated_prefix: path },
    route: { cluster, ...action },
  }));
  return {
    node: { id: 'retries', cluster: 'retries' },
    admin: { address: { socket_address: { address: '127.0.0.1', port_value: 0 } } },
    static_resources: {
      // A client that a proxy calls internal may say how it is retried.
      listeners: [
        listener(
          'main',
          manager(routes, [], {
            internal_address_config: { cidr_ranges: [{ address_prefix: '10.0.0.0', prefix_len: 8 }] },
          }),
        ),
      ],
      clusters: [
        staticCluster('echo', echo),
        staticCluster('dead', dead),
        staticCluster('full', echo, breakers({ max_requests: 0 }, { priority: 'HIGH', max_requests: 1000 })),
        staticCluster('nohigh', echo, breakers({ priority: 'HIGH', max_requests: 0 })),
        staticCluster('noretries', echo, breakers({ max_retries: 0 })),
        staticCluster(
          'budget',
          echo,
          breakers({ max_retries: 0, retry_budget: { budget_percent: { value: 0 }, min_retry_concurrency: 1 } }),
        ),
        staticCluster('short', echo, {
          typed_extension_protocol_options: {
            'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
              '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
              common_http_protocol_options: { max_stream_duration: '0.15s' },
              explicit_http_config: { http_protocol_options: {} },
            },
          },
        }),
        {
          ...staticCluster('failover', undefined),
          load_assignment: {
            cluster_name: 'failover',
            endpoints: [
              { priority: 0, lb_endpoints: [endpoint(dead)] },
              { priority: 1, lb_endpoints: [endpoint(echo)] },
            ],
          },
        },
        {
          ...staticCluster('two', undefined),
          load_assignment: {
            cluster_name: 'two',
            endpoints: [{ lb_endpoints: [endpoint(dead), endpoint(echo)] }],
          },
        },
      ],
    },
  };
}

const INTERNAL = { 'X-Forwarded-For': '10.1.2.3' };
const GRPC = { 'Content-Type': 'application/grpc' };
type Spec = [id: string, path: string, headers?: Record<string, string>, method?: string, body?: string];
const SPECS: Spec[] = [
  ['5xx', '/5xx', { 'X-Echo-Fail': '1', 'X-Echo-Status': '500' }],
  ['5xx-twice', '/5xx', { 'X-Echo-Fail': '2' }],
  ['5xx-spent', '/5xx', { 'X-Echo-Fail': '3' }],
  ['5xx-body', '/5xx', { 'X-Echo-Fail': '2' }, 'POST', 'again and again'],
  ['5xx-reset', '/5xx', { 'X-Echo-Reset': '2' }],
  ['5xx-not', '/5xx', { 'X-Echo-Fail': '1', 'X-Echo-Status': '409' }],
  ['none', '/none', { 'X-Echo-Fail': '1' }],
  ['4xx', '/4xx', { 'X-Echo-Fail': '1', 'X-Echo-Status': '409' }],
  ['4xx-other', '/4xx', { 'X-Echo-Fail': '1', 'X-Echo-Status': '404' }],
  ['limited-not', '/5xx', { 'X-Echo-Fail': '1', 'X-Echo-Headers': 'x-envoy-ratelimited=true' }],
  ['limited', '/limited', { 'X-Echo-Fail': '9', 'X-Echo-Headers': 'x-envoy-ratelimited=true' }],
  ['before-dead', '/before-dead'],
  ['before-reset', '/before', { 'X-Echo-Reset': '1' }, 'POST', 'once'],
  ['refused-dead', '/refused'],
  ['zero', '/zero', { 'X-Echo-Fail': '1' }],
  ...['1', '4', '8', '13', '14', '5', '0'].map(
    (status): Spec => [`grpc-${status}`, '/grpc', { 'X-Echo-Headers': `grpc-status=${status}` }],
  ),
  ['headers', '/headers', { 'X-Echo-Headers': 'x-again=1' }],
  ['headers-prefix', '/headers', { 'X-Echo-Headers': 'x-verdict=later today' }],
  ['headers-not', '/headers', { 'X-Echo-Headers': 'x-verdict=now' }],
  ['some-not', '/only-some', { 'X-Echo-Fail': '1' }],
  ['some', '/only-some', { 'X-Echo-Fail': '1', 'X-Safe': 'yes' }],
  ['reset-after', '/reset-after', { 'X-Echo-Fail': '1', 'X-Echo-Headers': 'retry-after=1' }],
  ['reset-after-long', '/reset-after', { 'X-Echo-Fail': '1', 'X-Echo-Headers': 'retry-after=100' }],
  ['idle-try', '/idle-try', { 'X-Echo-Delay': '1500' }],
  ['idle-try-ok', '/idle-try', { 'X-Echo-Delay': '5' }],
  ['per-try', '/per-try', { 'X-Echo-Delay': '1500' }],
  ['per-try-no-retry', '/per-try-no-retry', { 'X-Echo-Delay': '1500' }],
  ['per-try-long', '/per-try-long', { 'X-Echo-Delay': '1500' }],
  ['per-try-body', '/per-try', { 'X-Echo-Delay': '1500' }, 'POST', 'twice'],
  ['hedge-fast', '/hedge', { 'X-Echo-Delay': '5' }],
  ['hedge-slow', '/hedge', { 'X-Echo-Delay': '800' }],
  ['hedge-bad', '/hedge', { 'X-Echo-Delay': '500', 'X-Echo-Fail': '9' }],
  ['timeout', '/timeout', { 'X-Echo-Delay': '1500' }],
  ['timeout-grpc', '/timeout', { 'X-Echo-Delay': '1500', ...GRPC, 'Grpc-Timeout': '20m' }],
  ['grpc-time', '/grpc-time', { 'X-Echo-Delay': '1500', ...GRPC, 'Grpc-Timeout': '150m' }],
  ['grpc-time-plain', '/grpc-time', { 'X-Echo-Delay': '300', 'Grpc-Timeout': '20m' }],
  ['grpc-max', '/grpc-max', { 'X-Echo-Delay': '1500', ...GRPC, 'Grpc-Timeout': '5S' }],
  ['grpc-max-none', '/grpc-max', { 'X-Echo-Delay': '1500', ...GRPC }],
  ['grpc-max-fine', '/grpc-max', { ...GRPC, 'Grpc-Timeout': '140m' }],
  ['duration', '/duration', { 'X-Echo-Delay': '1500' }],
  ['idle', '/idle', { 'X-Echo-Delay': '1500' }],
  ['upstream-duration', '/upstream-duration', { 'X-Echo-Delay': '1500' }],
  ['full', '/full'],
  ['high', '/high'],
  ['high-none', '/high-none'],
  ['budget', '/budget', { 'X-Echo-Fail': '1' }],
  ['noretries', '/noretries', { 'X-Echo-Fail': '1' }],
  ['failover', '/failover'],
  ['ask-retry', '/none', { ...INTERNAL, 'X-Envoy-Retry-On': '5xx', 'X-Echo-Fail': '1' }],
  ['ask-retry-spent', '/none', { ...INTERNAL, 'X-Envoy-Retry-On': '5xx', 'X-Echo-Fail': '2' }],
  [
    'ask-retry-most',
    '/none',
    { ...INTERNAL, 'X-Envoy-Retry-On': '5xx', 'X-Envoy-Max-Retries': '3', 'X-Echo-Fail': '3' },
  ],
  ['ask-retry-external', '/none', { 'X-Forwarded-For': '8.8.8.8', 'X-Envoy-Retry-On': '5xx', 'X-Echo-Fail': '1' }],
  [
    'ask-codes',
    '/none',
    {
      ...INTERNAL,
      'X-Envoy-Retry-On': 'retriable-status-codes',
      'X-Envoy-Retriable-Status-Codes': '418,419',
      'X-Echo-Fail': '1',
      'X-Echo-Status': '419',
    },
  ],
  [
    'ask-headers',
    '/none',
    {
      ...INTERNAL,
      'X-Envoy-Retry-On': 'retriable-headers',
      'X-Envoy-Retriable-Header-Names': 'X-Again',
      'X-Echo-Headers': 'x-again=1',
    },
  ],
  ['ask-grpc', '/none', { ...INTERNAL, 'X-Envoy-Retry-Grpc-On': 'unavailable', 'X-Echo-Headers': 'grpc-status=14' }],
  ['ask-timeout', '/none', { ...INTERNAL, 'X-Envoy-Upstream-Rq-Timeout-Ms': '150', 'X-Echo-Delay': '1500' }],
  ['ask-timeout-bad', '/none', { ...INTERNAL, 'X-Envoy-Upstream-Rq-Timeout-Ms': 'soon' }],
  ['ask-timeout-none', '/timeout', { ...INTERNAL, 'X-Envoy-Upstream-Rq-Timeout-Ms': '0', 'X-Echo-Delay': '400' }],
  [
    'ask-timeout-external',
    '/none',
    { 'X-Forwarded-For': '8.8.8.8', 'X-Envoy-Upstream-Rq-Timeout-Ms': '150', 'X-Echo-Delay': '400' },
  ],
  ['ask-per-try', '/5xx', { ...INTERNAL, 'X-Envoy-Upstream-Rq-Per-Try-Timeout-Ms': '150', 'X-Echo-Delay': '1000' }],
];

function caseOf([id, path, headers = {}, method = 'GET', body]: Spec): Case {
  const lines = [`${method} ${path} HTTP/1.1`, 'Host: main.test', `X-Case: ${id}`];
  for (const [key, value] of Object.entries(headers)) lines.push(`${key}: ${value}`);
  if (body !== undefined) lines.push(`Content-Length: ${body.length}`);
  return { id, listener: 'main', bytes: `${lines.join('\r\n')}\r\n\r\n${body ?? ''}`, methods: [method] };
}

describe.skipIf(ENVOY === undefined)('retries and timeouts as in Envoy', () => {
  const folder = temporaryFolder();
  const proxies: RunningProxy[] = [];
  let echo: Echo;

  beforeAll(async () => {
    echo = await startEcho('echo');
    const gone = await startEcho('gone');
    gone.stop();
    const config = bootstrap(echo.port, gone.port);
    proxies.push(await startEnvoy(config, folder.path));
    for (const runtime of RUNTIMES) proxies.push(await startTulle(runtime, config, folder.path));
  });
  afterAll(async () => {
    await Promise.all(proxies.map((proxy) => proxy.stop()));
    echo?.stop();
    folder.dispose();
  });

  /** What is left of a timeout depends on the machine. */
  const comparable = (outcome: object) =>
    JSON.parse(
      JSON.stringify(outcome).replace(
        /(x-envoy-expected-rq-timeout-ms","|grpc-timeout",")(\d+)(m?")/g,
        (_, name: string, value: string, end: string) =>
          `${name}${Number(value) > 100 ? Math.ceil(Number(value) / 1000) : 0}${end}`,
      ),
    );

  it.each(SPECS.map(([id]) => id))('%s', async (id) => {
    const [, ...spec] = SPECS.find(([one]) => one === id)!;
    // A machine that stands still for a moment makes a timeout of what was none: what really differs, differs again.
    for (let round = 0; ; round++) {
      const given = caseOf([`${id}-${round}`, ...spec]);
      const [envoy, ...ours] = (await Promise.all(proxies.map((proxy) => outcomeOf(proxy, given)))).map(comparable);
      if (round < 4 && ours.some((outcome) => JSON.stringify(outcome) !== JSON.stringify(envoy))) continue;
      for (const [i, outcome] of ours.entries()) expect(outcome, proxies[i + 1]!.name).toEqual(envoy);
      return;
    }
  });

  it('previous hosts are left out', async () => {
    for (let i = 0; i < 12; i++) {
      const outcomes = await Promise.all(
        proxies.map((proxy) => outcomeOf(proxy, caseOf([`other-${i}`, '/other-host']))),
      );
      expect(outcomes.map(({ responses }) => responses[0]!.status)).toEqual(proxies.map(() => 200));
    }
  });
});
