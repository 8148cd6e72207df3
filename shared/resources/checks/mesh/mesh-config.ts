/** Rules of MeshConfig and MeshNetworks beyond their schemas (ValidateMeshConfig, ValidateMeshNetworks of Istio). */

import { labelKeyViolation, labelValueViolation } from '../../../match/labels.ts';
import { jsonFields } from '../../../xds/access-log-format.ts';
import type { Findings } from '../../kind.ts';
import type { MeshConfig } from '../../mesh-config/mesh-config.ts';
import type { ExtensionProvider } from '../../mesh-config/mesh-config-providers.ts';
import type { MeshNetworks } from '../../mesh-config/mesh-networks.ts';
import type { Violation } from '../../resource.ts';
import { parseDuration } from '../../schema/vocabulary.ts';
import { formatPath, keyPath, Report } from '../../violations.ts';
import {
  dnsLabelViolation,
  fqdnViolation,
  ipOrCidrViolation,
  isIp,
  portViolation,
  wildcardDomainViolation,
} from '../primitives.ts';
import { checkRetries } from '../routes/http-action.ts';
import { checkClientTls, checkConnectionPool, checkLocality, checkOutlierDetection } from '../traffic-policy.ts';
import { extensionProviderViolations } from './extension-provider.ts';
import { meshTrustDomainViolation } from './mesh-address.ts';
import { checkMeshProxyConfig } from './mesh-proxy-config.ts';

const MAX_CONNECT_TIMEOUT_MS = 3_600_000;
const CURVES: ReadonlySet<string> = new Set(['P-256', 'P-384', 'P-521', 'X25519', 'X25519MLKEM768']);

/** Judges a whole MeshConfig, defaults included. Invalid providers are warnings: they are left out, as Istio does. */
export function checkMeshConfig(config: MeshConfig): Findings {
  const report = new Report();
  checkPorts(report, config);
  checkTimeouts(report, config);
  if (!config.defaultConfig) report.violation('defaultConfig', 'required', 'is required');
  else checkMeshProxyConfig(report, 'defaultConfig', config.defaultConfig);
  if (config.localityLbSetting) checkLocality(report, 'localityLbSetting', config.localityLbSetting, true);
  checkTrustDomains(report, config);
  checkLogFormat(report, config);
  for (const [i, { hosts = [] }] of (config.serviceSettings ?? []).entries()) {
    for (const [j, host] of hosts.entries()) {
      report.violationIf(`serviceSettings[${i}].hosts[${j}]`, 'meshconfig.host', wildcardDomainViolation(host));
    }
  }
  checkTls(report, config);
  checkPolicies(report, config);
  checkSelectors(report, config);
  for (const violation of invalidProviders(config).flatMap((each) => each.violations)) {
    report.warn(violation.path, violation.rule, `${violation.message}; the provider is left out`);
  }
  checkProviderNames(report, config);
  checkDeprecated(report, config);
  return report.findings;
}

function checkPorts(report: Report, config: MeshConfig): void {
  report.violationIf('proxyListenPort', 'port', portViolation(config.proxyListenPort));
  if (config.proxyInboundListenPort !== undefined) {
    report.violationIf('proxyInboundListenPort', 'port', portViolation(config.proxyInboundListenPort));
  }
  if (config.proxyHttpPort) report.violationIf('proxyHttpPort', 'port', portViolation(config.proxyHttpPort));
}

function checkTimeouts(report: Report, config: MeshConfig): void {
  const connect = config.connectTimeout === undefined ? undefined : parseDuration(config.connectTimeout);
  if (connect === undefined || connect < 1 || connect > MAX_CONNECT_TIMEOUT_MS || connect % 1 !== 0) {
    report.violation('connectTimeout', 'meshconfig.timeout', 'must be 1ms to 1h, in whole milliseconds');
  }
  const detection = parseDuration(config.protocolDetectionTimeout ?? '0s') ?? 0;
  if (detection < 0 || detection % 1 !== 0) {
    report.violation('protocolDetectionTimeout', 'meshconfig.timeout', 'must be 0s (no limit) or whole milliseconds');
  }
}

function checkTrustDomains(report: Report, config: MeshConfig): void {
  report.violationIf('trustDomain', 'meshconfig.trust-domain', meshTrustDomainViolation(config.trustDomain ?? ''));
  for (const [i, alias] of (config.trustDomainAliases ?? []).entries()) {
    report.violationIf(`trustDomainAliases[${i}]`, 'meshconfig.trust-domain', meshTrustDomainViolation(alias));
  }
}

