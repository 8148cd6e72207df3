/**
 * A client of etcd's JSON API (https://etcd.io/docs/v3.7/dev-guide/api_grpc_gateway/): HTTP/1.1 on the members' client ports,
 * so that it needs nothing but the runtime's own HTTP client on Node, Bun and Deno. A call that fails for a reason of one member
 * is repeated on another one.
 */
import { type ClientRequest, Agent as HttpAgent, request as httpRequest, type IncomingMessage } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { EtcdError, errorOfAnswer, errorOfConnection } from './etcd-error.ts';
import { Turns } from './turns.ts';

export interface EtcdSettings {
  /** Base URLs of members, `http:` or `https:`, without a path. */
  endpoints: readonly string[];
  /** PEM. Without `ca` the runtime's roots count. */
  tls?: { ca?: string; cert?: string; key?: string };
  user?: { name: string; password: string };
}

export interface Called<T> {
  answer: T;
  /** An earlier attempt of this call was sent and not answered: it may have taken effect, too. */
  repeated: boolean;
}

/** What one member has to answer in; another one is asked then. Longer than an election (1 s by default). */
const ATTEMPT_MS = 3000;
/** What a call may take over all its attempts. */
const CALL_MS = 8000;
/** How often the member of a stream is asked whether it is alive: a paused one keeps its connections open. */
const PROBE_MS = 2000;
const MAX_BACKOFF_MS = 500;
const MAX_ANSWER_BYTES = 512 * 1024 * 1024;
const MAX_LINE_BYTES = 64 * 1024 * 1024;
/** Calls at a time. */
const MAX_CONNECTIONS = 32;

export class EtcdGateway {
  private readonly settings: EtcdSettings;
  private readonly agent: HttpAgent;
  /** Given with each request, too: Bun does not read an agent's. */
  private readonly pem: object;
  private readonly request: typeof httpsRequest;
  private readonly tokens = new Map<string, Promise<string>>();
  private readonly closing = new AbortController();
  private readonly turns = new Turns(MAX_CONNECTIONS);
  private current = 0;

  constructor(settings: EtcdSettings) {
    this.settings = settings;
    const { ca, cert, key } = settings.tls ?? {};
    const isTls = settings.endpoints[0]!.startsWith('https:');
    const pem = { ...(ca && { ca }), ...(cert && { cert }), ...(key && { key }) };
    const common = { keepAlive: true };
    this.pem = pem;
    this.agent = isTls ? new HttpsAgent({ ...common, ...pem }) : new HttpAgent(common);
    this.request = isTls ? httpsRequest : (httpRequest as typeof httpsRequest);
  }

  /**
   * POSTs to the first member that can answer.
   * @param path of the API, such as `/v3/kv/txn`
   * @throws EtcdError
   */
  call<T>(path: string, body: unknown): Promise<Called<T>> {
    // The time limits begin with its turn.
    return this.turns.run(() => this.callNow<T>(path, body));
  }

  private async callNow<T>(path: string, body: unknown): Promise<Called<T>> {
    const text = JSON.stringify(body);
    const end = Date.now() + CALL_MS;
    let repeated = false;
    for (let attempt = 0; ; attempt++) {
      const endpoint = this.endpoint();
      try {
        return { answer: JSON.parse(await this.authorized(endpoint, path, text)) as T, repeated };
      } catch (error) {
        const failure = errorOfConnection(error, endpoint);
        if (!failure.isOfMember || this.closing.signal.aborted) throw failure;
        repeated ||= failure.mayHaveRun;
        this.avoid(endpoint);
        const pause = backoff(attempt, this.settings.endpoints.length);
        if (Date.now() + pause >= end) throw failure;
        await this.pause(pause);
      }
    }
  }

  /**
   * POSTs to the member that is preferred, and yields the JSON values of the answer, one for each line, as they arrive. Ends with an
   * error when the member stops to answer `probe`, too.
   * @param probe a call that costs little, `[path, body]`
   * @throws EtcdError; the next stream is then of another member
   */
  async *stream<T>(path: string, body: unknown, probe: [string, unknown], signal: AbortSignal): AsyncGenerator<T> {
    const endpoint = this.endpoint();
    const ended = AbortSignal.any([signal, this.closing.signal]);
    let response: IncomingMessage | undefined;
    let stopProbes = () => {};
    try {
      response = await this.open(endpoint, path, JSON.stringify(body), ended);
      const { statusCode = 0 } = response;
      if (statusCode !== 200) {
        this.tokens.delete(endpoint);
        throw errorOfAnswer(statusCode, await textOf(response), endpoint);
      }
      stopProbes = this.probe(endpoint, probe, response);
      yield* linesOf<T>(response, endpoint);
      throw new EtcdError('unavailable', `${endpoint} ended a stream`, { isOfMember: true });
    } catch (error) {
      if (ended.aborted) return;
      const failure = errorOfConnection(error, endpoint);
      if (failure.isOfMember) this.avoid(endpoint);
      throw failure;
    } finally {
      stopProbes();
      response?.destroy();
    }
  }

  /** Calls and streams under way end with an error. */
  close(): void {
    this.closing.abort();
    this.agent.destroy();
  }

