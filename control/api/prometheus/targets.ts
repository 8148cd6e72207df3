/** The proxies that serve metrics, in Prometheus' form (prometheus.io/docs/prometheus/latest/http_sd). */
import type { Node } from '../../../shared/xds/core.ts';
import { numeric, text } from '../../mesh/fields.ts';

/** One target, and the labels of its metrics. */
export interface TargetGroup {
  readonly targets: readonly [string];
  readonly labels: Readonly<Record<string, string>>;
}

/** Unspecified, multicast and link-local addresses: a proxy names its address itself, and Prometheus fetches from it. */
const UNUSABLE = /^(|0\.0\.0\.0|::|169\.254\..*|2(2[4-9]|3\d)\..*|255\..*|ff[0-9a-f]{2}:.*|fe[89ab][0-9a-f]:.*)$/i;

/** @param nodes of connected proxies; those without ENVOY_PROMETHEUS_PORT (Istio's node metadata) serve no metrics */
export function targetsOf(nodes: Iterable<Node>): TargetGroup[] {
  const groups = new Map<string, TargetGroup>();
  for (const node of nodes) {
    const target = targetOf(node);
    // A proxy that was started again may have two sessions for a moment.
    if (target !== undefined) groups.set(target, { targets: [target], labels: labelsOf(node) });
  }
  return [...groups.values()];
}

function targetOf({ id, metadata = {} }: Node): string | undefined {
  const [, address = ''] = id.split('~');
  const port = numeric(metadata['ENVOY_PROMETHEUS_PORT']);
  if (port === undefined || !Number.isInteger(port) || port < 1 || port > 65535 || UNUSABLE.test(address))
    return undefined;
  return `${address.includes(':') ? `[${address}]` : address}:${port}`;
}

function labelsOf({ id, metadata = {}, userAgentName = '', userAgentVersion = '' }: Node): Record<string, string> {
  const namespace = text(metadata['NAMESPACE']) ?? '';
  const name = id.split('~')[2] ?? '';
  return {
    namespace,
    service_account: text(metadata['SERVICE_ACCOUNT']) ?? '',
    workload: name.endsWith(`.${namespace}`) ? name.slice(0, -namespace.length - 1) : name,
    version: userAgentVersion,
    runtime: userAgentName.replace(/^tulle-/, ''),
    node: id,
  };
}
