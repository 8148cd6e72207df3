/** Cases whose feature belongs to a later part of Istio's API, or where Tulle differs on purpose, and why. */
const CUSTOM = 'external authorization (CUSTOM) is not compiled yet: it denies';
const FILTER = 'EnvoyFilter is not compiled yet';
const SETTINGS = 'mesh-wide settings beyond those Tulle reads';

export const EXCUSED: Record<string, string> = {
  'authz-custom-grpc': CUSTOM,
  'authz-custom-http': CUSTOM,
  'authz-custom-missing': CUSTOM,
  'authz-multi-order': CUSTOM,
  'ef-add-remove': FILTER,
  'ef-http-filter-insert': FILTER,
  'ef-network-filter': FILTER,
  'ef-priority': FILTER,
  'proxyconfig-metadata': SETTINGS,
  'proxy-metadata': SETTINGS,
  'dr-hash-misc': 'a virtual host at port 80 for a service that has no port 80',
  'mix-shop': 'a gateway host that only redirects to HTTPS and has no routes',
};
