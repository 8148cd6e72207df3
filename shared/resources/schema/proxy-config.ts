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
    'Worker threads of the proxy; 0 is one for each core of the machine. Default: by the CPU limit, else 2.',
  ),
  environmentVariables: map(string({ max: 2048 })).describe('Further environment variables of the proxy.'),
  image: Image.describe('The image of the proxy.'),
  selector,
});
export type ProxyConfigSpec = z.infer<typeof ProxyConfigSpec>;