function checkTls(report: Report, config: MeshConfig): void {
  if (config.meshMTLS?.ecdhCurves?.length) {
    report.violation('meshMTLS.ecdhCurves', 'meshconfig.tls', 'is not supported: set tlsDefaults.ecdhCurves');
  }
  const seen = new Set<string>();
  for (const [i, curve] of (config.tlsDefaults?.ecdhCurves ?? []).entries()) {
    const path = `tlsDefaults.ecdhCurves[${i}]`;
    if (!CURVES.has(curve)) report.warn(path, 'meshconfig.tls', `unknown curve "${curve}" is ignored`);
    else if (seen.has(curve)) report.warn(path, 'meshconfig.tls', `"${curve}" is set twice`);
    seen.add(curve);
  }
  const { outboundTrafficPolicy: outbound, ca } = config;
  if (outbound?.tls && outbound.mode !== 'ALLOW_ANY_DYNAMIC_DNS') {
    report.violation('outboundTrafficPolicy.tls', 'meshconfig.tls', 'needs mode ALLOW_ANY_DYNAMIC_DNS');
  }
  if (outbound?.tls) checkClientTls(report, 'outboundTrafficPolicy.tls', outbound.tls);
  if (ca?.tlsSettings) checkClientTls(report, 'ca.tlsSettings', ca.tlsSettings);
}

function checkPolicies(report: Report, config: MeshConfig): void {
  const traffic = config.defaultTrafficPolicy;
  if (traffic) checkDefaultTrafficPolicy(report, 'defaultTrafficPolicy', traffic);
  const retries = config.defaultInboundHttpRetryPolicy;
  if (retries) checkInboundRetries(report, 'defaultInboundHttpRetryPolicy', retries);
}

export function checkDefaultTrafficPolicy(
  report: Report,
  path: string,
  policy: NonNullable<MeshConfig['defaultTrafficPolicy']>,
): void {
  if (policy.connectionPool) checkConnectionPool(report, `${path}.connectionPool`, policy.connectionPool);
  if (policy.outlierDetection) checkOutlierDetection(report, `${path}.outlierDetection`, policy.outlierDetection);
}

/** Towards the one local application there is no other host to try. */
export function checkInboundRetries(
  report: Report,
  path: string,
  policy: NonNullable<MeshConfig['defaultInboundHttpRetryPolicy']>,
): void {
  checkRetries(report, path, policy);
  const timeout = policy.perTryTimeout === undefined ? undefined : (parseDuration(policy.perTryTimeout) ?? 0);
  if (timeout !== undefined && (timeout < 1 || timeout % 1 !== 0)) {
    report.violation(`${path}.perTryTimeout`, 'value', 'must be at least 1ms, in whole milliseconds');
  }
  for (const field of ['perTryTimeout', 'retryRemoteLocalities', 'retryIgnorePreviousHosts'] as const) {
    if (policy[field]) report.warn(`${path}.${field}`, 'meshconfig.retries', 'is ignored for inbound requests');
  }
}

function checkSelectors(report: Report, config: MeshConfig): void {
  const lists = [
    ...(config.discoverySelectors ?? []).map((selector, i) => [`discoverySelectors[${i}]`, selector] as const),
    ...(config.serviceScopeConfigs ?? []).flatMap((scope, i) =>
      (['namespaceSelector', 'servicesSelector'] as const).map(
        (field) => [`serviceScopeConfigs[${i}].${field}`, scope[field] ?? {}] as const,
      ),
    ),
  ];
  for (const [path, selector] of lists) {
    for (const [key, value] of Object.entries(selector.matchLabels ?? {})) {
      const at = keyPath(`${path}.matchLabels`, key);
      report.violationIf(at, 'labels', labelKeyViolation(key) ?? labelValueViolation(value));
    }
    for (const [i, { key, operator, values = [] }] of (selector.matchExpressions ?? []).entries()) {
      const at = `${path}.matchExpressions[${i}]`;
      report.violationIf(`${at}.key`, 'labels', labelKeyViolation(key));
      const wanted = operator === 'In' || operator === 'NotIn';
      if (wanted && values.length === 0)
        report.violation(`${at}.values`, 'labels', `is required with operator ${operator}`);
      if (!wanted && values.length > 0)
        report.violation(`${at}.values`, 'labels', `cannot be set with operator ${operator}`);
    }
  }
}

