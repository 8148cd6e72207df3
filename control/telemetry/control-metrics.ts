/**
 * The control plane's metrics under istiod's names (istio.io/latest/docs/reference/commands/pilot-discovery, "Exported
 * metrics"), so that Istio's dashboards and alerts read them.
 */
import { Metrics } from '../../shared/metrics/metrics.ts';
import type { ResourceType } from '../../shared/xds/discovery.ts';
import type { ControlEvents } from './events.ts';

/** Read at each collection. */
export interface ControlState {
  /** The versions of the proxies that are connected, one for each. */
  readonly proxyVersions: () => Iterable<string>;
  readonly services: () => number;
  readonly virtualServices: () => number;
  /** When the first of the roots expires; milliseconds since the epoch. */
  readonly rootExpires: () => number;
  readonly connections: () => number;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}

/** istiod's short names; Tulle's own types keep theirs. */
const TYPES: { readonly [T in ResourceType]: string } = {
  secrets: 'sds',
  clusters: 'cds',
  endpoints: 'eds',
  hosts: 'hosts',
  dnsHosts: 'nds',
  virtualHosts: 'vhds',
  routes: 'rds',
  listeners: 'lds',
};

/** Seconds, as istiod has them. */
const CONVERGENCE_BUCKETS = [0.1, 0.5, 1, 3, 5, 10, 20, 30];

/** @returns the metrics, and what counts events in them */
export function controlMetrics(
  version: string,
  state: ControlState,
): { metrics: Metrics; events: Partial<ControlEvents> } {
  const metrics = new Metrics();
  const started = state.now();
  metrics
    .gauge('istio_build', 'Istio component build info', ['component', 'tag'])
    .with({ component: 'pilot', tag: version }).value = 1;
  metrics.gauge('pilot_info', 'Pilot version and build information.', ['version']).with({ version }).value = 1;
  gauges(metrics, state, started);
  const events = {
    ...discoveryEvents(metrics),
    ...certificateEvents(metrics),
    ...registrationEvents(metrics),
    ...apiEvents(metrics),
  };
  return { metrics, events };
}

function gauges(metrics: Metrics, state: ControlState, started: number): void {
  const proxies = metrics.gauge('pilot_xds', 'Number of endpoints connected to this pilot using XDS.', ['version']);
  const services = metrics.gauge('pilot_services', 'Total services known to pilot.').with({});
  const virtualServices = metrics.gauge('pilot_virt_services', 'Total virtual services known to pilot.').with({});
  const uptime = metrics.gauge('istiod_uptime_seconds', 'Current istiod server uptime in seconds').with({});
  const connections = metrics.gauge('tulle_control_connections', 'Open connections of the control API.').with({});
  const expiry = 'citadel_server_root_cert_expiry';
  const timestamp = metrics
    .gauge(`${expiry}_timestamp`, 'The unix timestamp, in seconds, when the root cert will expire.')
    .with({});
  const left = metrics
    .gauge(`${expiry}_seconds`, 'The time remaining, in seconds, before the root cert will expire.')
    .with({});
  metrics.onCollect(() => {
    proxies.clear();
    for (const version of state.proxyVersions()) proxies.with({ version }).value += 1;
    services.value = state.services();
    virtualServices.value = state.virtualServices();
    uptime.value = (state.now() - started) / 1000;
    connections.value = state.connections();
    timestamp.value = Math.floor(state.rootExpires() / 1000);
    left.value = Math.floor((state.rootExpires() - state.now()) / 1000);
  });
}

function discoveryEvents(metrics: Metrics): Partial<ControlEvents> {
  const pushes = metrics.counter('pilot_xds_pushes', 'Pilot build and send errors for lds, rds, cds and eds.', [
    'type',
  ]);
  const rejects = metrics.counter(
    'pilot_total_xds_rejects',
    'Total number of XDS responses from pilot rejected by proxy.',
    ['type'],
  );
  const convergence = metrics
    .histogram(
      'pilot_proxy_convergence_time',
      'Delay in seconds between config change and a proxy receiving all required configuration.',
      [],
      CONVERGENCE_BUCKETS,
    )
    .with({});
  return {
    pushed: ({ type }) => void (pushes.with({ type: TYPES[type] }).value += 1),
    rejected: ({ type }) => void (rejects.with({ type: TYPES[type] }).value += 1),
    converged: (seconds) => convergence.observe(seconds),
  };
}

function certificateEvents(metrics: Metrics): Partial<ControlEvents> {
  const count = (name: string, help: string) => metrics.counter(name, help).with({});
  const requests = count('citadel_server_csr_count', 'The number of CSRs received by Citadel server.');
  const issued = count(
    'citadel_server_success_cert_issuance_count',
    'The number of certificates issuances that have succeeded.',
  );
  const unauthenticated = count(
    'citadel_server_authentication_failure_count',
    'The number of authentication failures.',
  );
  const unreadable = count(
    'citadel_server_csr_parsing_err_count',
    'The number of errors occurred when parsing the CSR.',
  );
  const joins = metrics.counter('tulle_control_joins_total', 'Requests to join, by what became of them.', ['result']);
  const joinsThat = (result: 'joined' | 'refused' | 'limited') => joins.with({ result });
  return {
    joined: () => void joinsThat('joined').value++,
    joinRefused: ({ limited }) => void joinsThat(limited ? 'limited' : 'refused').value++,
    requested: () => void requests.value++,
    issued: ({ document }) => {
      if (document === 'X.509-SVID') issued.value++;
    },
    refused: ({ cause }) => void (cause === 'csr' ? unreadable : unauthenticated).value++,
  };
}

/** istiod's names (pilot/pkg/autoregistration). */
function registrationEvents(metrics: Metrics): Partial<ControlEvents> {
  const count = (name: string, help: string) => metrics.counter(`auto_registration_${name}_total`, help).with({});
  const errors = count('errors', 'Total number of auto registration errors.');
  const counters = {
    created: count('success', 'Total number of successful auto registrations.'),
    updated: count('updates', 'Total number of auto registration updates.'),
    disconnected: count('unregister', 'Total number of unregistrations.'),
    deleted: count('deletes', 'Total number of auto registration cleaned up.'),
    conflict: errors,
    error: errors,
    label: undefined,
  };
  return {
    registration({ what }) {
      const counter = counters[what];
      if (counter) counter.value++;
    },
  };
}

function apiEvents(metrics: Metrics): Partial<ControlEvents> {
  const labels = ['group', 'version', 'resource'];
  const passed = metrics.counter('galley_validation_passed', 'Resource is valid', labels);
  const failed = metrics.counter('galley_validation_failed', 'Resource validation failed', [...labels, 'reason']);
  const answers = metrics.counter('tulle_control_requests_total', 'Requests of the control API, by status.', ['code']);
  const limited = metrics.counter(
    'tulle_control_limited_requests_total',
    'Requests of the control API that were refused with 429 by a limit for one user, workload or address.',
    ['limit'],
  );
  return {
    limited: ({ limit }) => void limited.with({ limit }).value++,
    answered: ({ status }) => void answers.with({ code: String(status) }).value++,
    validated({ reason, ...labelled }) {
      if (reason === undefined) passed.with(labelled).value++;
      else failed.with({ ...labelled, reason }).value++;
    },
  };
}
