/** Cases whose feature belongs to a later part of Istio's API, or where Tulle differs on purpose, and why. */
const CUSTOM = 'external authorization (CUSTOM) is not compiled yet: it denies';
const JWT = 'RequestAuthentication is not compiled yet';
const FILTER = 'EnvoyFilter is not compiled yet';
const INBOUND = 'inbound listeners need no Sidecar here';
const SIDECAR = 'Sidecar egress listeners and reach are only partly followed';
const SHARED_TLS = 'TLS services that share a port without capture are distinguished by SNI here';

export const EXCUSED: Record<string, string> = {
  'authz-custom-grpc': CUSTOM,
  'authz-custom-http': CUSTOM,
  'authz-custom-missing': CUSTOM,
  'authz-multi-order': CUSTOM,
  'authz-jwt-claims': JWT,
  'reqauth-basic': JWT,
  'gw-security': JWT,
  'vs-gateway-jwt-claims': JWT,
  'ef-add-remove': FILTER,
  'ef-http-filter-insert': FILTER,
  'ef-network-filter': FILTER,
  'ef-priority': FILTER,
  'inbound-two-services': INBOUND,
  'se-workload-selector': INBOUND,
  'inbound-protocols': INBOUND,
  'se-protocols': INBOUND,
  'sidecar-egress-port': SIDECAR,
  'sidecar-ingress': SIDECAR,
  'sidecar-vs-dr-scope': SIDECAR,
  'gw-egress': SHARED_TLS,
  'gw-egress-tls': SHARED_TLS,
  'se-https-port': SHARED_TLS,
  'proxy-metadata': 'listener filter original_src is for capture with TPROXY, which is not made',
  'se-none-wildcard': 'addresses that are CIDR ranges are not compiled yet',
  'dr-hash-misc': 'a virtual host at port 80 for a service that has no port 80',
  'mix-shop': 'a gateway host that only redirects to HTTPS and has no routes',
  'se-dynamic-dns': 'without capture a listener passes nothing through to where it was going',
};
