/** Rules of MeshConfig.extensionProviders beyond their schema (validateExtensionProvider of Istio). */

import { type ExtensionProvider, PROVIDERS, type ProviderType } from '../../mesh-config/mesh-config-providers.ts';
import type { Violation } from '../../resource.ts';
import { Report } from '../../violations.ts';
import { portViolation } from '../primitives.ts';
import { providerServiceViolation } from './mesh-address.ts';

const RULE = 'meshconfig.provider';
/** Providers that name no service. */
const WITHOUT_SERVICE: ReadonlySet<string> = new Set(['prometheus', 'stackdriver', 'envoyFileAccessLog']);
/** The statuses Envoy's StatusCode knows. */
const STATUSES: ReadonlySet<number> = new Set([
  100, 200, 201, 202, 203, 204, 205, 206, 207, 208, 226, 300, 301, 302, 303, 304, 305, 307, 308, 400, 401, 402, 403,
  404, 405, 406, 407, 408, 409, 410, 411, 412, 413, 414, 415, 416, 417, 421, 422, 423, 424, 426, 428, 429, 431, 500,
  501, 502, 503, 504, 505, 506, 507, 508, 510, 511,
]);

/** Which kind of provider an entry is; undefined when it names none. */
function providerType(provider: ExtensionProvider): ProviderType | undefined {
  return (Object.keys(PROVIDERS) as ProviderType[]).find((type) => provider[type] !== undefined);
}

/** The violations of one provider: Istio drops an invalid provider and keeps the others. */
export function extensionProviderViolations(path: string, provider: ExtensionProvider): Violation[] {
  const report = new Report();
  if (!provider.name) report.violation(`${path}.name`, 'required', 'must not be empty');
  const type = providerType(provider);
  if (type === undefined) {
    report.violation(path, RULE, `must have one of ${Object.keys(PROVIDERS).join(', ')}`);
  } else checkProvider(report, `${path}.${type}`, type, provider[type] as Readonly<Record<string, unknown>>);
  return report.violations;
}

/** @param settings the value of the key `type` */
export function checkProvider(
  report: Report,
  path: string,
  type: ProviderType,
  settings: Readonly<Record<string, unknown>>,
): void {
  if (!WITHOUT_SERVICE.has(type)) {
    report.violationIf(`${path}.service`, RULE, providerServiceViolation(String(settings['service'] ?? '')));
    report.violationIf(`${path}.port`, 'port', portViolation(settings['port'] as number | undefined));
  }
  if (type === 'lightstep' && !settings['accessToken']) {
    report.violation(`${path}.accessToken`, 'required', 'is required');
  }
  if (type === 'opentelemetry' && settings['http'] !== undefined && settings['grpc'] !== undefined) {
    report.violation(path, 'oneof', 'only one of http, grpc may be set');
  }
  const { statusOnError, pathPrefix } = settings as { statusOnError?: string; pathPrefix?: string };
  if (statusOnError && !(/^\d{3}$/.test(statusOnError) && STATUSES.has(Number(statusOnError)))) {
    report.violation(`${path}.statusOnError`, RULE, `"${statusOnError}" is not an HTTP status that Envoy knows`);
  }
  if (pathPrefix && !pathPrefix.startsWith('/')) report.violation(`${path}.pathPrefix`, RULE, 'must begin with "/"');
}
