/** Which headers of a request an authorization service is shown. */
import type { ListStringMatcher } from '../../../../shared/xds/filters/ext-authz.ts';
import { HeaderMap } from '../../message/header-map.ts';
import type { RequestContext } from '../../request/request-context.ts';
import { compileStringMatcher } from '../../routing/matchers.ts';
import type { BufferedBody } from '../hooks.ts';

/** Names a header; @param key lower-case */
export type HeaderChoice = (key: string) => boolean;

/** Says whether what the service is sent of the body is not all of it; a client's own is not shown. */
export const PARTIAL_BODY = 'x-envoy-auth-partial-body';

/** undefined where there is no list. Throws ConfigError. */
export function compileChoice(list: ListStringMatcher | undefined, path: string): HeaderChoice | undefined {
  if (!list) return undefined;
  const matches = list.patterns.map((one, i) => compileStringMatcher(one, `${path}.patterns[${i}]`));
  return matches.length === 1 ? matches[0] : (key) => matches.some((one) => one(key));
}

/**
 * The fields that are shown, in the order of the request; fields of one name are one, joined with a comma, as in Envoy.
 * Without pseudo-header fields.
 */
export function shownHeaders(
  { headers }: RequestContext,
  shows: HeaderChoice,
  body: BufferedBody | undefined,
  maxBytes: number,
): HeaderMap {
  const out = new HeaderMap();
  const { keys, values } = headers;
  for (let i = 0; i < keys.length; i++) {
    const key = keys[i]!;
    if (key === PARTIAL_BODY || !shows(key)) continue;
    const at = out.indexOf(key);
    if (at < 0) out.append(key, values[i]!, key);
    else out.values[at] += `,${values[i]!}`;
  }
  if (body && body.bytes > 0) out.set(PARTIAL_BODY, String(!body.complete || body.bytes > maxBytes));
  return out;
}
