/** What filters make of the head of a response. */
import type { ResponseHead } from '../message/message.ts';

/** Of a response whose body is rewritten while it streams. */
export function unsizedHead(head: ResponseHead): ResponseHead {
  head.headers.remove('content-length');
  return { ...head, bodySize: undefined };
}

/**
 * Of a response whose body was replaced by `size` bytes.
 * @returns `end`: nothing of them is sent (RFC 9110 section 6.4.1: HEAD, 204 and 304 have no body)
 */
export function replacedHead(head: ResponseHead, size: number, method: string): { head: ResponseHead; end: boolean } {
  const { status, headers } = head;
  const never = status === 204 || status === 304;
  const end = size === 0 || never || method === 'HEAD';
  if (never) headers.remove('content-length');
  else headers.set('content-length', String(size));
  return { head: { ...head, bodySize: end ? 0 : size }, end };
}