/** The providers Istio would leave out, with the reasons. Of two with one name the first is good. */
export function invalidProviders(config: MeshConfig): { index: number; violations: Violation[] }[] {
  const names = new Set<string>();
  return (config.extensionProviders ?? []).flatMap((provider, index) => {
    const path = `extensionProviders[${index}]`;
    const violations = extensionProviderViolations(path, provider);
    if (provider.name && names.has(provider.name)) {
      const message = `"${provider.name}" is used twice`;
      violations.push({ path: `${path}.name`, rule: 'meshconfig.provider', message });
    }
    names.add(provider.name ?? '');
    return violations.length > 0 ? [{ index, violations }] : [];
  });
}

function checkProviderNames(report: Report, config: MeshConfig): void {
  const known = new Map((config.extensionProviders ?? []).map((provider) => [provider.name, provider]));
  for (const use of ['tracing', 'metrics', 'accessLogging'] as const) {
    for (const [i, name] of (config.defaultProviders?.[use] ?? []).entries()) {
      const provider = known.get(name);
      const path = `defaultProviders.${use}[${i}]`;
      if (!provider) report.warn(path, 'meshconfig.provider', `"${name}" is none of extensionProviders`);
      else if (use === 'tracing' && !isTracer(provider))
        report.warn(
          path,
          'meshconfig.provider',
          `"${name}" is no provider of traces that proxies know (zipkin, opentelemetry): requests are not traced`,
        );
    }
  }
}

const isTracer = ({ zipkin, opentelemetry }: ExtensionProvider): boolean =>
  zipkin !== undefined || opentelemetry !== undefined;

function checkDeprecated(report: Report, config: MeshConfig): void {
  const deprecated = (path: string, value: unknown, instead: string) => {
    if (value !== undefined) report.warn(path, 'deprecated', `is deprecated: ${instead}`);
  };
  const { defaultConfig } = config;
  deprecated('certificates', config.certificates, 'use cert-manager or another issuer');
  deprecated('verifyCertificateAtClient', config.verifyCertificateAtClient, 'certificates are always verified');
  deprecated('defaultConfig.zipkinAddress', defaultConfig?.zipkinAddress, 'use tracing.zipkin');
  deprecated('defaultConfig.tracing.lightstep', defaultConfig?.tracing?.lightstep, 'use an opentelemetry provider');
  deprecated(
    'defaultConfig.envoyMetricsServiceAddress',
    defaultConfig?.envoyMetricsServiceAddress,
    'use envoyMetricsService',
  );
  for (const [i, provider] of (config.extensionProviders ?? []).entries()) {
    const path = `extensionProviders[${i}]`;
    deprecated(`${path}.lightstep`, provider.lightstep, 'use opentelemetry');
    deprecated(`${path}.opencensus`, provider.opencensus, 'use opentelemetry');
    const headers = provider.envoyExtAuthzHttp?.includeHeadersInCheck;
    deprecated(`${path}.envoyExtAuthzHttp.includeHeadersInCheck`, headers, 'use includeRequestHeadersInCheck');
  }
}

export function checkMeshNetworks(networks: MeshNetworks): Findings {
  const report = new Report();
  for (const [name, network] of Object.entries(networks.networks ?? {})) {
    const path = formatPath(['networks', name]);
    for (const [i, { fromCidr, fromRegistry }] of (network.endpoints ?? []).entries()) {
      const at = `${path}.endpoints[${i}]`;
      if (fromCidr !== undefined) report.violationIf(`${at}.fromCidr`, 'cidr', ipOrCidrViolation(fromCidr));
      if (fromRegistry !== undefined) report.violationIf(`${at}.fromRegistry`, 'name', dnsLabelViolation(fromRegistry));
    }
    for (const [i, gateway] of (network.gateways ?? []).entries()) {
      const at = `${path}.gateways[${i}]`;
      const { registryServiceName: service, address } = gateway;
      if (service !== undefined)
        report.violationIf(`${at}.registryServiceName`, 'meshnetworks.gateway', fqdnViolation(service));
      if (address !== undefined && !isIp(address)) {
        report.violationIf(`${at}.address`, 'meshnetworks.gateway', fqdnViolation(address));
      }
      report.violationIf(`${at}.port`, 'port', portViolation(gateway.port));
    }
  }
  return report.findings;
}

/** istiod logs it, and uses its default. */
function checkLogFormat(report: Report, { accessLogFormat, accessLogEncoding }: MeshConfig): void {
  if (accessLogEncoding !== 'JSON' || !accessLogFormat || jsonFields(accessLogFormat)) return;
  const why = "is no JSON object, as accessLogEncoding JSON needs; Istio's default fields are used";
  report.warn('accessLogFormat', 'no-effect', `has no effect: ${why}`);
}
