/** The parts of etcd's API that the store uses (api/etcdserverpb/rpc.proto), as its JSON gateway writes them: int64 as text. */

export interface Header {
  revision: string;
}

/** `key` and `value` in base64. A field that is zero or empty is absent. */
export interface KeyValue {
  key: string;
  value?: string;
  create_revision?: string;
  mod_revision?: string;
  /** Of what ends with a process. */
  lease?: string;
}

export interface RangeAnswer {
  header: Header;
  kvs?: KeyValue[];
  more?: boolean;
}

export interface TxnAnswer {
  header: Header;
  succeeded?: boolean;
  responses?: { response_range?: RangeAnswer }[];
}

export interface WatchAnswer {
  header: Header;
  created?: boolean;
  canceled?: boolean;
  cancel_reason?: string;
  compact_revision?: string;
  events?: { type?: 'DELETE'; kv: KeyValue; prev_kv?: KeyValue }[];
}

export const numberOf = (text: string | undefined): number => Number(text ?? 0);
