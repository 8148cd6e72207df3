/** What a prefix of etcd holds as a dump, and a dump into a prefix. */
import type { Dump, DumpRecord } from '../dump/dump.ts';
import type { ResourceCodec } from '../sealing/resource-codec.ts';
import { StoreError } from '../store.ts';
import { type KeyValue, numberOf, type RangeAnswer, type TxnAnswer } from './api.ts';
import type { EtcdGateway } from './gateway.ts';
import { type EntryPut, entryOf, historyPut } from './history.ts';
import { decodeResource, encodeResource, fromBase64, ResourceKeys, rangeOf, toBase64 } from './keys.ts';
import { Turns } from './turns.ts';

const KEYS_PER_PAGE = 500;
/** Below etcd's limits of a transaction: 128 operations, 1.5 MiB. */
const PUTS_AT_ONCE = 64;
const BYTES_AT_ONCE = 512 * 1024;
/** Writes that raise the revision of a new etcd. */
const MAX_RAISED = 150_000;
const RAISING_AT_ONCE = 32;
/** Value of the format key while a dump is being read in: control planes refuse the prefix then. */
const LOADING = 'loading';

/** The key whose mod revision is that of the last load: watches from earlier revisions end. */
export const restoredKey = (prefix: string): string => `${prefix}/restored`;

/** Names below a prefix that belong to it, and not to what is stored. */
const OWN = new Set(['format', 'restored']);

/** Keys that end with a process are left out. @throws EtcdError */
export async function dumpPrefix(gateway: EtcdGateway, prefix: string, codec: ResourceCodec): Promise<Dump> {
  const probe = { key: toBase64(`${prefix}/format`), count_only: true };
  const { answer } = await gateway.call<RangeAnswer>('/v3/kv/range', probe);
  const revision = numberOf(answer.header.revision);
  return { revision, records: recordsAt(gateway, prefix, codec, revision) };
}

async function* recordsAt(
  gateway: EtcdGateway,
  prefix: string,
  codec: ResourceCodec,
  revision: number,
): AsyncGenerator<DumpRecord> {
  const resources = new ResourceKeys(prefix);
  const history = new ResourceKeys(prefix, 'history');
  for await (const kv of all(gateway, `${prefix}/`, revision)) {
    const name = fromBase64(kv.key);
    const below = name.slice(prefix.length + 1);
    if (kv.lease || OWN.has(below)) continue;
    if (below.startsWith('resources/')) {
      const key = resources.keyOf(name);
      const resource = decodeResource(codec, key, kv.value ?? '', numberOf(kv.mod_revision));
      yield { kind: 'resource', key, resource };
    } else if (below.startsWith('history/')) {
      const key = history.keyOf(name);
      yield { kind: 'history', key, entry: entryOf(codec, key, kv) };
    } else yield { kind: 'etcd', name: below, value: kv.value ?? '' };
  }
}

/** Of all keys that start with `prefix`; at a revision, or as they are. */
export async function* all(gateway: EtcdGateway, prefix: string, revision = 0): AsyncGenerator<KeyValue> {
  let { key, range_end } = rangeOf(prefix);
  for (;;) {
    const page = { key, range_end, limit: String(KEYS_PER_PAGE), revision: String(revision) };
    const { answer } = await gateway.call<RangeAnswer>('/v3/kv/range', page);
    yield* answer.kvs ?? [];
    if (!answer.more || !answer.kvs?.length) return;
    key = Buffer.concat([Buffer.from(answer.kvs.at(-1)!.key, 'base64'), Buffer.of(0)]).toString('base64');
  }
}

export interface LoadOptions {
  prefix: string;
  codec: ResourceCodec;
  /** Revisions of the store begin above it. */
  after: number;
  /** What the prefix holds is removed first. */
  force: boolean;
}

/**
 * Fills a prefix that no control plane uses. One that was interrupted leaves a prefix that control planes refuse; the next load
 * begins again.
 * @throws StoreError conflict: the prefix is in use, or holds resources; unavailable: the revision is too far below `after`. EtcdError
 */
