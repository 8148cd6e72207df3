/** Inputs of upstream's tests as an API server accepts them: what it refuses for reasons that a test is not about is corrected. */
import { splitApiVersion } from '../../../../shared/resources/index.ts';
import type { Resource } from '../../../../shared/resources/resource.ts';
import { admitted } from '../reference.ts';

interface Input {
  readonly apiVersion: string;
  readonly kind: string;
  readonly spec?: { readonly ports?: readonly { name?: string; port: number }[] };
}

export function acceptedResource(value: unknown): Resource {
  const input = value as Input;
  // Read by the test alone.
  if (splitApiVersion(input.apiVersion).group === 'gateway.networking.k8s.io') return value as Resource;
  if (input.kind === 'EndpointSlice') return admitted({ addressType: 'IPv4', ...input });
  return admitted(input.kind === 'Service' ? withPortNames(input) : input);
}

/** Names of ports must differ (core/v1 Service). */
function withPortNames(input: Input): Input {
  const { ports = [] } = input.spec ?? {};
  const isTaken = (name: string | undefined) => ports.filter((port) => port.name === name).length > 1;
  const named = ports.map((port) => (isTaken(port.name) ? { ...port, name: `${port.name}-${port.port}` } : port));
  return ports.length === 0 ? input : { ...input, spec: { ...input.spec, ports: named } };
}
