/**
 * One simulated proxy: a TLS connection of its own, incremental xDS by long-poll, the product's own timeouts and
 * back-off. It keeps the names and versions it was sent, as a proxy does, and none of the resources.
 */
import https from 'node:https';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { FEATURES, RESOURCE_TYPES, TYPE_URLS } from '../../../shared/xds/discovery.ts';

/** As `edge-proxy/control-client` has them. */
const CONNECT_MS = { first: 5_000, most: 20_000 };
const POLL_MS = 60_000;
const BACKOFF_MS = { first: 200, most: 5_000 };

export interface ProxyIdentity {
  readonly cert: string;
  readonly key: string;
}

export interface SimulatedProxyOptions {
  readonly url: string;
  readonly ca: string;
  readonly identity: ProxyIdentity;
  readonly node: { readonly id: string };
  /** Virtual hosts that it fetches on demand; undefined: it is sent everything, as a plain delta client. */
  readonly uses?: readonly string[] | undefined;
  /** Announces that it takes answers in gzip. */
  readonly gzip: boolean;
  /** Called when an answer with resources is acknowledged: its next poll is on the way. */
  readonly onAck: (bytes: number) => void;
  readonly onFailure: (error: Error) => void;
}

export class SimulatedProxy {
  private readonly options: SimulatedProxyOptions;
  private readonly agent: https.Agent;
  private session: string | undefined;
  private acks: { typeUrl: string; responseNonce: string }[] = [];
  private trustVersion: string | undefined;
  private stopped = false;
  private current: { destroy(): void } | undefined;

  constructor(options: SimulatedProxyOptions) {
    this.options = options;
    const { cert, key } = options.identity;
    this.agent = new https.Agent({ keepAlive: true, maxSockets: 1, cert, key, ca: options.ca, checkServerIdentity });
  }

  async run(): Promise<void> {
    let wait = BACKOFF_MS.first;
    while (!this.stopped) {
      try {
        await this.exchange();
        wait = BACKOFF_MS.first;
      } catch (error) {
        if (this.stopped) return;
        this.options.onFailure(error as Error);
        await new Promise((done) => setTimeout(done, wait * (0.5 + Math.random() / 2)));
        wait = Math.min(wait * 2, BACKOFF_MS.most);
      }
    }
  }

  stop(): void {
    this.stopped = true;
    this.current?.destroy();
    this.agent.destroy();
  }

  private async exchange(): Promise<void> {
    const { uses } = this.options;
    const node = uses ? { ...this.options.node, clientFeatures: FEATURES } : this.options.node;
    const namesOf = (type: string) => ['*', ...(type === 'virtualHosts' ? (uses ?? []) : [])];
    const poll =
      this.session === undefined
        ? {
            node,
            requests: RESOURCE_TYPES.map((type) => ({
              typeUrl: TYPE_URLS[type],
              resourceNamesSubscribe: namesOf(type),
            })),
          }
        : {
            session: this.session,
            node,
            requests: this.acks,
            ...(this.trustVersion && { trustVersion: this.trustVersion }),
          };
    const sent = this.acks.length > 0 ? this.lastBytes : 0;
    const answering = this.post(JSON.stringify(poll));
    if (sent > 0) this.options.onAck(sent);
    const received = await answering;
    const body = isGzip(received) ? await inflated(received) : received;
    // What comes before the resources.
    const head = body.toString('latin1', 0, 4096);
    const session = /"session":"([^"]*)"/.exec(head)?.[1];
    if (session === undefined) throw new Error('an answer without a session');
    this.trustVersion = /"trust":\{"version":"([^"]*)"/.exec(head)?.[1] ?? this.trustVersion;
    this.acks = this.session !== undefined && session !== this.session ? [] : acknowledgements(body);
    this.session = this.session !== undefined && session !== this.session ? undefined : session;
    this.lastBytes = received.length;
  }

  private lastBytes = 0;
  private connectMs = CONNECT_MS.first;

  private post(body: string): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      const request = https.request(
        new URL('/v3/delta-discovery', this.options.url),
        {
          method: 'POST',
          agent: this.agent,
          headers: {
            'content-type': 'application/json',
            'content-length': Buffer.byteLength(body),
            ...(this.options.gzip && { 'accept-encoding': 'gzip' }),
          },
        },
        (response) => {
          const chunks: Buffer[] = [];
          response.on('data', (chunk: Buffer) => chunks.push(chunk));
          response.on('error', reject);
          response.on('end', () => {
            clearTimeout(limit);
            const whole = Buffer.concat(chunks);
            if (response.statusCode === 200) resolve(whole);
            else reject(new Error(`status ${response.statusCode}: ${whole.toString('utf8', 0, 200)}`));
          });
        },
      );
      this.current = request;
      const limit = setTimeout(() => request.destroy(new Error('poll timeout')), POLL_MS);
      request.on('socket', (socket) => {
        if (!socket.connecting) return;
        const connecting = setTimeout(() => {
          request.destroy(new Error(`connect timeout of ${this.connectMs} ms`));
          this.connectMs = Math.min(2 * this.connectMs, CONNECT_MS.most);
        }, this.connectMs);
        socket.once('secureConnect', () => {
          this.connectMs = CONNECT_MS.first;
          clearTimeout(connecting);
        });
        socket.once('close', () => clearTimeout(connecting));
      });
      request.on('error', (error) => {
        clearTimeout(limit);
        reject(error);
      });
      request.end(body);
    });
  }
}

const inflated = promisify(gunzip) as (bytes: Buffer) => Promise<Buffer>;

/** JSON begins otherwise. */
const isGzip = (bytes: Buffer): boolean => bytes[0] === 0x1f && bytes[1] === 0x8b;

/** The control plane is reached by address; its chain is verified, its names are not what is measured. */
const checkServerIdentity = () => undefined;

const TYPE_URL = '"typeUrl":"';
const NONCE = '","nonce":"';

/**
 * The ACK of every response of an answer, read without parsing resources: they are megabytes, and not needed here. In a
 * response the nonce follows the type; resources may have a `typeUrl` of their own, and no nonce.
 */
function acknowledgements(answer: Buffer): { typeUrl: string; responseNonce: string }[] {
  const found: { typeUrl: string; responseNonce: string }[] = [];
  for (let at = answer.indexOf(NONCE); at >= 0; at = answer.indexOf(NONCE, at + 1)) {
    const type = answer.lastIndexOf(TYPE_URL, at);
    const nonce = at + NONCE.length;
    found.push({
      typeUrl: answer.toString('latin1', type + TYPE_URL.length, at),
      responseNonce: answer.toString('latin1', nonce, answer.indexOf('"', nonce)),
    });
  }
  return found;
}
