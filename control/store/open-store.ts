/** The store that the settings name. */
import { randomBytes } from 'node:crypto';
import type { Log } from '../../shared/log/log.ts';
import { EtcdGateway, type EtcdSettings } from './etcd/gateway.ts';
import { Election } from './etcd/state/election.ts';
import { EtcdState } from './etcd/state/etcd-state.ts';
import { ReplicaLease } from './etcd/state/replica-lease.ts';
import { openEtcdStore } from './etcd/store.ts';
import type { HistorySettings } from './history/history.ts';
import { plainSealer, type Sealer } from './sealing/sealer.ts';
import { openSqliteStore } from './sqlite.ts';
import { type Leadership, SOLE_LEADER } from './state/leadership.ts';
import { type Replicas, sharedReplicas, soleReplica } from './state/replicas.ts';
import type { SharedState } from './state/state.ts';
import type { ResourceStore } from './store.ts';

export interface EtcdPlace {
  settings: EtcdSettings;
  /** Of all keys. */
  prefix: string;
}

export interface OpenStore {
  readonly store: ResourceStore;
  /** For writes that the leader alone may make. */
  readonly leaderStore: ResourceStore;
  /** Records besides resources; absent: they are kept in the data folder. */
  readonly state?: SharedState;
  readonly leadership: Leadership;
  readonly replicas: Replicas;
  /** Calls back when records of this process have ended: it had lost the store for too long. */
  onRecordsEnded(ended: () => void): void;
  close(): Promise<void>;
}

/**
 * Several control planes may use one prefix of etcd.
 * @param file of the embedded store, for which `etcd` is absent
 * @throws StoreError unavailable
 */
export async function openStore(
  file: string,
  etcd: EtcdPlace | undefined,
  { history, sealer, log }: { history?: HistorySettings | undefined; sealer?: Sealer | undefined; log: Log },
): Promise<OpenStore> {
  const kept = { ...(history && { history }), ...(sealer && { sealer }) };
  // Part of keys, and of annotations.
  const id = randomBytes(4).toString('hex');
  if (!etcd) {
    const store = await openSqliteStore(file, kept);
    const alone = { leadership: SOLE_LEADER, replicas: soleReplica(id), onRecordsEnded: () => {} };
    return { store, leaderStore: store, ...alone, close: () => store.close() };
  }
  const { settings, prefix } = etcd;
  const onTrouble = (error: unknown) => log(`store: ${error instanceof Error ? error.message : String(error)}`, 'warn');
  const store = await openEtcdStore(settings, { prefix, ...kept, onTrouble });
  // Leases are renewed whatever the store is busy with.
  const gateway = new EtcdGateway(settings);
  try {
    const lease = await ReplicaLease.open(gateway, onTrouble);
    const state = await EtcdState.open({
      gateway,
      prefix,
      sealer: sealer ?? plainSealer,
      lease: () => lease.id,
      onTrouble,
    });
    const election = new Election({ state, lease, id, nameOf: (key) => state.nameOf(key), onTrouble });
    const replicas = sharedReplicas(state, id, lease);
    return {
      store,
      leaderStore: store.withFence(() => election.fence()),
      state,
      leadership: election,
      replicas,
      onRecordsEnded: (ended) => lease.onReplaced(ended),
      async close() {
        replicas.close();
        election.close();
        await lease.close();
        await state.close();
        gateway.close();
        await store.close();
      },
    };
  } catch (error) {
    gateway.close();
    await store.close();
    throw error;
  }
}
