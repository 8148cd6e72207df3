/** How a machine that joins speaks to a control plane: first only to learn its root, then by TLS verified with that root. */
import { createHash } from 'node:crypto';
import { request as httpsRequest, type RequestOptions } from 'node:https';
import * as z from 'zod';
import { decodePem, encodePem } from '../../shared/identity/pem.ts';
import { escapeText } from '../../shared/log/escape.ts';

const TIMEOUT_MS = 10_000;
const MAX_BODY = 1 << 20;

/** The control plane cannot be joined; one line, with the remedy. */
export class JoinError extends Error {
  override name = 'JoinError';
}

export interface Reached {
  /** PEM of the root that the invitation names. */
  readonly root: string;
  /** Milliseconds by which this machine's clock is ahead of the control plane's; undefined: its answer has no time. */
  readonly aheadMs: number | undefined;
}

interface Answer {
  readonly status: number;
  readonly body: unknown;
  readonly date: string | undefined;
}

const TrustBundle = z.object({ trustBundle: z.string().max(1 << 18) });

/**
 * Asks for the roots without verifying who answers; nothing secret is sent. Only the root with the invitation's hash counts.
 * @param url `https://HOST:PORT`
 * @throws JoinError where nothing answers, or the root is another
 */
export async function reach(url: string, rootHash: string): Promise<Reached> {
  const begun = Date.now();
  const { status, body, date } = await exchange(url, 'GET', '/v1/trust-bundle', {
    rejectUnauthorized: false,
  });
  const parsed = TrustBundle.safeParse(body);
  if (status !== 200 || !parsed.success)
    throw new JoinError(`${url} answers, but is no control plane (status ${status}); check the address`);
  const root = rootsOf(parsed.data.trustBundle).find((der) => sha256(der) === rootHash);
  if (!root)
    throw new JoinError(
      `${url} has another root certificate than the invitation names: something poses as the control plane, or its CA was replaced; nothing secret was sent; make a new invitation`,
    );
  const theirs = date === undefined ? Number.NaN : Date.parse(date);
  // A Date header has whole seconds.
  const here = (begun + Date.now()) / 2 - 500;
  return {
    root: encodePem('CERTIFICATE', root),
    aheadMs: Number.isNaN(theirs) ? undefined : here - theirs,
  };
}

/**
 * One JSON exchange with a control plane that has `root`. Any status is an answer.
 * @param client the certificate of the machine and its key, where it has one
 * @throws JoinError unreachable or not verified
 */
export async function callVerified(
  url: string,
  root: string,
  method: string,
  path: string,
  body?: unknown,
  client?: { readonly cert: string; readonly key: string },
): Promise<{ status: number; body: unknown }> {
  return exchange(url, method, path, { ca: root, ...client }, body);
}

function rootsOf(bundle: string): Uint8Array[] {
  try {
    return decodePem(bundle, 'CERTIFICATE');
  } catch {
    return [];
  }
}

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

function exchange(
  url: string,
  method: string,
  path: string,
  tls: Pick<RequestOptions, 'ca' | 'cert' | 'key' | 'rejectUnauthorized'>,
  body?: unknown,
): Promise<Answer> {
  const payload = body === undefined ? undefined : Buffer.from(JSON.stringify(body));
  const headers = payload && { 'content-type': 'application/json', 'content-length': payload.length };
  const options = { method, ...tls, headers: { accept: 'application/json', connection: 'close', ...headers } };
  return new Promise((resolve, reject) => {
    const fail = (error: Error) => reject(new JoinError(unreachable(url, error)));
    const call = httpsRequest(new URL(path, `${url}/`), { ...options, agent: false }, (response) => {
      const chunks: Buffer[] = [];
      let length = 0;
      response.on('data', (chunk: Buffer) => {
        length += chunk.length;
        if (length > MAX_BODY) call.destroy(new Error('the answer is too long'));
        else chunks.push(chunk);
      });
      response.on('error', fail);
      response.on('end', () => {
        clearTimeout(timer);
        const { statusCode: status = 0, headers: received } = response;
        resolve({ status, body: parsed(Buffer.concat(chunks)), date: received.date });
      });
    });
    const timer = setTimeout(() => call.destroy(new Error(`no answer within ${TIMEOUT_MS / 1000} s`)), TIMEOUT_MS);
    call.on('error', (error) => {
      clearTimeout(timer);
      fail(error);
    });
    call.end(payload);
  });
}

function parsed(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch {
    return undefined;
  }
}

function unreachable(url: string, error: Error & { code?: string }): string {
  const reason = escapeText(error.message).slice(0, 200);
  const remedy = /CERT|SIGNED|VERIFY|ISSUER|ALTNAME/.test(error.code ?? '')
    ? 'its certificate does not hold this address: start "tulle control" with --server-name or --advertise'
    : 'check that it runs, that its address is right, and that no firewall is between';
  return `${url} cannot be reached: ${reason}; ${remedy}`;
}

/** The message of a refusal. */
export function messageOf(body: unknown): string {
  const message = (body as { message?: unknown } | undefined)?.message;
  return typeof message === 'string' ? escapeText(message).slice(0, 300) : '';
}
