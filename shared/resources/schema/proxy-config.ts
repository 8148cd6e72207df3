/** The schema of ProxyConfig's spec, field for field (istio.io/latest/docs/reference/config/networking/proxy-config). */
import type { z } from 'zod';
import { selector } from './common.ts';
import { integer, map, nullable, object, string } from './vocabulary.ts';

export const Image = object({
  imageType: string().describe('Variant of the image, as default, debug or distroless.'),
});
export type Image = z.infer<typeof Image>;

export const ProxyConfigSpec = object({
  concurrency: nullable(integer({ min: 0 })).describe(
    'Worker processes of the proxy, taken at its start; 0 is one for each core it may use. Default: 1.',
  ),
  environmentVariables: map(string({ max: 2048 })).describe(
    'Environment variables of the proxy. `ISTIO_META_HTTP10: "1"` lets it serve HTTP/1.0, `TULLE_IGNORED_UPGRADES` ' +
      'lists offers of Upgrade that it ignores, `TULLE_DENIAL_HEADER` names a header `x-…` of denials that tells policy and rule; ' +
      'others are not used: they are given to its process.',
  ),
  image: Image.describe('The image of the proxy. Not used: it is chosen where the proxy is deployed.'),
  selector,
});
export type ProxyConfigSpec = z.infer<typeof ProxyConfigSpec>;
