/** What metadata says of tunnels: at an endpoint, by whose tunnels it is reached; at a cluster, that its endpoints are gateways. */
import type { Cluster } from '../../../shared/xds/cluster.ts';
import { TUNNEL_METADATA, TunnelEndpoint, TunnelGateways } from '../../../shared/xds/filters/tunnel.ts';
import { ConfigError, pathText } from '../../config-error.ts';
import type { TunnelTarget } from '../../runtime/runtime.ts';

/** @throws ConfigError naming the field */
export function compileTunnel(metadata: object | undefined): TunnelTarget | undefined {
  return metadata && read(TunnelEndpoint, metadata, 'endpoint.metadata');
}

/** @returns undefined: the cluster is another one @throws ConfigError naming the field */
export function tunnelGatewaysOf({ metadata }: Pick<Cluster, 'metadata'>): TunnelGateways | undefined {
  const found = metadata?.filterMetadata?.[TUNNEL_METADATA];
  return found && read(TunnelGateways, found, 'metadata');
}

function read<T>(schema: { safeParse(value: unknown): SafeRead<T> }, value: object, path: string): T {
  const { data, error } = schema.safeParse(value);
  if (data !== undefined) return data;
  const issue = error!.issues[0]!;
  throw new ConfigError(`${path}["${TUNNEL_METADATA}"].${pathText(issue.path)}`, issue.message);
}

interface SafeRead<T> {
  readonly data?: T | undefined;
  readonly error?:
    | { readonly issues: readonly { readonly path: PropertyKey[]; readonly message: string }[] }
    | undefined;
}
