/** envoy.config.route.v3.HeaderMatcher: of routes, policies and log filters. */
import type { z } from 'zod';
import { Int64Range, StringMatcher } from './core.ts';
import { bool, messageRequiring, nonEmpty } from './message.ts';

export const HeaderMatcher = messageRequiring(
  {
    name: nonEmpty(),
    stringMatch: StringMatcher,
    rangeMatch: Int64Range,
    presentMatch: bool(),
    invertMatch: bool(),
    treatMissingHeaderAsEmpty: bool(),
  },
  ['name'],
);
export type HeaderMatcher = z.infer<typeof HeaderMatcher>;
