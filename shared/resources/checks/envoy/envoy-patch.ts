/**
 * Values of EnvoyFilter's patches, against the Envoy messages that are described in shared/xds. As in Istio's webhook, a field
 * of a wrong type is a violation; a field that is missing is none, since a patch is a part of a message; a field that is not
 * described here may be one of Envoy's.
 */
import type { z } from 'zod';
import { Bootstrap } from '../../../xds/bootstrap.ts';
import { Cluster } from '../../../xds/cluster.ts';
import { HttpFilter } from '../../../xds/http-connection-manager.ts';
import { FilterChain, Listener, ListenerFilter, NetworkFilter } from '../../../xds/listener.ts';
import { jsonName } from '../../../xds/message.ts';
import { Route, RouteConfiguration, VirtualHost } from '../../../xds/route.ts';
import { formatPath, keyPath, type Report } from '../../violations.ts';

const MESSAGES: Readonly<Record<string, z.ZodType>> = {
  LISTENER: Listener,
  FILTER_CHAIN: FilterChain,
  NETWORK_FILTER: NetworkFilter,
  HTTP_FILTER: HttpFilter,
  LISTENER_FILTER: ListenerFilter,
  ROUTE_CONFIGURATION: RouteConfiguration,
  VIRTUAL_HOST: VirtualHost,
  HTTP_ROUTE: Route,
  CLUSTER: Cluster,
  BOOTSTRAP: Bootstrap,
};
/** Complete objects: Envoy cannot identify their type by name. */
const FILTERS: ReadonlySet<string> = new Set(['NETWORK_FILTER', 'HTTP_FILTER', 'LISTENER_FILTER', 'EXTENSION_CONFIG']);
/** Where the types of Envoy, its contributed extensions and Istio's build of it live. */
const PACKAGES = /^(envoy|udpa|xds|istio|io\.istio|stats|opencensus|google\.protobuf)\./;
const ADDS = /^(ADD|INSERT_|REPLACE$)/;

export function checkPatchValue(
  report: Report,
  path: string,
  applyTo: string,
  operation: string,
  value: Readonly<Record<string, unknown>>,
): void {
  const schema = MESSAGES[applyTo];
  const parsed = schema?.safeParse(value, { reportInput: true });
  if (parsed && !parsed.success) {
    for (const issue of parsed.error.issues) {
      if (isWrongType(issue))
        report.violation(`${path}.${formatPath(issue.path)}`, 'envoyfilter.value', wrongType(issue));
    }
  }
  checkTypes(report, path, value, 0);
  const fields = new Map(Object.entries(value).map(([name, field]) => [jsonName(name), field]));
  if (!FILTERS.has(applyTo) || !ADDS.test(operation)) return;
  if (fields.has('config')) report.warn(`${path}.config`, 'deprecated', 'is no field of Envoy v3: use typed_config');
  if (!fields.has('typedConfig') && !fields.has('configDiscovery')) {
    report.warn(path, 'deprecated', 'has no typed_config: Envoy no longer finds an extension by its name alone');
  }
}

/** Wrong in any message of that kind, a part or the whole. */
function isWrongType(issue: z.core.$ZodIssue): boolean {
  if (issue.code === 'invalid_value') return issue.input !== undefined;
  // The violations inside an Any are reported without its value.
  return issue.code === 'invalid_type' && (issue.input !== undefined || !issue.message.includes('received undefined'));
}

function wrongType(issue: z.core.$ZodIssue): string {
  if (issue.code === 'invalid_value') return `must be one of ${issue.values.join(', ')}`;
  if (issue.code !== 'invalid_type') return issue.message;
  const { input } = issue;
  const found =
    input === undefined ? '' : `, not a ${Array.isArray(input) ? 'list' : input === null ? 'null' : typeof input}`;
  return `must be a ${issue.expected}${found}`;
}

/** Every Any, at any depth, must name a type that Envoy v3 has. */
function checkTypes(report: Report, path: string, value: unknown, depth: number): void {
  if (typeof value !== 'object' || value === null || depth > 100) return;
  if (Array.isArray(value)) {
    for (const [i, item] of value.entries()) checkTypes(report, `${path}[${i}]`, item, depth + 1);
    return;
  }
  for (const [key, field] of Object.entries(value)) {
    const at = keyPath(path, key);
    if (key === '@type') report.violationIf(at, 'envoyfilter.type', typeViolation(field));
    else if (jsonName(key) === 'typeUrl' && 'value' in value) {
      report.violationIf(at, 'envoyfilter.type', field === '' ? undefined : typeViolation(field));
    } else {
      if (jsonName(key) === 'typedConfig' && typeof field === 'object' && field !== null && !('@type' in field)) {
        report.violation(at, 'envoyfilter.type', 'must have an "@type"');
      }
      checkTypes(report, at, field, depth + 1);
    }
  }
}

function typeViolation(url: unknown): string | undefined {
  if (typeof url !== 'string') return 'must be a string';
  const name = url.slice(url.lastIndexOf('/') + 1);
  if (!url.includes('/') || !/^[A-Za-z_]\w*(\.[A-Za-z_]\w*)+$/.test(name)) {
    return `"${url}" must be a type URL, as type.googleapis.com/envoy.config.cluster.v3.Cluster`;
  }
  if (!PACKAGES.test(name)) return `unknown type "${name}"`;
  // Envoy's own packages of today are all v3 (or v3alpha); others, as Istio's and udpa's, count on their own.
  if (/^envoy\.(?!tcp\.)/.test(name) && !/\.v3(alpha)?\./.test(name)) {
    return `unknown type "${name}": use the type of Envoy's v3 API`;
  }
  return undefined;
}
