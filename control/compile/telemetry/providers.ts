/** Extension providers of MeshConfig, as Telemetry names them. */
import type { MeshConfig } from '../../../shared/resources/mesh-config/mesh-config.ts';
import {
  type ExtensionProvider,
  PROVIDERS,
  type ProviderType,
} from '../../../shared/resources/mesh-config/mesh-config-providers.ts';
import type { Finding } from '../output/finding.ts';
import type { Services } from '../scope/scope.ts';
import type { Telemetry } from './applicable.ts';

/** As in Istio, names differ in more than case. */
export function providerNamed({ extensionProviders = [] }: MeshConfig, name: string): ExtensionProvider | undefined {
  return extensionProviders.find((one) => one.name?.toLowerCase() === name.toLowerCase());
}

export function providerType(provider: ExtensionProvider): ProviderType | undefined {
  return (Object.keys(PROVIDERS) as ProviderType[]).find((type) => provider[type] !== undefined);
}

export const namesOf = (providers: readonly { name?: string | undefined }[] | undefined): string[] =>
  (providers ?? []).flatMap(({ name }) => name ?? []);

/** The cluster of a provider's service. */
export interface ProviderCluster {
  readonly host: string;
  readonly cluster: string;
}

/** Finds the cluster of a provider's service; a string says why there is none. */
export type ClusterLookup = (service: string | undefined, port: number | undefined) => ProviderCluster | string;

/**
 * The clusters of the services that spans go to, as text: one input for all, which stays the same while services come and go
 * that no tracer sends to.
 */
export function tracerClusters(config: MeshConfig, names: readonly string[], services: Services): string {
  const found = names.flatMap((name) => {
    const { zipkin, opentelemetry } = providerNamed(config, name) ?? {};
    const at = zipkin ?? opentelemetry;
    return at ? [[keyOf(at.service, at.port), providerCluster(services, at.service, at.port)] as const] : [];
  });
  return JSON.stringify(Object.fromEntries(found));
}

/** What `tracerClusters` has found. */
export function lookupIn(clusters: string): ClusterLookup {
  const found = JSON.parse(clusters) as Readonly<Record<string, ProviderCluster | string>>;
  return (service, port) => found[keyOf(service, port)] ?? `there is no service ${service}`;
}

const keyOf = (service = '', port = 0) => `${service}:${port}`;

/** `host` or `namespace/host`, among the services that the proxy sees. */
function providerCluster(services: Services, service = '', port = 0): ProviderCluster | string {
  const slash = service.indexOf('/');
  const [namespace, host] = slash < 0 ? [undefined, service] : [service.slice(0, slash), service.slice(slash + 1)];
  const found = services.byHost.get(host);
  if (!found || (namespace !== undefined && found.namespace !== namespace)) return `there is no service ${service}`;
  if (!found.ports.some(({ number }) => number === port)) return `service ${service} has no port ${port}`;
  return { host, cluster: `outbound|${port}||${host}` };
}

/** Something of a Telemetry that has no effect. */
export const withoutEffect = (about: Telemetry, message: string): Finding => ({
  about,
  reason: 'RuleWithoutEffect',
  message,
});
