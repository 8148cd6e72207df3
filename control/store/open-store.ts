/** The store that the settings name. */
import { hostname } from 'node:os';
import type { Log } from '../../shared/log/log.ts';
import type { EtcdSettings } from './etcd/gateway.ts';
import { openEtcdStore } from './etcd/store.ts';
import type { HistorySettings } from './history/history.ts';
import { openSqliteStore } from './sqlite.ts';
import type { ResourceStore } from './store.ts';

export interface EtcdPlace {
  settings: EtcdSettings;
  /** Of all keys. */
  prefix: string;
  /** Calls back when another control plane has taken the prefix: this one can write nothing more. */
  onLost: (error: Error) => void;
}

/**
 * On etcd one control plane at a time uses a prefix, since the joins, tokens and keys of its data folder belong to what is stored.
 * @param file of the embedded store, for which `etcd` is absent
 * @throws StoreError unavailable
 */
export async function openStore(
  file: string,
  etcd: EtcdPlace | undefined,
  { history, log }: { history?: HistorySettings | undefined; log: Log },
): Promise<ResourceStore> {
  const kept = history ? { history } : {};
  if (!etcd) return openSqliteStore(file, kept);
  const { settings, prefix, onLost } = etcd;
  return openEtcdStore(settings, {
    prefix,
    ...kept,
    onTrouble: (error) => log(`store: ${error instanceof Error ? error.message : String(error)}`, 'warn'),
    exclusive: {
      holder: `${hostname()} process ${process.pid}`,
      onLost: (holder) => onLost(new Error(`etcd prefix ${prefix} was taken by another control plane: ${holder}`)),
    },
  });
}
