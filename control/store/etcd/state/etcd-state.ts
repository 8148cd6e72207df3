/** Shared state in etcd: the keys `PREFIX/state/FOLDER/NAME`, one transaction for each commit, one watch for each process. */
import type { Sealer } from '../../sealing/sealer.ts';
import {
  checkStateKey,
  type Fence,
  type SharedState,
  type StateChange,
  type StateEntry,
  type StateWrite,
} from '../../state/state.ts';
import { StateMap } from '../../state/state-map.ts';
import { StoreError } from '../../store.ts';
import { type KeyValue, numberOf, type RangeAnswer, type TxnAnswer } from '../api.ts';
import { EtcdError } from '../etcd-error.ts';
import { follow } from '../follow.ts';
import type { EtcdGateway } from '../gateway.ts';
import { fromBase64, type KeyRange, rangeOf, toBase64 } from '../keys.ts';

const KEYS_PER_PAGE = 1000;
const MARK = /^[0-9a-f]{16} /;

export interface EtcdStateOptions {
  readonly gateway: EtcdGateway;
  /** As that of the store: starts with '/' and does not end with one. */
  readonly prefix: string;
  readonly sealer: Sealer;
  /** The lease of records that end with this process, as etcd names it. */
  readonly lease: () => string | undefined;
  readonly onTrouble: (error: unknown) => void;
}

export class EtcdState implements SharedState {
  private readonly options: EtcdStateOptions;
  private readonly root: string;
  private readonly range: KeyRange;
  private readonly map = new StateMap();
  private readonly ending = new AbortController();
  private following: Promise<void> | undefined;

  private constructor(options: EtcdStateOptions) {
    this.options = options;
    this.root = `${options.prefix}/state/`;
    this.range = rangeOf(this.root);
  }

  /** Reads all records, and follows them from then on. @throws StoreError */
  static async open(options: EtcdStateOptions): Promise<EtcdState> {
    const state = new EtcdState(options);
    const stale: KeyValue[] = [];
    const revision = await asking(() => state.readAll(stale));
    await asking(() => state.sealAgain(stale));
    state.following = state.follow(revision);
    return state;
  }

  get(key: string): StateEntry | undefined {
    return this.map.get(key);
  }

  entries(folder: string): readonly StateEntry[] {
    return this.map.entries(folder);
  }

  async fetch(key: string): Promise<StateEntry | undefined> {
    checkStateKey(key);
    return asking(async () => {
      const { answer } = await this.options.gateway.call<RangeAnswer>('/v3/kv/range', { key: this.nameOf(key) });
      this.map.take([this.present(key, answer)]);
      return this.map.get(key);
    });
  }

  async commit(writes: readonly StateWrite[], fence?: Fence): Promise<number | undefined> {
    for (const { key } of writes) checkStateKey(key);
    return asking(async () => {
      // Tells an own attempt that was not answered from the same text written by another process.
      const mark = Buffer.from(crypto.getRandomValues(new Uint8Array(8))).toString('hex');
      const { answer, repeated } = await this.options.gateway.call<TxnAnswer>(
        '/v3/kv/txn',
        this.transaction(writes, mark, fence),
      );
      const at = numberOf(answer.header.revision);
      if (answer.succeeded) {
        this.map.take(writes.map(({ key, text }) => ({ key, text, revision: at })));
        return at;
      }
      const found = writes.map(({ key }, i) => this.present(key, answer.responses?.[i]?.response_range, at));
      const own = repeated && writes.every(({ text }, i) => isOwn(answer, i, text, mark, (kv) => this.marked(kv)));
      this.map.take(found);
      return own ? Math.max(...found.map(({ revision }) => revision)) : undefined;
    });
  }

  onChange(folder: string, listener: (changes: readonly StateChange[]) => void): () => void {
    return this.map.onChange(folder, listener);
  }

  /** Ends following; the gateway stays open. */
  async close(): Promise<void> {
    this.ending.abort();
    await this.following;
  }

  private transaction(writes: readonly StateWrite[], mark: string, fence: Fence | undefined) {
    const compare = writes.flatMap(({ key, expected }) =>
      expected === undefined
        ? []
        : [{ key: this.nameOf(key), target: 'MOD', result: 'EQUAL', mod_revision: String(expected) }],
    );
    const fenced = fence
      ? [{ key: fence.key, target: 'CREATE', result: 'EQUAL', create_revision: String(fence.revision) }]
      : [];
    return {
      compare: [...compare, ...fenced],
      success: writes.map((write) => this.operation(write, mark)),
      failure: writes.map(({ key }) => ({ request_range: { key: this.nameOf(key) } })),
    };
  }

  private operation({ key, text, leased }: StateWrite, mark: string): object {
    const name = this.nameOf(key);
    if (text === undefined) return { request_delete_range: { key: name } };
    const value = Buffer.from(this.options.sealer.seal(`state/${key}`, Buffer.from(`${mark} ${text}`))).toString(
      'base64',
    );
    const lease = leased ? this.options.lease() : undefined;
    if (leased && lease === undefined) throw new StoreError('unavailable', 'this control plane has no lease of etcd');
    return { request_put: { key: name, value, ...(lease !== undefined && { lease }) } };
  }

