/** The head of an HTTP/1.1 request as text, with its empty line. */
import type { RequestHead } from '../../message/message.ts';
import { headText } from './message-writer.ts';

export function requestHeadText(head: RequestHead): string {
  const { method, upgrade, authority } = head;
  const target = method === 'CONNECT' ? authority : head.path;
  let text = headText(`${method} ${target} HTTP/1.1\r\nhost: ${authority}\r\n`, head.headers);
  if (head.bodySize === undefined) text += 'transfer-encoding: chunked\r\n';
  if (upgrade !== '' && upgrade !== 'connect') text += `connection: upgrade\r\nupgrade: ${upgrade}\r\n`;
  return `${text}\r\n`;
}
