/** Upstream streams of an edge worker: every cluster is the gateway, reached by fetch with the worker's JWT-SVID. */
import { textOfWire } from '../../../shared/match/wire.ts';
import type { UpstreamProtocol } from '../../http/codec/codecs.ts';
import type { HeaderMap } from '../../http/message/header-map.ts';
import type { RequestHead } from '../../http/message/message.ts';
import type { ResetReason, UpstreamStream } from '../../http/message/stream.ts';
import type { Cluster, ClusterSet, Endpoint } from '../../upstream/cluster.ts';
import { type Lease, refusal, type StreamClient, type StreamSource } from '../../upstream/stream-client.ts';
import { BodyReader } from './body-reader.ts';
import { BodyWriter } from './body-writer.ts';
import { fetchHeaders, fieldsOf, JWT_SVID_HEADER } from './request.ts';
import type { Fetcher } from './settings.ts';
import { keepWebSocket } from './web-socket.ts';

const NOTHING = new Uint8Array(0);
const UNLIMITED = Number.POSITIVE_INFINITY;

const GATEWAY: Endpoint = {
  id: 'gateway',
  address: '',
  port: 0,
  hostname: '',
  weight: 1,
  priority: 0,
  locality: '',
  tls: () => undefined,
  metadata: undefined,
  active: 0,
};

/** workerd's fetch makes the connections, so that no pool may. */
const FETCHED: UpstreamProtocol = {
  name: 'http1',
  expectedStreams: 1,
  connect() {
    throw new Error('an edge worker has no upstream connections of its own');
  },
};

/**
 * Clusters for one request. Limits are the gateway's: workerd may end a request at any time, and what it had counted here
 * would stay counted.
 */
export const gatewayClusters: ClusterSet = {
  get: (name): Cluster => ({
    name,
    protocols: { forHttp1: FETCHED, forHttp2: FETCHED },
    connectTimeoutMs: 0,
    limits: {
      maxConnections: UNLIMITED,
      maxPendingRequests: UNLIMITED,
      maxRequests: UNLIMITED,
      maxRetries: UNLIMITED,
    },
    use: { connections: 0, pending: 0, requests: 0, retries: 0 },
    maxRequestsPerConnection: 0,
    idleTimeoutMs: 0,
    destination: undefined,
    pick: () => GATEWAY,
    report: () => {},
    endpoints: () => [GATEWAY],
  }),
};

export class GatewayStreams implements StreamSource {
  private readonly gateway: Fetcher;
  private readonly token: () => string | undefined;

  /** @param token of the worker; undefined: there is none that is valid */
  constructor(gateway: Fetcher, token: () => string | undefined) {
    this.gateway = gateway;
    this.token = token;
  }

  open(_cluster: Cluster, _endpoint: Endpoint, client: StreamClient): Lease | undefined {
    const token = this.token();
    // Without a token the gateway would treat the worker as anonymous: fail closed.
    if (token === undefined) client.onReset(refusal('local_connection_failure', 'no valid identity'));
    else client.onStream(new GatewayStream(this.gateway, token, client));
    return undefined;
  }
}

class GatewayStream implements UpstreamStream {
  readonly addresses = undefined;
  private readonly gateway: Fetcher;
  private readonly token: string;
  private readonly client: StreamClient;
  private readonly abort = new AbortController();
  private writer: BodyWriter | undefined;
  private reader: BodyReader | undefined;
  private paused = false;
  private over = false;

  constructor(gateway: Fetcher, token: string, client: StreamClient) {
    this.gateway = gateway;
    this.token = token;
    this.client = client;
  }

  head(head: RequestHead, end: boolean): void {
    const { method, authority, path } = head;
    const headers = fetchHeaders(head.headers);
    // The runtime frames the body itself.
    headers.delete('content-length');
    if (headers.get('x-forwarded-for') === '') headers.delete('x-forwarded-for');
    headers.set(JWT_SVID_HEADER, this.token);
    if (head.upgrade !== '') headers.set('upgrade', head.upgrade);
    // The messages of an upgrade travel beside the streams, see web-socket.ts.
    if (!end && head.upgrade === '') {
      this.writer = new BodyWriter(head.bodySize, {
        onRoom: () => this.client.onWritable(),
        // The response, or its absence, says why.
        onGone: () => {},
      });
    }
    const init = {
      method,
      headers,
      body: this.writer?.readable ?? null,
      redirect: 'manual',
      signal: this.abort.signal,
      duplex: 'half',
      // Bodies pass encoded as they are.
      encodeResponseBody: 'manual',
    };
    this.gateway.fetch(`http://${authority}${textOfWire(path) ?? path}`, init as RequestInit).then(
      (response) => this.onResponse(response, method),
      (error: unknown) => this.onBroken(error),
    );
  }

  private onResponse(response: Response, method: string): void {
    if (this.over) {
      response.body?.cancel().catch(() => {});
      return;
    }
    const headers = fieldsOf(response.headers);
    const { status } = response;
    const upgraded = status === 101;
    if (upgraded) keepWebSocket(headers, response);
    const bodyless = response.body === null || method === 'HEAD';
    const bodySize = bodyless ? 0 : sizeOf(headers);
    const end = bodyless && !upgraded;
    this.over = end;
    this.client.onHead({ status, headers, bodySize, upgrade: upgraded ? 'websocket' : '', version: 'HTTP/1.1' }, end);
    if (end || this.over) return;
    if (upgraded || response.body === null) {
      this.over = true;
      this.client.onData(NOTHING, true);
      return;
    }
    this.reader = new BodyReader(response.body, {
      onBytes: (bytes, last) => {
        if (last) this.over = true;
        this.client.onData(bytes, last);
      },
      onBroken: (error) => this.onBroken(error),
    });
    if (!this.paused) this.reader.resume();
  }

  /** Fetch does not say how far it came: nothing that may not be repeated is sent again. */
  private onBroken(error: unknown): void {
    if (this.over) return;
    this.over = true;
    const detail = error instanceof Error ? error.message : String(error);
    this.client.onReset({ reason: 'connection_termination', detail, sent: 'body', reusedConnection: false });
  }

  data(bytes: Uint8Array, end: boolean): boolean {
    return this.writer?.write(bytes, end) ?? true;
  }

  trailers(): void {
    this.data(NOTHING, true);
  }

  reset(reason: ResetReason): void {
    this.writer?.abort(reason);
    if (this.over) return;
    this.over = true;
    this.reader?.cancel();
    this.abort.abort();
  }

  pause(): void {
    this.paused = true;
    this.reader?.pause();
  }

  resume(): void {
    this.paused = false;
    this.reader?.resume();
  }
}

function sizeOf(headers: HeaderMap): number | undefined {
  const length = headers.get('content-length');
  return length !== undefined && /^\d{1,15}$/.test(length) ? Number(length) : undefined;
}
