/** The answer of a route that says itself what to answer. */
import type { DirectAction, RedirectAction } from '../route-table.ts';
import type { LocalReply, RequestContext } from '../stream.ts';

/** @param nowMs on the clock of `request.startMs` */
export function answerOf(action: DirectAction | RedirectAction, request: RequestContext, nowMs: number): LocalReply {
  if (action.kind === 'direct') return directReply(action, request, nowMs);
  const location = action.location(request);
  return { status: action.status, body: '', details: 'direct_response', headers: { location } };
}

/** As in Envoy, a format is filled in before there is a response code, and what was created or moved is at the same place. */
function directReply(action: DirectAction, request: RequestContext, nowMs: number): LocalReply {
  const { status, format } = action;
  if (format) request.localReplyBody = action.body;
  const body = format ? format.format(request, nowMs) : action.body;
  const headers: Record<string, string> = {};
  if (format) headers['content-type'] = format.contentType;
  if (status === 201 || (status >= 300 && status < 400))
    headers['location'] = `${request.scheme}://${request.authority}${request.path}`;
  return { status, body, headers, details: 'direct_response' };
}
