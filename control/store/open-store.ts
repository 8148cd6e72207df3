/** The store that the settings name. */
import { hostname } from 'node:os';
import type { Log } from '../../shared/log/log.ts';
import { EtcdGateway, type EtcdSettings } from './etcd/gateway.ts';
import { EtcdState } from './etcd/state/etcd-state.ts';
import { openEtcdStore } from './etcd/store.ts';
import type { HistorySettings } from './history/history.ts';
import { plainSealer } from './sealing/sealer.ts';
import { openSqliteStore } from './sqlite.ts';
import type { SharedState } from './state/state.ts';
import type { ResourceStore } from './store.ts';

export interface EtcdPlace {
  settings: EtcdSettings;
  /** Of all keys. */
  prefix: string;
  /** Calls back when another control plane has taken the prefix: this one can write nothing more. */
  onLost: (error: Error) => void;
}

export interface OpenStore {
  readonly store: ResourceStore;
  /** Records besides resources; absent: they are kept in the data folder. */
  readonly state?: SharedState;
  close(): Promise<void>;
}

/**
 * On etcd one control plane at a time uses a prefix.
 * @param file of the embedded store, for which `etcd` is absent
 * @throws StoreError unavailable
 */
export async function openStore(
  file: string,
  etcd: EtcdPlace | undefined,
  { history, log }: { history?: HistorySettings | undefined; log: Log },
): Promise<OpenStore> {
  const kept = history ? { history } : {};
  if (!etcd) {
    const store = await openSqliteStore(file, kept);
    return { store, close: () => store.close() };
  }
  const { settings, prefix, onLost } = etcd;
  const onTrouble = (error: unknown) => log(`store: ${error instanceof Error ? error.message : String(error)}`, 'warn');
  const store = await openEtcdStore(settings, {
    prefix,
    ...kept,
    onTrouble,
    exclusive: {
      holder: `${hostname()} process ${process.pid}`,
      onLost: (holder) => onLost(new Error(`etcd prefix ${prefix} was taken by another control plane: ${holder}`)),
    },
  });
  const gateway = new EtcdGateway(settings);
  try {
    const state = await EtcdState.open({ gateway, prefix, sealer: plainSealer, lease: () => undefined, onTrouble });
    return {
      store,
      state,
      async close() {
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