  /** Ends early when closed. */
  pause(ms: number): Promise<void> {
    if (this.closing.signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        this.closing.signal.removeEventListener('abort', done);
        resolve();
      };
      const timer = setTimeout(done, ms);
      this.closing.signal.addEventListener('abort', done);
    });
  }

  private endpoint(): string {
    return this.settings.endpoints[this.current]!;
  }

  private avoid(endpoint: string): void {
    if (this.endpoint() === endpoint) this.current = (this.current + 1) % this.settings.endpoints.length;
  }

  /** A token that a member does not know, or that has expired, is replaced once. */
  private async authorized(endpoint: string, path: string, text: string): Promise<string> {
    const token = this.token(endpoint);
    try {
      return await this.post(endpoint, path, text, await token);
    } catch (error) {
      if (!token || !(error instanceof EtcdError && error.isOfToken)) throw error;
      if (this.tokens.get(endpoint) === token) this.tokens.delete(endpoint);
      return await this.post(endpoint, path, text, await this.token(endpoint));
    }
  }

  /** One request for all that wait: etcd's password check takes it a tenth of a second of CPU. */
  private token(endpoint: string): Promise<string> | undefined {
    const { user } = this.settings;
    if (!user) return undefined;
    let token = this.tokens.get(endpoint);
    if (!token) {
      token = this.post(endpoint, '/v3/auth/authenticate', JSON.stringify(user)).then(
        (answer) => (JSON.parse(answer) as { token: string }).token,
      );
      this.tokens.set(endpoint, token);
      token.catch(() => this.tokens.delete(endpoint));
    }
    return token;
  }

  private async post(endpoint: string, path: string, text: string, token?: string): Promise<string> {
    const limit = AbortSignal.any([this.closing.signal, AbortSignal.timeout(ATTEMPT_MS)]);
    const response = await this.send(endpoint, path, text, token, limit, this.agent);
    const answer = await textOf(response);
    if (response.statusCode === 200) return answer;
    throw errorOfAnswer(response.statusCode ?? 0, answer, endpoint);
  }

  private async open(endpoint: string, path: string, text: string, signal: AbortSignal): Promise<IncomingMessage> {
    const opening = new AbortController();
    const timer = setTimeout(() => opening.abort(new Error(`no answer within ${ATTEMPT_MS} ms`)), ATTEMPT_MS);
    try {
      const ended = AbortSignal.any([signal, opening.signal]);
      return await this.send(endpoint, path, text, await this.token(endpoint), ended, this.agent);
    } finally {
      clearTimeout(timer);
    }
  }

  private send(
    endpoint: string,
    path: string,
    text: string,
    token: string | undefined,
    signal: AbortSignal,
    agent: HttpAgent,
  ): Promise<IncomingMessage> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason);
      const headers: Record<string, string> = {
        'content-type': 'application/json',
        'content-length': String(Buffer.byteLength(text)),
        // A member that has lost the others ends its watches instead of waiting (etcd's clientv3.WithRequireLeader).
        'grpc-metadata-hasleader': 'true',
        ...(token && { authorization: token }),
      };
      const sent: ClientRequest = this.request(
        `${endpoint}${path}`,
        { method: 'POST', headers, agent, ...this.pem },
        (response) => {
          const stop = () => response.destroy(signal.reason as Error);
          signal.addEventListener('abort', stop);
          response.once('close', () => signal.removeEventListener('abort', stop));
          resolve(response);
        },
      );
      const stop = () => sent.destroy(signal.reason as Error);
      signal.addEventListener('abort', stop);
      sent.once('close', () => signal.removeEventListener('abort', stop));
      sent.once('error', reject);
      sent.end(text);
    });
  }

  private probe(endpoint: string, [path, body]: [string, unknown], response: IncomingMessage): () => void {
    let stopped = false;
    const text = JSON.stringify(body);
    const probeOnce = async () => {
      try {
        await this.authorized(endpoint, path, text);
        if (!stopped) timer = setTimeout(probeOnce, PROBE_MS);
      } catch (error) {
        if (!stopped) response.destroy(errorOfConnection(error, endpoint));
      }
    };
    let timer = setTimeout(probeOnce, PROBE_MS);
    return () => {
      stopped = true;
      clearTimeout(timer);
    };
  }
}

/** None until every member was asked once. */
function backoff(attempt: number, members: number): number {
  const rounds = Math.floor((attempt + 1) / members);
  return rounds === 0 ? 0 : Math.min(MAX_BACKOFF_MS, 50 * 2 ** rounds);
}

async function textOf(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > MAX_ANSWER_BYTES) throw new Error(`answer longer than ${MAX_ANSWER_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

/** @throws EtcdError what the gateway says instead of a result */
async function* linesOf<T>(response: IncomingMessage, endpoint: string): AsyncGenerator<T> {
  let rest: Buffer[] = [];
  let length = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    let from = 0;
    for (let end = chunk.indexOf(10); end !== -1; end = chunk.indexOf(10, from)) {
      const line = Buffer.concat([...rest, chunk.subarray(from, end)]).toString();
      from = end + 1;
      rest = [];
      length = 0;
      if (line.trim() === '') continue;
      const { result, error } = JSON.parse(line) as { result?: T; error?: unknown };
      if (result === undefined) throw errorOfAnswer(503, JSON.stringify(error), endpoint);
      yield result;
    }
    rest.push(chunk.subarray(from));
    length += chunk.length - from;
    if (length > MAX_LINE_BYTES) throw new Error(`line longer than ${MAX_LINE_BYTES} bytes`);
  }
}
