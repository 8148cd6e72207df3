/** Where the keys of a JWT issuer are fetched. */
export interface JwksUri {
  hostname: string;
  scheme: 'http' | 'https';
  port: number;
  tls: boolean;
}

/** The parts of a jwksUri; undefined when it is no http:// or https:// URL. */
export function parseJwksUri(uri: string): JwksUri | undefined {
  if (!URL.canParse(uri)) return undefined;
  const url = new URL(uri);
  const scheme = url.protocol.slice(0, -1);
  if ((scheme !== 'http' && scheme !== 'https') || url.hostname === '') return undefined;
  const tls = scheme === 'https';
  return { hostname: url.hostname, scheme, port: url.port === '' ? (tls ? 443 : 80) : Number(url.port), tls };
}
