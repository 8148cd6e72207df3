/** The request target as policy and routes see it. */
import { normalizePath, type PathNormalization } from '../../../shared/match/path.ts';
import { absolutePath, badPath } from '../local-reply.ts';
import type { LocalReply, RequestContext } from '../stream.ts';

/** Changes `request.path`. @returns the answer to a request that goes no further */
export function normalizeTarget(request: RequestContext, rules: PathNormalization): LocalReply | undefined {
  // OPTIONS of the server as a whole: of this proxy, which has nothing to say about itself.
  if (request.path === '*') return absolutePath;
  const question = request.path.indexOf('?');
  const before = question < 0 ? request.path : request.path.slice(0, question);
  const after = normalizePath(before, rules);
  if (after === undefined) return badPath;
  if (after === before) return undefined;
  request.path = after + (question < 0 ? '' : request.path.slice(question));
  if (rules.escapedSlashes !== 'UNESCAPE_AND_REDIRECT' || !/%(2f|5c)/i.test(before)) return undefined;
  return { status: 307, body: '', details: 'path_normalization_failed', headers: { location: request.path } };
}
