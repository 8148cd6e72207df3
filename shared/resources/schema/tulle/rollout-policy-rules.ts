/** Rules of RolloutPolicy over several fields, which its schema has by name. */
import { rule } from '../marks.ts';

export const someProxies = rule(
  'rolloutpolicy.proxies',
  'one of percent, proxies must be set',
  ({ percent, proxies }: { readonly percent?: unknown; readonly proxies?: unknown }) =>
    percent !== undefined || proxies !== undefined,
);
