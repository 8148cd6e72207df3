/** envoy.type.matcher.v3.MetadataMatcher: conditions on dynamic metadata, as the claims of a verified token. */
import * as z from 'zod';
import { StringMatcher } from '../core.ts';
import { bool, list, message, messageRequiring, nonEmpty } from '../message.ts';

export interface ValueMatcher {
  nullMatch?: Record<string, never>;
  stringMatch?: z.infer<typeof StringMatcher>;
  boolMatch?: boolean;
  presentMatch?: boolean;
  listMatch?: { oneOf?: ValueMatcher };
  orMatch?: { valueMatchers?: ValueMatcher[] };
}
export const ValueMatcher: z.ZodType<ValueMatcher> = z.lazy(() =>
  message({
    nullMatch: message({}),
    stringMatch: StringMatcher,
    boolMatch: bool(),
    presentMatch: bool(),
    listMatch: message({ oneOf: ValueMatcher }),
    orMatch: message({ valueMatchers: list(ValueMatcher) }),
  }),
) as z.ZodType<ValueMatcher>;
export const MetadataMatcher = messageRequiring(
  { filter: nonEmpty(), path: list(message({ key: nonEmpty() })), value: ValueMatcher, invert: bool() },
  ['filter', 'path', 'value'],
);
export type MetadataMatcher = z.infer<typeof MetadataMatcher>;
