/** envoy.config.route.v3.RouteMatch: which requests a route, or a rule of a filter, is for. */
import type { z } from 'zod';
import { RegexMatcher, RuntimeFractionalPercent, StringMatcher } from '../core.ts';
import { HeaderMatcher } from '../header-matcher.ts';
import { any, bool, list, message, messageRequiring, nonEmpty, string } from '../message.ts';
import { MetadataMatcher } from './metadata-matcher.ts';

export const QueryParameterMatcher = messageRequiring(
  { name: nonEmpty(), stringMatch: StringMatcher, presentMatch: bool() },
  ['name'],
);
export type QueryParameterMatcher = z.infer<typeof QueryParameterMatcher>;

export const RouteMatch = message({
  prefix: string(),
  path: string(),
  safeRegex: RegexMatcher,
  pathSeparatedPrefix: string(),
  connectMatcher: message({}),
  pathMatchPolicy: messageRequiring(
    {
      name: nonEmpty(),
      typedConfig: any({
        'envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig': messageRequiring(
          { pathTemplate: nonEmpty() },
          ['pathTemplate'],
        ),
      }),
    },
    ['name', 'typedConfig'],
  ),
  caseSensitive: bool(),
  /** Only requests of gRPC match. */
  grpc: message({}),
  runtimeFraction: RuntimeFractionalPercent,
  headers: list(HeaderMatcher),
  queryParameters: list(QueryParameterMatcher),
  dynamicMetadata: list(MetadataMatcher),
});
export type RouteMatch = z.infer<typeof RouteMatch>;
