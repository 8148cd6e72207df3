/**
 * Clients of the sidecar's HTTP proxy prove that they are its application (RFC 9110 section 11.7, Basic of RFC 7617). Not a
 * filter of Envoy's: the process adds it to its own listener, with a secret that no configuration holds.
 */

import type { HttpFilter } from '../filters/hooks.ts';
import type { LocalReply } from '../request/request-context.ts';

const FIELD = 'proxy-authorization';

const refused: LocalReply = {
  status: 407,
  body: 'proxy authentication required: use the http_proxy that tulle run sets for its application',
  details: 'http_proxy_unauthenticated',
  headers: { 'proxy-authenticate': 'Basic realm="tulle"' },
};

/**
 * The first filter of the HTTP proxy's listener. The field goes neither to the destination nor into a log.
 * @param credentials `user:password`, ASCII
 */
export function proxyAuthorization(credentials: string): HttpFilter {
  const expected = btoa(credentials);
  return {
    name: 'tulle.proxy_authorization',
    onRequestHead({ request }) {
      const given = basicCredentials(request.headers.joined(FIELD));
      request.headers.remove(FIELD);
      return equalInConstantTime(expected, given) ? undefined : refused;
    },
  };
}

/** '' for what is not Basic, and for several fields. */
function basicCredentials(field: string | undefined): string {
  return field !== undefined && /^basic +[^ ,]+$/i.test(field) ? field.slice(field.lastIndexOf(' ') + 1) : '';
}

/** Its time depends on the expected length only. */
function equalInConstantTime(expected: string, given: string): boolean {
  let difference = expected.length ^ given.length;
  for (let at = 0; at < expected.length; at++) difference |= expected.charCodeAt(at) ^ (given.charCodeAt(at) | 0);
  return difference === 0;
}
