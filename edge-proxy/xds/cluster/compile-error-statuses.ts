/** HttpProtocolOptions.outlier_detection.error_matcher -> the status codes that outlier detection counts as errors. */
import type { ErrorMatcher, HttpProtocolOptions } from '../../../shared/xds/cluster.ts';
import { ConfigError } from '../../config-error.ts';

const PATH = 'typedExtensionProtocolOptions outlierDetection.errorMatcher';

/**
 * @returns undefined: 5xx, as Envoy by default
 * @throws ConfigError for a matcher that is no list of status codes
 */
export function errorStatuses(http: HttpProtocolOptions | undefined): ReadonlySet<number> | undefined {
  const given = http?.outlierDetection;
  if (given === undefined) return undefined;
  const { httpResponseHeadersMatch: one, orMatch: several }: ErrorMatcher = given.errorMatcher ?? {};
  if ((one === undefined) === (several === undefined))
    throw new ConfigError(PATH, 'must have exactly one of httpResponseHeadersMatch, orMatch');
  const matches = several ? several.rules.map((rule) => rule.httpResponseHeadersMatch) : [one!];
  if (several && matches.length < 2) throw new ConfigError(`${PATH}.orMatch.rules`, 'must be at least 2');
  return new Set(matches.map(({ headers: [header, ...others] }) => statusOf(header, others.length > 0)));
}

function statusOf(header: { name: string; stringMatch: { exact: string } } | undefined, more: boolean): number {
  if (!header || more || header.name !== ':status')
    throw new ConfigError(PATH, 'is supported for one :status at a time');
  const { exact } = header.stringMatch;
  if (!/^[1-5]\d\d$/.test(exact)) throw new ConfigError(PATH, `"${exact}" must be a status code`);
  return Number(exact);
}
