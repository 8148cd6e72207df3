/**
 * Filters that a proxy cannot run as a patch says. Left out, a filter that refuses requests would let them pass; so it is replaced by
 * one that refuses all, unless it only observes.
 */
import { DECORATIVE, MISSING_HTTP_TYPE, MISSING_NETWORK_TYPE } from '../../../shared/xds/filters/missing.ts';
import { FILTER_MESSAGES } from '../../../shared/xds/http-filters.ts';
import { NetworkFilter } from '../../../shared/xds/listener.ts';
import { unsupportedType } from '../../../shared/xds/message.ts';
import { messageName } from '../../envoy-api/strict-json.ts';
import type { ConfigPatch } from './config-patch.ts';
import { fieldsOf } from './match-resource.ts';
import type { Fields } from './merge.ts';
import { isInsertion } from './steps.ts';

/** `tulle`: Tulle's own proxies, which have some of Envoy's filters. */
export type ProxyKind = 'tulle' | 'envoy';

export const holdsFilter = ({ applyTo }: Pick<ConfigPatch, 'applyTo'>): boolean =>
  applyTo === 'HTTP_FILTER' || applyTo === 'NETWORK_FILTER';

/** Whether the patch puts a whole filter in a chain. */
export const addsFilter = (patch: Pick<ConfigPatch, 'applyTo' | 'operation'>): boolean =>
  holdsFilter(patch) && (isInsertion(patch) || patch.operation === 'REPLACE');

/** Why a Tulle proxy cannot run the filter of a patch; undefined: it can. */
export function unsupportedFilter({ applyTo, value }: Pick<ConfigPatch, 'applyTo' | 'value'>): string | undefined {
  const { '@type': url, ...config } = fieldsOf(value['typedConfig']);
  if (typeof url !== 'string') return 'typedConfig: is required';
  const type = messageName(url);
  if (applyTo === 'NETWORK_FILTER') return firstIssue(NetworkFilter.safeParse(value).error);
  const schema = Object.hasOwn(FILTER_MESSAGES, type) ? FILTER_MESSAGES[type] : undefined;
  return schema
    ? firstIssue(schema.safeParse(config).error)
    : `typedConfig: ${unsupportedType(type, Object.keys(FILTER_MESSAGES))}`;
}

function firstIssue(
  error: { issues: readonly { path: readonly PropertyKey[]; message: string }[] } | undefined,
): string | undefined {
  const issue = error?.issues[0];
  return issue && `${['typedConfig', ...issue.path].join('.')}: ${issue.message}`;
}

/** Whether the filter may be left out where a proxy does not have it: it is optional, or observes alone. */
export function mayBeLeftOut({ value }: Pick<ConfigPatch, 'value'>): boolean {
  return (
    value['isOptional'] === true || DECORATIVE.has(messageName(String(fieldsOf(value['typedConfig'])['@type'] ?? '')))
  );
}

/** The configuration of a filter that refuses all, in the place of `filter`. */
export function refusing(applyTo: ConfigPatch['applyTo'], filter: string, reason: string, kind: ProxyKind): Fields {
  const isHttp = applyTo === 'HTTP_FILTER';
  if (kind === 'tulle')
    return { '@type': `type.googleapis.com/${isHttp ? MISSING_HTTP_TYPE : MISSING_NETWORK_TYPE}`, filter, reason };
  // An allow list without an entry.
  const type = isHttp ? 'http' : 'network';
  return {
    '@type': `type.googleapis.com/envoy.extensions.filters.${type}.rbac.v3.RBAC`,
    rules: { action: 'ALLOW', policies: {} },
    ...(!isHttp && { statPrefix: 'filter_missing.' }),
  };
}
