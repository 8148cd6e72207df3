/** The head of an HTTP/1.1 request as text, with its empty line. */
import type { RequestHead } from '../../message/message.ts';
import { headText } from './message-writer.ts';

/** Methods that mean no content. */
const bodiless = new Set(['GET', 'HEAD', 'DELETE', 'CONNECT', 'TRACE']);

export function requestHeadText(head: RequestHead): string {
  const { method, upgrade, authority } = head;
  const target = method === 'CONNECT' ? authority : head.path;
  let text = headText(`${method} ${target} HTTP/1.1\r\nhost: ${authority}\r\n`, head.headers);
  if (head.bodySize === undefined) text += 'transfer-encoding: chunked\r\n';
  else if (head.bodySize === 0 && saysNoContent(head)) text += 'content-length: 0\r\n';
  if (upgrade !== '' && upgrade !== 'connect') text += `connection: upgrade\r\nupgrade: ${upgrade}\r\n`;
  return `${text}\r\n`;
}

/** RFC 9110 section 8.6: methods that mean content say that there is none. */
function saysNoContent({ method, upgrade, headers }: RequestHead): boolean {
  return !bodiless.has(method) && upgrade === '' && !headers.has('content-length');
}
