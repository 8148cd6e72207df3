/**
 * Small HTTP requests to services of the platform that a machine runs on. They never go through a proxy (`http_proxy`), follow no
 * redirect, and end at a limit of time and bytes.
 */
import { request as httpRequest, type IncomingHttpHeaders } from 'node:http';
import { request as httpsRequest } from 'node:https';

/** Evidence cannot be obtained; one line, with the remedy, and without anything secret. */
export class EvidenceError extends Error {
  override name = 'EvidenceError';
}

export interface LocalAnswer {
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

export interface LocalRequest {
  readonly method?: 'GET' | 'PUT';
  readonly headers?: Readonly<Record<string, string>>;
  /** What is asked, as errors name it. */
  readonly what: string;
  readonly timeoutMs?: number;
}

const TIMEOUT_MS = 5000;
const MAX_BODY = 64 * 1024;

/** @throws EvidenceError where no 200 comes in time */
export function askLocal(url: string, options: LocalRequest): Promise<LocalAnswer> {
  const { method = 'GET', headers = {}, what, timeoutMs = TIMEOUT_MS } = options;
  return new Promise((resolve, reject) => {
    const fail = (reason: string) => reject(new EvidenceError(`${what}: ${reason}`));
    if (!URL.canParse(url)) return fail('its address is no URL');
    const { protocol } = new URL(url);
    if (protocol !== 'http:' && protocol !== 'https:') return fail('its address is neither http nor https');
    const send = protocol === 'https:' ? httpsRequest : httpRequest;
    const request = send(url, { method, headers: { ...headers, connection: 'close' }, agent: false }, (response) => {
      const pieces: Buffer[] = [];
      let size = 0;
      response.on('data', (piece: Buffer) => {
        pieces.push(piece);
        if ((size += piece.length) > MAX_BODY) {
          fail(`answers more than ${MAX_BODY} bytes`);
          request.destroy();
        }
      });
      response.on('error', (error) => fail(error.message));
      response.on('aborted', () => fail('ended in the middle of its answer'));
      response.on('end', () => {
        if (response.statusCode === 200)
          resolve({ headers: response.headers, text: Buffer.concat(pieces).toString('utf8') });
        else fail(`answers ${response.statusCode}`);
      });
      response.on('close', () => clearTimeout(timer));
    });
    const timer = setTimeout(() => {
      fail(`did not answer within ${timeoutMs / 1000} s; does this machine run there?`);
      request.destroy();
    }, timeoutMs);
    request.on('error', (error: NodeJS.ErrnoException) => {
      clearTimeout(timer);
      fail(`cannot be reached (${error.code ?? error.message}); does this machine run there?`);
    });
    request.end();
  });
}

/** An object of JSON. @throws EvidenceError */
export function jsonObject(text: string, what: string): Record<string, unknown> {
  try {
    const value = JSON.parse(text) as unknown;
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  } catch {
    // Said below: the text may be a secret.
  }
  throw new EvidenceError(`${what}: answers no JSON object`);
}
