import type { z } from 'zod';
import { bool, duration, messageRequiring, nonEmpty, uint32 } from '../../../shared/xds/message.ts';

/** Of this test alone: what Envoy's ext_authz is in small. */
export const ExternalCheck = messageRequiring(
  { cluster: nonEmpty(), timeout: duration(), maxRequestBytes: uint32(), allowPartial: bool() },
  ['cluster', 'timeout', 'maxRequestBytes'],
);
export type ExternalCheck = z.infer<typeof ExternalCheck>;
