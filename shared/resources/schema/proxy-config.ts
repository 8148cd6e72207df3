/** The schema of ProxyConfig's spec, field for field (istio.io/latest/docs/reference/config). */
import type { z } from 'zod';
import { PolicySelector } from './common.ts';
import { integer, map, object, string } from './vocabulary.ts';

export const Image = object({
  imageType: string(),
});
export type Image = z.infer<typeof Image>;

export const ProxyConfigSpec = object({
  concurrency: integer({ min: 0 }),
  environmentVariables: map(string({ max: 2048 })),
  image: Image,
  selector: PolicySelector,
});
export type ProxyConfigSpec = z.infer<typeof ProxyConfigSpec>;
