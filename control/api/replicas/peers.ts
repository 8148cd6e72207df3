/** What a control plane asks the others that share its store, over TLS by the mesh's roots, with a secret of the store. */
import { request } from 'node:https';
import type { Node } from '../../../shared/xds/core.ts';
import type { ProxyStatus } from '../../discovery/status.ts';
import type { Replica, Replicas } from '../../store/state/replicas.ts';
import type { Place } from '../../workloads/vanished-proxies.ts';

const TIMEOUT_MS = 2000;
const MAX_BYTES = 64 * 1024 * 1024;

export interface PeersOptions {
  readonly replicas: Pick<Replicas, 'id' | 'list'>;
  /** What all of them share. */
  readonly secret: string;
  /** PEM roots of the mesh, as they are now. */
  readonly trustBundle: () => string;
}

/** What a control plane said, or why it did not. */
export interface Asked<T> {
  readonly replica: Replica;
  readonly answer?: T;
  readonly error?: string;
}

export class Peers {
  private readonly options: PeersOptions;

  constructor(options: PeersOptions) {
    this.options = options;
  }

  /** The proxies of the others. */
  proxies(): Promise<Asked<{ proxies: readonly ProxyStatus[] }>[]> {
    return this.askAll('GET', '/v1/replica/proxies');
  }

  /** Of the first that knows the proxy: what it is meant to run. @param query as of the route */
  async configOf(id: string, query: string): Promise<unknown> {
    const asked = await this.askAll<object>('GET', `/v1/replica/proxies/${encodeURIComponent(id)}/config${query}`);
    return asked.find(({ answer }) => answer !== undefined)?.answer;
  }

  /** Node ids of connected proxies of the others with the serial numbers of their certificates. */
  async presented(): Promise<{ node: string; serial: string }[]> {
    const asked = await this.askAll<{ proxies: { node: string; serial: string }[] }>('GET', '/v1/replica/presented');
    return asked.flatMap(({ answer }) => answer?.proxies ?? []);
  }

  /** The nodes of the proxies that are connected to the others. */
  async nodes(): Promise<Node[]> {
    const asked = await this.askAll<{ nodes: Node[] }>('GET', '/v1/replica/nodes');
    return asked.flatMap(({ answer }) => answer?.nodes ?? []);
  }

  /** Whether a proxy of the place is connected to one of the others. @throws Error where one cannot be asked */
  async isPresent(place: Place): Promise<boolean> {
    const asked = await this.askAll<{ present: boolean }>('POST', '/v1/replica/present', place);
    if (asked.some(({ answer }) => answer?.present)) return true;
    const failed = asked.find(({ error }) => error !== undefined);
    if (failed)
      throw new Error(`control plane ${failed.replica.peerUrl} cannot be asked for its proxies: ${failed.error}`);
    return false;
  }

  /** Waits until the proxies of the others have acknowledged what they should run at a revision of the store. */
  async settled(revision: number, limitMs: number): Promise<void> {
    await this.askAll('POST', '/v1/replica/settled', { revision, limitMs }, limitMs + TIMEOUT_MS);
  }

  private askAll<T>(method: string, path: string, body?: unknown, limitMs = TIMEOUT_MS): Promise<Asked<T>[]> {
    const { replicas } = this.options;
    const others = replicas.list().filter(({ id }) => id !== replicas.id);
    return Promise.all(
      others.map(async (replica) => {
        try {
          return { replica, answer: await this.ask<T>(replica, { method, path, body, limitMs }) };
        } catch (error) {
          return { replica, error: (error as Error).message };
        }
      }),
    );
  }

  private ask<T>(
    { peerUrl }: Replica,
    { method, path, body, limitMs }: { method: string; path: string; body: unknown; limitMs: number },
  ): Promise<T> {
    const { secret, trustBundle } = this.options;
    const text = body === undefined ? undefined : JSON.stringify(body);
    const headers = {
      authorization: `Bearer ${secret}`,
      ...(text !== undefined && { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }),
    };
    return new Promise((resolve, reject) => {
      const signal = AbortSignal.timeout(limitMs);
      const sent = request(
        `${peerUrl}${path}`,
        { method, headers, ca: trustBundle(), agent: false, signal },
        async (response) => {
          try {
            const answer = await textOf(response);
            if (response.statusCode === 200) resolve(JSON.parse(answer) as T);
            else reject(new Error(`it answered ${response.statusCode}`));
          } catch (error) {
            reject(error);
          }
        },
      );
      sent.once('error', reject);
      sent.end(text);
    });
  }
}

async function textOf(response: AsyncIterable<Buffer>): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of response) {
    length += chunk.length;
    if (length > MAX_BYTES) throw new Error(`its answer is longer than ${MAX_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}
