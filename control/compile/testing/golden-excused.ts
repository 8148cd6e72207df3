/** Cases whose feature belongs to a later part of Istio's API, or where Tulle differs on purpose, and why. */
const FILTER = 'EnvoyFilter is not compiled yet';
const SETTINGS = 'mesh-wide settings beyond those Tulle reads';

export const EXCUSED: Record<string, string> = {
  'ef-add-remove': FILTER,
  'ef-http-filter-insert': FILTER,
  'ef-network-filter': FILTER,
  'ef-priority': FILTER,
  'proxyconfig-metadata': SETTINGS,
  'proxy-metadata': SETTINGS,
  'dr-hash-misc':
    'istiod makes a virtual host at port 80 for a service that has no port 80: its routes lead to clusters that do not exist',
  'mix-shop':
    'istiod takes the server host `shop/*` of a redirect for a domain: no request can name it, and its gateway does not redirect those it means',
};
