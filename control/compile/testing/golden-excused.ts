/** Cases that wait for a feature; those that differ on purpose are in docs/differences-from-istio.md. */
const FILTER = 'EnvoyFilter is not compiled yet';

export const EXCUSED: Record<string, string> = {
  'ef-add-remove': FILTER,
  'ef-http-filter-insert': FILTER,
  'ef-network-filter': FILTER,
  'ef-priority': FILTER,
  'proxy-metadata': 'listener filter original_src is for capture with TPROXY, which is not made',
};
