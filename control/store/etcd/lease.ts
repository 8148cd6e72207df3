/** A key that one process holds at a time, by a lease of etcd: it is free again some seconds after its holder has died. */
import { numberOf, type TxnAnswer } from './api.ts';
import { EtcdError } from './etcd-error.ts';
import type { EtcdGateway } from './gateway.ts';
import { fromBase64, toBase64 } from './keys.ts';

export interface LeaseOptions {
  /** The key, readable. */
  name: string;
  /** What others read who find it held. */
  holder: string;
  /** Seconds after which the key of a dead holder is free. Default: 10. */
  ttlSeconds?: number;
  /** Calls back once when another process holds it, or may. */
  onLost: (holder: string | undefined) => void;
}

interface Granted {
  ID: string;
}

/** What a write compares, so that it fails once another process holds the key. */
export interface Fence {
  key: string;
  revision: number;
}

/** The key is held by another process. */
export class HeldError extends Error {
  override name = 'HeldError';
  readonly holder: string;
  constructor(holder: string) {
    super(`held by ${holder}`);
    this.holder = holder;
  }
}

export class LeasedKey {
  private readonly gateway: EtcdGateway;
  private readonly options: LeaseOptions & { ttlSeconds: number };
  private readonly key: string;
  private lease = '';
  private revision = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private over = false;

  private constructor(gateway: EtcdGateway, options: LeaseOptions) {
    this.gateway = gateway;
    this.options = { ttlSeconds: 10, ...options };
    this.key = toBase64(options.name);
  }

  /**
   * Waits for a holder that may be dead, as long as its lease can last.
   * @throws HeldError, EtcdError
   */
  static async take(gateway: EtcdGateway, options: LeaseOptions): Promise<LeasedKey> {
    const taken = new LeasedKey(gateway, options);
    const end = Date.now() + taken.options.ttlSeconds * 1500;
    for (;;) {
      const holder = await taken.attempt();
      if (holder === undefined) break;
      if (Date.now() > end) {
        await gateway.call('/v3/lease/revoke', { ID: taken.lease }).catch(() => {});
        throw new HeldError(holder);
      }
      await gateway.pause(500);
    }
    taken.schedule();
    return taken;
  }

  get fence(): Fence {
    return { key: this.key, revision: this.revision };
  }

  /** Frees the key. */
  async release(): Promise<void> {
    this.over = true;
    clearTimeout(this.timer);
    await this.gateway.call('/v3/lease/revoke', { ID: this.lease }).catch(() => {});
  }

  /** @returns undefined when it is held by this one now, else by whom */
  private async attempt(): Promise<string | undefined> {
    const { holder, ttlSeconds } = this.options;
    if (this.lease === '') {
      const { answer } = await this.gateway.call<Granted>('/v3/lease/grant', { TTL: String(ttlSeconds) });
      this.lease = answer.ID;
    }
    const { key } = this;
    // The lease's number tells an own attempt that was not answered from one of another process with the same name.
    const value = `${holder} #${this.lease}`;
    const { answer } = await this.gateway.call<TxnAnswer>('/v3/kv/txn', {
      compare: [{ key, target: 'CREATE', result: 'EQUAL', create_revision: '0' }],
      success: [{ request_put: { key, value: toBase64(value), lease: this.lease } }],
      failure: [{ request_range: { key } }],
    });
    const found = answer.responses?.[0]?.response_range?.kvs?.[0];
    const text = fromBase64(found?.value ?? '');
    if (!answer.succeeded && text !== value) {
      await this.gateway.call('/v3/lease/keepalive', { ID: this.lease });
      return text.replace(/ #\d+$/, '');
    }
    this.revision = numberOf(answer.succeeded ? answer.header.revision : found?.create_revision);
    return undefined;
  }

  private schedule(): void {
    if (this.over) return;
    this.timer = setTimeout(() => void this.renew(), (this.options.ttlSeconds * 1000) / 4);
  }

  /** An etcd that is not available is asked again: until it answers nothing can be written anyway. */
  private async renew(): Promise<void> {
    try {
      const path = '/v3/lease/keepalive';
      const { answer } = await this.gateway.call<{ result?: { TTL?: string } }>(path, { ID: this.lease });
      if (numberOf(answer.result?.TTL) <= 0) await this.retake();
    } catch (error) {
      if (!(error instanceof EtcdError)) throw error;
    }
    this.schedule();
  }

  /** The lease has expired, as after a pause of this process. */
  private async retake(): Promise<void> {
    this.lease = '';
    const holder = await this.attempt();
    if (holder === undefined || this.over) return;
    this.over = true;
    this.options.onLost(holder);
  }
}
