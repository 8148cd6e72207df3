/** Protocol selection from port names and appProtocol (istio.io/latest/docs/ops/configuration/traffic-management/protocol-selection). */

/** Istio's protocol names. HTTP, HTTP2, GRPC, GRPC_WEB are HTTP; TCP, TLS, HTTPS, MONGO, REDIS, MYSQL are opaque. */
export type Protocol =
  | 'HTTP'
  | 'HTTP2'
  | 'GRPC'
  | 'GRPC-WEB'
  | 'HTTP_PROXY'
  | 'HTTPS'
  | 'TLS'
  | 'TCP'
  | 'MONGO'
  | 'MYSQL'
  | 'REDIS'
  | 'UDP'
  | 'UNSUPPORTED';

/** The names that `parseProtocol` knows. */
export const PROTOCOL_NAMES: ReadonlySet<string> = new Set<Protocol>([
  'HTTP',
  'HTTP2',
  'GRPC',
  'GRPC-WEB',
  'HTTP_PROXY',
  'HTTPS',
  'TLS',
  'TCP',
  'MONGO',
  'MYSQL',
  'REDIS',
  'UDP',
]);
/** appProtocol values that Kubernetes defines itself. */
const KUBERNETES: Readonly<Record<string, Protocol>> = {
  'kubernetes.io/h2c': 'HTTP2',
  'kubernetes.io/ws': 'HTTP',
  'kubernetes.io/wss': 'HTTPS',
};
/** Ports whose server speaks first (SMTP, DNS, MySQL, MongoDB): never sniffed. */
const SERVER_FIRST_PORTS: ReadonlySet<number> = new Set([25, 53, 3306, 27017]);

/** A protocol by its name, in any case, as ServiceEntry, Sidecar and Gateway declare it; UNSUPPORTED when there is none of that name. */
export function parseProtocol(name: string): Protocol {
  const upper = name.toUpperCase();
  return PROTOCOL_NAMES.has(upper) ? (upper as Protocol) : 'UNSUPPORTED';
}

/**
 * The protocol of a service port: appProtocol, else the port name's prefix (`http-web`).
 * UNSUPPORTED means nothing was declared: the proxy detects HTTP from the first bytes.
 * @param transport the Kubernetes `protocol` of the port, `TCP` when absent
 */
export function portProtocol(port: number, name: string, transport?: string, appProtocol?: string): Protocol {
  if (transport === 'UDP') return 'UDP';
  const kubernetes = appProtocol !== undefined && Object.hasOwn(KUBERNETES, appProtocol) && KUBERNETES[appProtocol];
  if (kubernetes) return kubernetes;
  const text = appProtocol ?? name;
  if (/^grpc-web/i.test(text)) return 'GRPC-WEB';
  const protocol = parseProtocol(text.split('-', 1)[0] ?? '');
  return protocol === 'UNSUPPORTED' && SERVER_FIRST_PORTS.has(port) ? 'TCP' : protocol;
}

/** Whether the traffic is routed by HTTP rules. */
export function isHttp(protocol: Protocol): boolean {
  return protocol === 'HTTP' || isHttp2(protocol) || protocol === 'HTTP_PROXY';
}

/** Whether HTTP/2 is spoken, in plaintext with prior knowledge. */
export function isHttp2(protocol: Protocol): boolean {
  return protocol === 'HTTP2' || protocol === 'GRPC' || protocol === 'GRPC-WEB';
}

/** Whether the traffic is passed on as bytes, including TLS that the mesh does not terminate. */
export function isTcp(protocol: Protocol): boolean {
  return ['TCP', 'HTTPS', 'TLS', 'MONGO', 'REDIS', 'MYSQL'].includes(protocol);
}

export function isTls(protocol: Protocol): boolean {
  return protocol === 'HTTPS' || protocol === 'TLS';
}
