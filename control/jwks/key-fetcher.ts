/** Fetches the documents of token issuers over HTTP. The address that is connected to is the one that was judged. */
import { lookup as resolve } from 'node:dns/promises';
import { request as requestHttp } from 'node:http';
import { Agent, request as requestHttps } from 'node:https';
import { isIP, type LookupFunction } from 'node:net';
import { getCACertificates } from 'node:tls';
import { type AllowedHosts, isAllowedHost, isPublicAddress } from './allowed-addresses.ts';

const MAX_BODY = 1024 * 1024;
const MAX_REDIRECTS = 3;
/** Requests to one host at a time, and in all. */
const PER_HOST = 2;
const IN_ALL = 16;

/** Why a document could not be fetched; the message names no query and nothing of a response. */
export class FetchError extends Error {
  override name = 'FetchError';
}

export interface FetcherOptions {
  readonly allowedHosts: AllowedHosts;
  /** PEM certificates besides the roots of the runtime. */
  readonly extraRoots?: string;
  /** Default: the system's resolver. */
  readonly resolve?: (hostname: string) => Promise<readonly { address: string; family: number }[]>;
}

export interface KeyFetcher {
  /**
   * @param timeoutMs for everything: names, connections, redirects, the body
   * @throws FetchError
   */
  fetch(url: string, timeoutMs: number): Promise<string>;
}

export function keyFetcher({ allowedHosts, extraRoots, resolve: resolveWith = all }: FetcherOptions): KeyFetcher {
  const agent = new Agent({
    keepAlive: false,
    ...(extraRoots !== undefined && { ca: [...getCACertificates('default'), extraRoots] }),
  });
  const turns = new Turns();
  const fetchOnce = async (url: URL, signal: AbortSignal): Promise<string | URL> => {
    const release = await turns.take(url.host, signal);
    try {
      const lookup = await judgedLookup(url, allowedHosts, resolveWith, signal);
      return await get(url, { lookup, signal, agent });
    } finally {
      release();
    }
  };
  return {
    fetch: async (text, timeoutMs) => {
      const signal = AbortSignal.timeout(timeoutMs);
      let url = parseUrl(text);
      try {
        for (let redirects = 0; redirects <= MAX_REDIRECTS; redirects++) {
          const found = await fetchOnce(url, signal);
          if (typeof found === 'string') return found;
          if (url.protocol === 'https:' && found.protocol !== 'https:')
            throw new FetchError(`${url.host} redirects from https to http`);
          url = found;
        }
      } catch (error) {
        throw explained(error, url, signal, timeoutMs);
      }
      throw new FetchError(`${url.host} redirects more than ${MAX_REDIRECTS} times`);
    },
  };
}

const all: NonNullable<FetcherOptions['resolve']> = (hostname) => resolve(hostname, { all: true, verbatim: true });

function parseUrl(text: string, base?: URL): URL {
  if (!URL.canParse(text, base?.href)) throw new FetchError('the URL cannot be read');
  const url = new URL(text, base);
  if (url.protocol !== 'http:' && url.protocol !== 'https:') throw new FetchError('the URL is neither http nor https');
  if (url.username !== '' || url.password !== '') throw new FetchError('the URL holds credentials');
  return url;
}

/** Every address of the host must be one that may be asked. The connection then takes one of these, whatever the name resolves to later. */
async function judgedLookup(
  url: URL,
  allowed: AllowedHosts,
  resolveWith: NonNullable<FetcherOptions['resolve']>,
  signal: AbortSignal,
): Promise<LookupFunction> {
  const hostname = url.hostname.replace(/^\[|\]$/g, '');
  const family = isIP(hostname);
  const addresses = family > 0 ? [{ address: hostname, family }] : await withSignal(resolveWith(hostname), signal);
  if (addresses.length === 0) throw new FetchError(`${hostname} has no address`);
  const refused = addresses.find(({ address }) => !isPublicAddress(address));
  if (refused && !isAllowedHost(allowed, url.hostname, portOf(url)))
    throw new FetchError(
      `${url.host} has the address ${refused.address}, which is not public; tulle control --jwks-allow-host ${url.hostname} allows it`,
    );
  return (_hostname, options, callback) => {
    if (options.all) callback(null, [...addresses]);
    else callback(null, addresses[0]!.address, addresses[0]!.family);
  };
}

