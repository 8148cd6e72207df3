/** Heads of HTTP/1.1 responses as text. */
import type { ResponseHead } from '../../message/message.ts';
import { headText } from './message-writer.ts';

/** Reason phrases (RFC 9110 section 15), for responses made here or by a server that gave none. */
const reasons: Readonly<Record<number, string>> = {
  100: 'Continue',
  101: 'Switching Protocols',
  102: 'Processing',
  103: 'Early Hints',
  200: 'OK',
  201: 'Created',
  202: 'Accepted',
  204: 'No Content',
  206: 'Partial Content',
  301: 'Moved Permanently',
  302: 'Found',
  303: 'See Other',
  304: 'Not Modified',
  307: 'Temporary Redirect',
  308: 'Permanent Redirect',
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  405: 'Method Not Allowed',
  408: 'Request Timeout',
  409: 'Conflict',
  410: 'Gone',
  413: 'Payload Too Large',
  414: 'URI Too Long',
  418: "I'm a teapot",
  421: 'Misdirected Request',
  426: 'Upgrade Required',
  429: 'Too Many Requests',
  431: 'Request Header Fields Too Large',
  500: 'Internal Server Error',
  501: 'Not Implemented',
  502: 'Bad Gateway',
  503: 'Service Unavailable',
  504: 'Gateway Timeout',
};

function reasonOf(status: number): string {
  return reasons[status] ?? 'Unknown';
}

/** Status line and fields, without the empty line. */
function startText({ status, reason, headers }: ResponseHead): string {
  return headText(`HTTP/1.1 ${status} ${reason || reasonOf(status)}\r\n`, headers);
}

/** The whole head that a tunnel begins with. */
export function tunnelHeadText(head: ResponseHead): string {
  const text = startText(head);
  return head.status === 101 ? `${text}connection: upgrade\r\nupgrade: ${head.upgrade}\r\n\r\n` : `${text}\r\n`;
}

/** The whole head of a response that is not the last. */
export function interimHeadText(head: ResponseHead): string {
  return `${startText(head)}\r\n`;
}

/** A whole head with its empty line. @param persistence what `connection` says, '' for nothing */
export function framedHeadText(head: ResponseHead, chunked: boolean, persistence: string): string {
  let text = startText(head);
  if (chunked) text += 'transfer-encoding: chunked\r\n';
  if (persistence !== '') text += `connection: ${persistence}\r\n`;
  return `${text}\r\n`;
}
