/** What the Telemetry resources of a mesh come to for one proxy. */
import type { MeshView } from '../../mesh/view.ts';
import type { Finding } from '../output/finding.ts';
import type { ProxyView } from '../scope/proxy.ts';
import type { Services } from '../scope/scope.ts';
import { applicableTo } from '../telemetry/applicable.ts';
import { tracerClusters, withoutEffect } from '../telemetry/providers.ts';
import { namedTracers, type ProxyTelemetry, proxyTelemetry } from '../telemetry/proxy-telemetry.ts';
import { effectiveProxyConfig } from './proxy-config.ts';

export interface NodeTelemetry {
  readonly compiled: ProxyTelemetry;
  readonly findings: readonly Finding[];
}

const UNTRACED = { canonicalService: '', canonicalRevision: '', clusterId: '', meshId: '', namespace: '' };

/** Proxies whose requests are not traced share it: only spans tell workloads apart. */
export function telemetryOf(view: MeshView, proxy: ProxyView, services: Services): NodeTelemetry {
  const { settings } = view;
  const { list, ofService, undecided } = applicableTo(view.resources('Telemetry'), proxy, settings.rootNamespace);
  const tracers = namedTracers(settings, list);
  const compiled = proxyTelemetry({
    settings,
    clusters: tracerClusters(settings.config, tracers, services),
    proxyTracing: effectiveProxyConfig(view, proxy).tracing,
    telemetries: list,
    ofService,
    isGateway: proxy.type === 'router',
    ...(tracers.length > 0 ? tracedWorkload(proxy) : UNTRACED),
  });
  const findings = [
    ...compiled.findings,
    ...undecided.map(({ resource, why }) => withoutEffect(resource, `spec.targetRefs: ${why}`)),
  ];
  return { compiled, findings };
}

function tracedWorkload({ labels, clusterId, meshId, namespace }: ProxyView) {
  return {
    canonicalService: labels['service.istio.io/canonical-name'] ?? '',
    canonicalRevision: labels['service.istio.io/canonical-revision'] ?? '',
    clusterId,
    meshId,
    namespace,
  };
}