  /** As etcd's API takes it. */
  nameOf(key: string): string {
    return toBase64(this.root + key);
  }

  private keyOf(name: string): string {
    return fromBase64(name).slice(this.root.length);
  }

  /** What a range says of a key. */
  private present(key: string, range: RangeAnswer | undefined, at = numberOf(range?.header?.revision)): StateChange {
    const kv = range?.kvs?.[0];
    if (!kv) return { key, text: undefined, revision: at };
    return { key, text: this.textOf(kv), revision: numberOf(kv.mod_revision) };
  }

  private textOf(kv: KeyValue): string {
    return this.marked(kv).slice(17);
  }

  /** @throws StoreError: it is not what this version writes, or cannot be opened */
  private marked({ key, value = '' }: Pick<KeyValue, 'key' | 'value'>): string {
    const place = `state/${this.keyOf(key)}`;
    const text = Buffer.from(this.options.sealer.open(place, Buffer.from(value, 'base64'))).toString();
    if (MARK.test(text)) return text;
    throw new StoreError('unavailable', `etcd ${fromBase64(key)}: is not written by tulle: remove it`);
  }

  /** Records that were written without encryption or with an older key, each unless it has changed meanwhile. */
  private async sealAgain(stale: readonly KeyValue[]): Promise<void> {
    for (const kv of stale) {
      const sealed = this.options.sealer.seal(`state/${this.keyOf(kv.key)}`, Buffer.from(this.marked(kv)));
      await this.options.gateway.call('/v3/kv/txn', {
        compare: [{ key: kv.key, target: 'MOD', result: 'EQUAL', mod_revision: kv.mod_revision }],
        success: [{ request_put: { key: kv.key, value: Buffer.from(sealed).toString('base64') } }],
      });
    }
  }

  /**
   * @param stale takes what should be sealed again; not records that end with a process
   * @returns the revision of what was read
   */
  private async readAll(stale: KeyValue[] = []): Promise<number> {
    const seen = new Set<string>();
    let key = this.range.key;
    let revision = 0;
    for (;;) {
      const page = { key, range_end: this.range.range_end, limit: String(KEYS_PER_PAGE), revision: String(revision) };
      const { answer } = await this.options.gateway.call<RangeAnswer>('/v3/kv/range', page);
      revision ||= numberOf(answer.header.revision);
      const changes = (answer.kvs ?? []).map((kv) => ({
        key: this.keyOf(kv.key),
        text: this.textOf(kv),
        revision: numberOf(kv.mod_revision),
      }));
      for (const change of changes) seen.add(change.key);
      for (const kv of answer.kvs ?? [])
        if (!kv.lease && this.options.sealer.isStale(Buffer.from(kv.value ?? '', 'base64'))) stale.push(kv);
      this.map.take(changes);
      if (!answer.more || !answer.kvs?.length) break;
      key = Buffer.concat([Buffer.from(answer.kvs.at(-1)!.key, 'base64'), Buffer.of(0)]).toString('base64');
    }
    // What was deleted while nothing was followed.
    const absent = this.map.keys().filter((known) => !seen.has(known));
    this.map.take(absent.map((known) => ({ key: known, text: undefined, revision })));
    return revision;
  }

  private async follow(from: number): Promise<void> {
    const { gateway, onTrouble } = this.options;
    const { signal } = this.ending;
    let after = from;
    while (!signal.aborted) {
      try {
        for await (const { changes, reached } of follow(gateway, this.range, after, { signal, onTrouble })) {
          this.map.take(changes.map((change) => this.changeOf(change)));
          this.map.reached(reached);
          after = reached;
        }
        // The gateway was closed.
        return;
      } catch (error) {
        if (signal.aborted) return;
        onTrouble(error);
        await gateway.pause(1000);
        after = await this.readAll().catch(() => after);
      }
    }
  }

  private changeOf({ key, value, revision }: { key: string; value?: string; revision: number }): StateChange {
    return { key: this.keyOf(key), text: value === undefined ? undefined : this.textOf({ key, value }), revision };
  }
}

/** Whether a write of a refused transaction is there nevertheless, by an attempt that was not answered. */
function isOwn(
  answer: TxnAnswer,
  at: number,
  text: string | undefined,
  mark: string,
  marked: (kv: KeyValue) => string,
): boolean {
  const kv = answer.responses?.[at]?.response_range?.kvs?.[0];
  return text === undefined ? kv === undefined : kv !== undefined && marked(kv) === `${mark} ${text}`;
}

async function asking<T>(ask: () => Promise<T>): Promise<T> {
  try {
    return await ask();
  } catch (error) {
    if (!(error instanceof EtcdError)) throw error;
    throw new StoreError('unavailable', `the store failed: ${error.message}`, { cause: error });
  }
}
