/** Istio's protocol selection: explicit `protocol` or `appProtocol`, else the prefix of the port's name. */
import type { Protocol } from './view.ts';

const PROTOCOLS: Record<string, Protocol> = {
  http: 'HTTP',
  http2: 'HTTP2',
  'kubernetes.io/h2c': 'HTTP2',
  grpc: 'GRPC',
  'grpc-web': 'GRPC-WEB',
  http_proxy: 'HTTP_PROXY',
  https: 'HTTPS',
  tls: 'TLS',
  tcp: 'TCP',
  mongo: 'MONGO',
  mysql: 'MYSQL',
  redis: 'REDIS',
  udp: 'UDP',
};

/** `declared` as `HTTP`, `grpc` … or absent; `portName` as `http-web`. Unknown: UNSUPPORTED. */
export function protocolOf(declared: string | undefined, portName: string | undefined): Protocol {
  if (declared !== undefined) return PROTOCOLS[declared.toLowerCase()] ?? 'UNSUPPORTED';
  if (portName === undefined) return 'UNSUPPORTED';
  const name = portName.toLowerCase();
  if (name === 'grpc-web' || name.startsWith('grpc-web-')) return 'GRPC-WEB';
  return PROTOCOLS[name.split('-')[0] ?? ''] ?? 'UNSUPPORTED';
}

/** Routed by HTTP rules. */
export function isHttp(protocol: Protocol): boolean {
  return ['HTTP', 'HTTP2', 'GRPC', 'GRPC-WEB', 'HTTP_PROXY'].includes(protocol);
}
/** Spoken as HTTP/2 with prior knowledge. */
export function isHttp2(protocol: Protocol): boolean {
  return protocol === 'HTTP2' || protocol === 'GRPC' || protocol === 'GRPC-WEB';
}
