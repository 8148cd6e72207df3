/** Rules of MeshConfig.defaultConfig beyond its schema (ValidateMeshConfigProxyConfig of Istio). */

import type { MeshProxyConfig } from '../../mesh-config/mesh-config-proxy.ts';
import { parseDuration } from '../../schema/vocabulary.ts';
import type { Report } from '../../violations.ts';
import { istioRegexViolation, portViolation } from '../primitives.ts';
import { checkClientTls } from '../traffic-policy.ts';
import { proxyAddressViolation } from './mesh-address.ts';

const RULE = 'meshconfig.proxy';

/** Judges a whole ProxyConfig, defaults included: a missing field has no later default. */
export function checkMeshProxyConfig(report: Report, path: string, config: MeshProxyConfig): void {
  for (const field of ['configPath', 'binaryPath'] as const) {
    if (!config[field]) report.violation(`${path}.${field}`, 'required', 'must not be empty');
  }
  if (!config.serviceCluster && config.tracingServiceName === undefined) {
    report.violation(`${path}.serviceCluster`, 'required', 'is required (or tracingServiceName)');
  }
  report.violationIf(`${path}.drainDuration`, RULE, drainDurationViolation(config.drainDuration));
  const address = config.discoveryAddress;
  report.violationIf(
    `${path}.discoveryAddress`,
    RULE,
    address ? proxyAddressViolation(address) : 'is required, as host:port',
  );
  report.violationIf(`${path}.proxyAdminPort`, 'port', portViolation(config.proxyAdminPort));
  report.violationIf(`${path}.statusPort`, 'port', portViolation(config.statusPort));
  if (config.controlPlaneAuthPolicy === 'INHERIT') {
    report.violation(
      `${path}.controlPlaneAuthPolicy`,
      RULE,
      'must be NONE or MUTUAL_TLS: the mesh has nothing to inherit from',
    );
  }
  checkServices(report, path, config);
  if (config.tracing) checkTracing(report, `${path}.tracing`, config.tracing);
  if (config.privateKeyProvider) checkPrivateKeys(report, `${path}.privateKeyProvider`, config.privateKeyProvider);
  if (config.connectionSettings)
    checkConnectionSettings(report, `${path}.connectionSettings`, config.connectionSettings);
  for (const [i, pattern] of (config.proxyStatsMatcher?.inclusionRegexps ?? []).entries()) {
    report.violationIf(`${path}.proxyStatsMatcher.inclusionRegexps[${i}]`, 'regex', istioRegexViolation(pattern));
  }
}

/** Connections are drained for whole seconds. */
export function drainDurationViolation(text: string | undefined): string | undefined {
  const ms = text === undefined ? undefined : parseDuration(text);
  return ms !== undefined && ms >= 1000 && ms % 1000 === 0 ? undefined : 'must be whole seconds, at least 1s';
}

function checkServices(report: Report, path: string, config: MeshProxyConfig): void {
  for (const field of ['statsdUdpAddress', 'envoyMetricsServiceAddress'] as const) {
    const address = config[field];
    if (address) report.violationIf(`${path}.${field}`, RULE, proxyAddressViolation(address));
  }
  for (const field of ['envoyMetricsService', 'envoyAccessLogService'] as const) {
    const service = config[field];
    if (service?.address) report.violationIf(`${path}.${field}.address`, RULE, proxyAddressViolation(service.address));
    if (service?.tlsSettings) checkClientTls(report, `${path}.${field}.tlsSettings`, service.tlsSettings);
  }
}

function checkTracing(report: Report, path: string, tracing: NonNullable<MeshProxyConfig['tracing']>): void {
  for (const tracer of ['zipkin', 'lightstep', 'datadog'] as const) {
    const settings = tracing[tracer];
    if (!settings) continue;
    // The agent puts the node's address in.
    const address = (settings.address ?? '').replace('$(HOST_IP)', '127.0.0.1');
    report.violationIf(
      `${path}.${tracer}.address`,
      RULE,
      address ? proxyAddressViolation(address) : 'is required, as host:port',
    );
  }
  if (tracing.lightstep && !tracing.lightstep.accessToken) {
    report.violation(`${path}.lightstep.accessToken`, 'required', 'is required');
  }
  if (tracing.tlsSettings) checkClientTls(report, `${path}.tlsSettings`, tracing.tlsSettings);
}

function checkPrivateKeys(
  report: Report,
  path: string,
  provider: NonNullable<MeshProxyConfig['privateKeyProvider']>,
): void {
  if (!provider.cryptomb && !provider.qat) report.violation(path, 'required', 'must have one of cryptomb, qat');
  for (const method of ['cryptomb', 'qat'] as const) {
    const settings = provider[method];
    if (!settings) continue;
    const delay = settings.pollDelay === undefined ? undefined : parseDuration(settings.pollDelay);
    if (delay === undefined) report.violation(`${path}.${method}.pollDelay`, 'required', 'is required');
    else if (delay === 0) report.violation(`${path}.${method}.pollDelay`, RULE, 'must not be zero');
  }
}

export function checkConnectionSettings(
  report: Report,
  path: string,
  settings: NonNullable<MeshProxyConfig['connectionSettings']>,
): void {
  for (const [field, value] of Object.entries(settings)) {
    const negative =
      (typeof value === 'number' && value < 0) || (/Timeout$/.test(field) && (parseDuration(String(value)) ?? 0) < 0);
    if (negative) report.violation(`${path}.${field}`, RULE, 'must be >= 0');
  }
}
