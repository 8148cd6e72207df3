/** The control planes that share a store: each has a record that ends with its process. */
import type { SharedState } from './state.ts';

export interface ReplicaRecord {
  /** What proxies and machines reach it by, `https://host:port`. */
  readonly url: string;
  /** What the other control planes reach it by. */
  readonly peerUrl: string;
  /** A digest of the roots that all of its connected proxies trust, during a change of roots. */
  readonly trusted?: string | undefined;
}

export interface Replica extends ReplicaRecord {
  readonly id: string;
}

export interface Replicas {
  /** Of this process. */
  readonly id: string;
  /** All that are there, with this one, sorted by id. */
  list(): readonly Replica[];
  isThere(id: string): boolean;
  /** What the others read of this one from now on. Attempted again until it is written. */
  announce(record: ReplicaRecord): void;
  /** Calls back when control planes came, went or changed. */
  onChange(changed: () => void): void;
}

/** One control plane that shares its store with no other. */
export function soleReplica(id: string): Replicas {
  let own: Replica | undefined;
  return {
    id,
    list: () => (own ? [own] : []),
    isThere: (other) => other === id,
    announce: (record) => {
      own = { id, ...record };
    },
    onChange: () => {},
  };
}

const FOLDER = 'replicas';
const RETRY_MS = 1000;

/** What proxies are sent: each URL once; the same array while they are the same. */
export function replicaUrls(replicas: Pick<Replicas, 'list' | 'onChange'>): () => readonly string[] {
  let urls: readonly string[] = [];
  const read = () => {
    const now = [...new Set(replicas.list().map(({ url }) => url))].sort();
    if (now.join(' ') !== urls.join(' ')) urls = now;
  };
  read();
  replicas.onChange(read);
  return () => urls;
}

/** @param lease says when records of this process have ended and are to be written again */
export function sharedReplicas(
  state: SharedState,
  id: string,
  lease: { onReplaced(replaced: () => void): void },
): Replicas & { close(): void } {
  let own: ReplicaRecord | undefined;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let closed = false;
  const write = () => {
    clearTimeout(timer);
    if (!own || closed) return;
    state.commit([{ key: `${FOLDER}/${id}`, text: JSON.stringify(own), leased: true }]).catch(() => {
      timer = setTimeout(write, RETRY_MS);
      timer.unref?.();
    });
  };
  lease.onReplaced(write);
  return {
    id,
    list: () =>
      state
        .entries(FOLDER)
        .map(({ key, text }) => ({ ...(JSON.parse(text) as ReplicaRecord), id: key.slice(FOLDER.length + 1) }))
        .sort((a, b) => (a.id < b.id ? -1 : 1)),
    isThere: (other) => other === id || state.get(`${FOLDER}/${other}`) !== undefined,
    announce(record) {
      if (JSON.stringify(record) === JSON.stringify(own)) return;
      own = record;
      write();
    },
    onChange: (changed) => void state.onChange(FOLDER, changed),
    close() {
      closed = true;
      clearTimeout(timer);
    },
  };
}