const portOf = ({ port, protocol }: URL): number => (port !== '' ? Number(port) : protocol === 'https:' ? 443 : 80);

function withSignal<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  return new Promise((done, fail) => {
    const abort = () => fail(signal.reason);
    signal.addEventListener('abort', abort, { once: true });
    promise.then(done, fail).finally(() => signal.removeEventListener('abort', abort));
  });
}

interface Connection {
  readonly lookup: LookupFunction;
  readonly signal: AbortSignal;
  readonly agent: Agent;
}

/** The body of a 200, or where a redirect leads. */
function get(url: URL, { lookup, signal, agent }: Connection): Promise<string | URL> {
  return new Promise((done, fail) => {
    const options = { lookup, signal, headers: { accept: 'application/json', 'accept-encoding': 'identity' } };
    const request =
      url.protocol === 'https:'
        ? requestHttps(url, { ...options, agent })
        : requestHttp(url, { ...options, agent: false });
    request.once('error', fail);
    request.once('response', (response) => {
      const { statusCode = 0, headers } = response;
      const settle = (answer: string | URL | FetchError) => {
        if (answer instanceof Error) fail(answer);
        else done(answer);
        response.destroy();
      };
      response.once('error', fail);
      if ([301, 302, 303, 307, 308].includes(statusCode) && headers.location !== undefined) {
        try {
          return settle(parseUrl(headers.location, url));
        } catch (error) {
          return settle(error as FetchError);
        }
      }
      if (statusCode !== 200) return settle(new FetchError(`${url.host} answers ${statusCode}`));
      const chunks: Buffer[] = [];
      let size = 0;
      response.on('data', (chunk: Buffer) => {
        size += chunk.length;
        if (size > MAX_BODY) settle(new FetchError(`${url.host} answers more than ${MAX_BODY} bytes`));
        else chunks.push(chunk);
      });
      response.once('end', () => settle(Buffer.concat(chunks).toString('utf8')));
      response.once('aborted', () => fail(new FetchError(`${url.host} ended the connection amid the answer`)));
    });
    request.end();
  });
}

function explained(error: unknown, url: URL, signal: AbortSignal, timeoutMs: number): FetchError {
  if (error instanceof FetchError) return error;
  if (signal.aborted) return new FetchError(`${url.host} did not answer within ${timeoutMs / 1000} s`);
  const { code, message } = error as NodeJS.ErrnoException;
  return new FetchError(`${url.host} cannot be asked: ${code ?? message}`);
}

/** So many requests at a time; those that come later wait. */
class Turns {
  private readonly running = new Map<string, number>();
  private total = 0;
  private readonly waiting = new Set<() => void>();

  /** @returns what ends the turn */
  async take(host: string, signal: AbortSignal): Promise<() => void> {
    while (this.total >= IN_ALL || (this.running.get(host) ?? 0) >= PER_HOST) {
      const { promise, resolve: wake } = Promise.withResolvers<void>();
      this.waiting.add(wake);
      try {
        await withSignal(promise, signal);
      } finally {
        this.waiting.delete(wake);
      }
    }
    this.total += 1;
    this.running.set(host, (this.running.get(host) ?? 0) + 1);
    return () => this.end(host);
  }

  private end(host: string): void {
    this.total -= 1;
    const left = this.running.get(host)! - 1;
    if (left > 0) this.running.set(host, left);
    else this.running.delete(host);
    for (const wake of this.waiting) wake();
  }
}
