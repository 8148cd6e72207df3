/** Rules of EnvoyFilter beyond its schema (validateEnvoyFilter of Istio). Values of patches are in envoy-patch.ts. */
import { regexViolation } from '../../../match/regex.ts';
import type { Findings } from '../../kind.ts';
import type { ConfigPatch, ConfigPatchMatch, EnvoyFilterSpec } from '../../schema/envoy-filter.ts';
import { Report } from '../../violations.ts';
import { checkPolicyTargets, checkSelectorLabels, warnNoLabels } from '../primitives.ts';
import { checkPatchValue } from './envoy-patch.ts';

const RULE = 'envoyfilter.match';
/** Longer patterns are never tried: the patch then applies to every version. */
const MAX_VERSION_LENGTH = 1024;
const HTTP_CONNECTION_MANAGER = 'envoy.filters.network.http_connection_manager';

/** Which part of a match speaks of the object that a patch applies to; `waypoint` speaks of all of them. */
const MATCHED_BY: Readonly<Record<string, 'listener' | 'routeConfiguration' | 'cluster'>> = {
  LISTENER: 'listener',
  FILTER_CHAIN: 'listener',
  NETWORK_FILTER: 'listener',
  HTTP_FILTER: 'listener',
  ROUTE_CONFIGURATION: 'routeConfiguration',
  VIRTUAL_HOST: 'routeConfiguration',
  HTTP_ROUTE: 'routeConfiguration',
  CLUSTER: 'cluster',
};

export function checkEnvoyFilter(spec: EnvoyFilterSpec): Findings {
  const report = new Report();
  const internals = 'patches what the mesh generates, which may change with any version: prefer other resources';
  if (spec.configPatches?.length) report.warn('spec.configPatches', 'envoyfilter.internals', internals);
  checkPolicyTargets(report, { ...(spec.targetRefs ? { targetRefs: spec.targetRefs } : {}) });
  const { workloadSelector } = spec;
  checkSelectorLabels(report, 'spec.workloadSelector.labels', workloadSelector?.labels);
  if (workloadSelector) warnNoLabels(report, 'spec.workloadSelector', workloadSelector.labels);
  for (const [i, patch] of (spec.configPatches ?? []).entries()) checkPatch(report, `spec.configPatches[${i}]`, patch);
  return report.findings;
}

function checkPatch(report: Report, path: string, { applyTo, match, patch }: ConfigPatch): void {
  const none = !applyTo || applyTo === 'INVALID';
  if (none) report.violation(`${path}.applyTo`, 'required', 'is required');
  if (match && applyTo && !none) checkMatch(report, `${path}.match`, applyTo, match);
  // Without applyTo the rest of a patch cannot be validated.
  if (none) return;
  if (!patch) {
    report.violation(`${path}.patch`, 'required', 'is required');
    return;
  }
  const { operation, value } = patch;
  if (!operation || operation === 'INVALID') {
    report.violation(`${path}.patch.operation`, 'required', 'is required');
  } else if (operation !== 'REMOVE' && value === undefined) {
    report.violation(`${path}.patch.value`, 'required', `is required with operation ${operation}`);
  }
  if (value !== undefined) checkPatchValue(report, `${path}.patch.value`, applyTo, operation ?? 'INVALID', value);
}

function checkMatch(report: Report, path: string, applyTo: string, match: ConfigPatchMatch): void {
  const version = match.proxy?.proxyVersion;
  if (version && version.length > MAX_VERSION_LENGTH) {
    const message = `is longer than ${MAX_VERSION_LENGTH} characters and is ignored`;
    report.warn(`${path}.proxy.proxyVersion`, 'regex', message);
  } else if (version) report.violationIf(`${path}.proxy.proxyVersion`, 'regex', regexViolation(version));
  const wanted = MATCHED_BY[applyTo];
  if (wanted && !match.waypoint) {
    for (const field of ['listener', 'routeConfiguration', 'cluster'] as const) {
      if (field === wanted || match[field] === undefined) continue;
      report.violation(`${path}.${field}`, RULE, `cannot be matched with applyTo ${applyTo}: use ${wanted}`);
    }
  }
  if (wanted === 'listener' && match.listener) checkFilterMatch(report, path, applyTo, match.listener);
}

function checkFilterMatch(
  report: Report,
  path: string,
  applyTo: string,
  listener: NonNullable<ConfigPatchMatch['listener']>,
): void {
  const filter = listener.filterChain?.filter;
  if (!filter) return;
  const at = `${path}.listener.filterChain.filter`;
  if (applyTo === 'LISTENER' || applyTo === 'FILTER_CHAIN') {
    report.warn(at, RULE, `has no effect with applyTo ${applyTo}`);
  }
  if (!filter.name) {
    report.violation(`${at}.name`, 'required', 'is required');
    return;
  }
  warnOldName(report, `${at}.name`, filter.name);
  const { subFilter } = filter;
  if (!subFilter) return;
  if (applyTo !== 'HTTP_FILTER') {
    report.violation(`${at}.subFilter`, RULE, `is only for applyTo HTTP_FILTER, not ${applyTo}`);
  } else if (filter.name !== HTTP_CONNECTION_MANAGER && filter.name !== 'envoy.http_connection_manager') {
    report.violation(`${at}.name`, RULE, `must be ${HTTP_CONNECTION_MANAGER} where a subFilter is named`);
  } else if (!subFilter.name) report.violation(`${at}.subFilter.name`, 'required', 'is required');
  else warnOldName(report, `${at}.subFilter.name`, subFilter.name);
}

/** Names that Envoy gave its filters before v3, with those it has now. */
const OLD_NAMES: Readonly<Record<string, string>> = Object.fromEntries([
  ...(
    'buffer,cors,csrf,ext_authz,fault,grpc_http1_bridge,grpc_json_transcoder,grpc_web,gzip,health_check,ip_tagging,lua,' +
    'rate_limit:ratelimit,router,squash,http_dynamo_filter:dynamo'
  )
    .split(',')
    .map((name) => renamed('envoy.', 'http', name)),
  ...'http_inspector,original_dst,original_src,proxy_protocol,tls_inspector'
    .split(',')
    .map((name) => renamed('envoy.listener.', 'listener', name)),
  ...'client_ssl_auth,http_connection_manager,mongo_proxy,ratelimit,redis_proxy,tcp_proxy'
    .split(',')
    .map((name) => renamed('envoy.', 'network', name)),
]);

function renamed(prefix: string, place: string, name: string): [old: string, now: string] {
  const [old = '', now = old] = name.split(':');
  return [`${prefix}${old}`, `envoy.filters.${place}.${now}`];
}

function warnOldName(report: Report, path: string, name: string): void {
  const now = Object.hasOwn(OLD_NAMES, name) ? OLD_NAMES[name] : undefined;
  if (now) report.warn(path, 'deprecated', `"${name}" is an old name: use "${now}"`);
}
