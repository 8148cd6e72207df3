/** Cases whose feature belongs to a later part of Istio's API, or where Tulle differs on purpose, and why. */
const FILTER = 'EnvoyFilter is not compiled yet';
const SIDECAR = 'Sidecar egress listeners and reach are only partly followed';
const SHARED_TLS = 'TLS services that share a port without capture are distinguished by SNI here';
const SETTINGS = 'mesh-wide settings beyond those Tulle reads';

export const EXCUSED: Record<string, string> = {
  'ef-add-remove': FILTER,
  'ef-http-filter-insert': FILTER,
  'ef-network-filter': FILTER,
  'ef-priority': FILTER,
  'sidecar-egress-port': SIDECAR,
  'sidecar-ingress': SIDECAR,
  'sidecar-vs-dr-scope': SIDECAR,
  'gw-egress': SHARED_TLS,
  'gw-egress-tls': SHARED_TLS,
  'se-https-port': SHARED_TLS,
  'proxyconfig-metadata': SETTINGS,
  'proxy-metadata': SETTINGS,
  'se-none-wildcard': 'addresses that are CIDR ranges are not compiled yet',
  'dr-hash-misc':
    'istiod makes a virtual host at port 80 for a service that has no port 80: its routes lead to clusters that do not exist',
  'mix-shop':
    'istiod takes the server host `shop/*` of a redirect for a domain: no request can name it, and its gateway does not redirect those it means',
  'se-dynamic-dns': 'without capture a listener passes nothing through to where it was going',
};
