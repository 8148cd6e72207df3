/** The answer of a route that says itself what to answer. */
import type { DirectAction } from './route-table.ts';
import type { LocalReply, RequestContext } from './stream.ts';

/** As in Envoy, a format is filled in before there is a response code, and what was created or moved is at the same place. */
export function directReply(action: DirectAction, request: RequestContext, nowMs: number): LocalReply {
  const { status, format } = action;
  if (format) request.localReplyBody = action.body;
  const body = format ? format.format(request, nowMs) : action.body;
  const headers: Record<string, string> = {};
  if (format) headers['content-type'] = format.contentType;
  if (status === 201 || (status >= 300 && status < 400))
    headers['location'] = `${request.scheme}://${request.authority}${request.path}`;
  return { status, body, headers, details: 'direct_response' };
}