export async function loadPrefix(
  gateway: EtcdGateway,
  records: Iterable<DumpRecord> | AsyncIterable<DumpRecord>,
  { prefix, codec, after, force }: LoadOptions,
): Promise<void> {
  await claim(gateway, prefix, force);
  await clear(gateway, prefix);
  await raise(gateway, prefix, after);
  let batch: EntryPut[] = [];
  let bytes = 0;
  const flush = async () => {
    if (batch.length > 0) await gateway.call('/v3/kv/txn', { success: batch.map((put) => ({ request_put: put })) });
    [batch, bytes] = [[], 0];
  };
  for await (const record of records) {
    const put = putOf(prefix, codec, record);
    if (batch.length === PUTS_AT_ONCE || bytes + put.value.length > BYTES_AT_ONCE) await flush();
    batch.push(put);
    bytes += put.value.length;
  }
  await flush();
  const done = [
    { request_put: { key: toBase64(restoredKey(prefix)), value: '' } },
    { request_put: { key: toBase64(`${prefix}/format`), value: toBase64('1') } },
  ];
  await gateway.call('/v3/kv/txn', { success: done });
}

function putOf(prefix: string, codec: ResourceCodec, record: DumpRecord): EntryPut {
  switch (record.kind) {
    case 'resource': {
      const name = new ResourceKeys(prefix).nameOf(record.key);
      return { key: toBase64(name), value: encodeResource(codec, record.key, record.resource) };
    }
    case 'history':
      return historyPut(codec, new ResourceKeys(prefix, 'history'), record.key, record.entry);
    case 'etcd':
      return { key: toBase64(`${prefix}/${record.name}`), value: record.value };
  }
}

/** Marks the prefix as being loaded. */
async function claim(gateway: EtcdGateway, prefix: string, force: boolean): Promise<void> {
  const key = toBase64(`${prefix}/format`);
  const put = { request_put: { key, value: toBase64(LOADING) } };
  const { answer } = await gateway.call<TxnAnswer>('/v3/kv/txn', {
    compare: [{ key, target: 'CREATE', result: 'EQUAL', create_revision: '0' }],
    success: [put],
    failure: [{ request_range: { key } }],
  });
  if (answer.succeeded) return;
  const found = answer.responses?.[0]?.response_range?.kvs?.[0];
  if (fromBase64(found?.value ?? '') === LOADING) return;
  for await (const kv of all(gateway, `${prefix}/`)) {
    const name = fromBase64(kv.key);
    if (kv.lease)
      throw new StoreError('conflict', `etcd ${prefix} is in use by a control plane (${name}): stop it first`);
    if (!force && name.startsWith(`${prefix}/resources/`))
      throw new StoreError(
        'conflict',
        `etcd ${prefix} holds resources: name another prefix, or replace them with --force`,
      );
  }
  await gateway.call('/v3/kv/txn', { success: [put] });
}

/** But for the mark. */
async function clear(gateway: EtcdGateway, prefix: string): Promise<void> {
  const mark = toBase64(`${prefix}/format`);
  const { key, range_end } = rangeOf(`${prefix}/`);
  const behindMark = toBase64(`${prefix}/format\0`);
  const success = [
    { request_delete_range: { key, range_end: mark } },
    { request_delete_range: { key: behindMark, range_end } },
  ];
  await gateway.call('/v3/kv/txn', { success });
}

/** Revisions of etcd rise by one with each write. */
async function raise(gateway: EtcdGateway, prefix: string, after: number): Promise<void> {
  const put = { key: toBase64(restoredKey(prefix)), value: '' };
  const write = async () => {
    const { answer } = await gateway.call<RangeAnswer>('/v3/kv/put', put);
    return numberOf(answer.header.revision);
  };
  const missing = after - (await write());
  if (missing > MAX_RAISED)
    throw new StoreError(
      'unavailable',
      `the revision of etcd is ${missing} below that of the mesh, which must not run backwards: raise it with "etcdutl snapshot restore --bump-revision"`,
    );
  const turns = new Turns(RAISING_AT_ONCE);
  await Promise.all(Array.from({ length: Math.max(0, missing) }, () => turns.run(write)));
}
