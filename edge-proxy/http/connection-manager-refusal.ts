/** Answers to what could not be read as a request. */
import type { CodecError } from './codec/error.ts';
import type { RequestHead } from './codec/message.ts';
import { Headers } from './headers.ts';

const bodies: Readonly<Record<number, string>> = {
  414: 'URI Too Long',
  426: 'Upgrade Required',
  431: 'Request Header Fields Too Large',
  501: 'Not Implemented',
};

/** Envoy's: the reason phrase, unless its connection manager and not its codec finds the fault. */
export function bodyOf({ status, details }: CodecError): string {
  const bare = details === 'missing_host_header' || details === 'path_normalization_failed';
  return bare ? '' : (bodies[status] ?? 'Bad Request');
}

/** Stands in for the head in the log. */
export function unknownHead(): RequestHead {
  return {
    method: '',
    path: '',
    authority: '',
    scheme: '',
    headers: new Headers(),
    minor: 1,
    framing: 'none',
    contentLength: 0,
    keepAlive: false,
    upgrade: '',
    expectContinue: false,
  };
}
