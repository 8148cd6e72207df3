/** Names of clusters in metrics: MeshConfig's inboundClusterStatName and outboundClusterStatName (BuildStatPrefix of Istio). */
import type { MeshService } from '../../mesh/view.ts';

/**
 * @param pattern with %SERVICE%, %SERVICE_FQDN%, %SERVICE_NAME%, %SERVICE_PORT%, %SERVICE_PORT_NAME%, %TARGET_PORT%, %SUBSET_NAME%
 * @param target port of the workload; '' for an outbound cluster, whose endpoints may differ
 */
export function statNameOf(
  pattern: string,
  { hostname, name, namespace, resource }: MeshService,
  portName: string | undefined,
  port: number,
  { subset = '', target = '' }: { readonly subset?: string | undefined; readonly target?: string } = {},
): string {
  const values: Readonly<Record<string, string>> = {
    // Of a Kubernetes Service its name with its namespace, of any other its host.
    SERVICE: resource.kind === 'Service' ? `${name}.${namespace}` : hostname,
    SERVICE_FQDN: hostname,
    SERVICE_NAME: name,
    SERVICE_PORT: String(port),
    SERVICE_PORT_NAME: portName ?? '',
    TARGET_PORT: target,
    SUBSET_NAME: subset,
  };
  return pattern.replace(/%([A-Z_]+)%/g, (whole, key: string) => values[key] ?? whole);
}
