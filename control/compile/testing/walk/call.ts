/** One call through compiled xDS, as shared/reference/simulation describes it, and what it meets. */

export interface Call {
  readonly address?: string;
  readonly port: number;
  readonly protocol?: 'http' | 'http2' | 'tcp';
  readonly host?: string;
  readonly path?: string;
  readonly tls?: 'plaintext' | 'tls' | 'mtls';
  readonly alpn?: string;
  readonly sni?: string;
  readonly mode?: 'inbound' | 'outbound' | 'gateway';
  /** The secret of the chains that take mTLS; default `default`. */
  readonly mtlsSecretName?: string;
}

/** The call with its defaults. */
export interface Connection {
  readonly address: string;
  readonly port: number;
  readonly protocol: 'http' | 'http2' | 'tcp';
  readonly host: string;
  readonly path: string;
  readonly tls: 'plaintext' | 'tls' | 'mtls';
  readonly alpn: string;
  readonly sni: string;
  readonly inbound: boolean;
  readonly mtlsSecretName: string;
}

/** The names that a call meets, in their order, until it fails or leaves the proxy. */
export interface Met {
  error?: string;
  listener?: string;
  filterChain?: string;
  routeConfig?: string;
  virtualHost?: string;
  route?: string;
  cluster?: string;
}

const MTLS_ALPN = { http: 'istio-http/1.1', http2: 'istio-h2', tcp: 'istio' } as const;
const TLS_ALPN = { http: 'http/1.1', http2: 'h2', tcp: '' } as const;

export function connectionOf(call: Call): Connection {
  const { protocol = 'tcp', tls = 'plaintext', host = '', path = '/', address = '1.3.3.7' } = call;
  const alpn = tls === 'mtls' ? MTLS_ALPN[protocol] : tls === 'tls' ? TLS_ALPN[protocol] : '';
  return {
    address,
    port: call.port,
    protocol,
    host,
    path,
    tls,
    alpn: call.alpn ?? alpn,
    sni: call.sni ?? (tls === 'plaintext' ? '' : host),
    inbound: call.mode === 'inbound',
    mtlsSecretName: call.mtlsSecretName ?? 'default',
  };
}
