/** Fetches the documents of token issuers over HTTP. The address that is connected to is the one that was judged. */
import { lookup as resolve } from 'node:dns/promises';
import { request as requestHttp } from 'node:http';
import { Agent, request as requestHttps } from 'node:https';
import { isIP, type LookupFunction } from 'node:net';
import { getCACertificates } from 'node:tls';
import { type AllowedHosts, isAllowedHost, isPublicAddress } from './allowed-addresses.ts';
import { FetchTurns } from './fetch-turns.ts';

const MAX_BODY = 1024 * 1024;
const MAX_REDIRECTS = 3;

/** Why a document could not be fetched; the message names no query and nothing of a response. */
export class FetchError extends Error {
  override name = 'FetchError';
}

export interface FetcherOptions {
  readonly allowedHosts: AllowedHosts;
  /** PEM certificates besides the roots of the runtime. */
  readonly extraRoots?: string;
  /** PEM certificates in the place of both. */
  readonly roots?: string;
  /** Default: the system's resolver. */
  readonly resolve?: (hostname: string) => Promise<readonly { address: string; family: number }[]>;
}

export interface KeyFetcher {
  /**
   * @param timeoutMs for everything: names, connections, redirects, the body; not the wait until the request begins
   * @param namespaces those that ask for the document: each has a share of the requests under way
   * @throws FetchError
   */
  fetch(url: string, timeoutMs: number, namespaces: readonly string[]): Promise<string>;
}

export function keyFetcher({
  allowedHosts,
  extraRoots,
  roots,
  resolve: resolveWith = all,
}: FetcherOptions): KeyFetcher {
  const agent = new Agent({
    keepAlive: false,
    ...(extraRoots !== undefined && { ca: [...getCACertificates('default'), extraRoots] }),
    ...(roots !== undefined && { ca: roots }),
  });
  const turns = new FetchTurns();
  const fetchOnce = async (url: URL, signal: AbortSignal): Promise<string | URL> => {
    const lookup = await judgedLookup(url, allowedHosts, resolveWith, signal);
    return get(url, { lookup, signal, agent });
  };
  const fetchAll = async (first: URL, timeoutMs: number, takeTurn: TakeTurn): Promise<string> => {
    let url = first;
    await takeTurn(url.host);
    const signal = AbortSignal.timeout(timeoutMs);
    for (let redirects = 0; redirects <= MAX_REDIRECTS; redirects++) {
      const found = await fetchOnce(url, signal).catch((error) => {
        throw explained(error, url, signal, timeoutMs);
      });
      if (typeof found === 'string') return found;
      if (url.protocol === 'https:' && found.protocol !== 'https:')
        throw new FetchError(`${url.host} redirects from https to http`);
      url = found;
      await takeTurn(url.host, signal).catch((error) => {
        throw explained(error, url, signal, timeoutMs);
      });
    }
    throw new FetchError(`${url.host} redirects more than ${MAX_REDIRECTS} times`);
  };
  return {
    fetch: async (text, timeoutMs, namespaces) => {
      const url = parseUrl(text);
      let endTurn: (() => void) | undefined;
      const takeTurn: TakeTurn = async (host, signal) => {
        endTurn?.();
        endTurn = undefined;
        endTurn = await turns.take(namespaces, host, signal);
      };
      try {
        return await fetchAll(url, timeoutMs, takeTurn);
      } finally {
        endTurn?.();
      }
    },
  };
}

/** The turn at the host, in the place of the one before it. */
type TakeTurn = (host: string, signal?: AbortSignal) => Promise<void>;

const all: NonNullable<FetcherOptions['resolve']> = (hostname) => resolve(hostname, { all: true, verbatim: true });

function parseUrl(text: string, base?: URL): URL {
  if (!URL.canParse(text, base?.href)) throw new FetchError('the URL cannot be read');
  const url = new URL(text, base);
  if (url.protocol !== 'http:' && url.protocol !== 'https:') throw new FetchError('the URL is neither http nor https');
  if (url.username !== '' || url.password !== '') throw new FetchError('the URL holds credentials');
  return url;
}

/**
 * Every address of the host must be one that may be asked. The connection then takes one of these, whatever the name resolves to
 * later. Readers of a namespace see the error: it tells neither an internal address nor whether an internal name exists.
 */
async function judgedLookup(
  url: URL,
  allowed: AllowedHosts,
  resolveWith: NonNullable<FetcherOptions['resolve']>,
  signal: AbortSignal,
): Promise<LookupFunction> {
  const hostname = url.hostname.replace(/^\[|\]$/g, '');
  const family = isIP(hostname);
  const isAllowed = isAllowedHost(allowed, url.hostname, portOf(url));
  const notPublic = () =>
    new FetchError(
      `${url.host} has no public address; tulle control --jwks-allow-host ${url.hostname} allows another one`,
    );
  const resolved = family > 0 ? [{ address: hostname, family }] : resolveWith(hostname);
  const addresses = await withSignal(Promise.resolve(resolved), signal).catch((error) => {
    throw isAllowed || signal.aborted ? error : notPublic();
  });
  if (!isAllowed && (addresses.length === 0 || addresses.some(({ address }) => !isPublicAddress(address))))
    throw notPublic();
  if (addresses.length === 0) throw new FetchError(`${hostname} has no address`);
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
  // Messages of the runtime name addresses, and names in certificates.
  const { code = 'the request failed' } = error as NodeJS.ErrnoException;
  return new FetchError(`${url.host} cannot be asked: ${code}`);
}
