/** Cases that wait for a feature; those that differ on purpose are in docs/differences-from-istio.md. */
const FILTER = 'EnvoyFilter is not compiled yet';
const SETTINGS = 'mesh-wide settings beyond those Tulle reads';

export const EXCUSED: Record<string, string> = {
  'ef-add-remove': FILTER,
  'ef-http-filter-insert': FILTER,
  'ef-network-filter': FILTER,
  'ef-priority': FILTER,
  'proxyconfig-metadata': SETTINGS,
  'proxy-metadata': SETTINGS,
};
