/** Revoked service accounts of several control planes: one record for each account. */
import { keyPart, type SharedState, type StateChange, type StateEntry } from '../../store/state/state.ts';
import type { Revocation, RevocationChange, RevocationStore } from '../accounts.ts';

const FOLDER = 'revocations';
/** Writes of one transaction; etcd takes 128. */
const AT_ONCE = 100;

export function sharedRevocationStore(state: SharedState): RevocationStore {
  return {
    load: async () => state.entries(FOLDER).map(revocationOf),
    async record(changes) {
      // The last change of an account counts.
      const last = new Map(changes.map((change) => [keyOf(change), change]));
      const writes = [...last].map(([key, { since }]) => ({
        key,
        text: since === undefined ? undefined : String(since),
      }));
      for (let at = 0; at < writes.length; at += AT_ONCE) await state.commit(writes.slice(at, at + AT_ONCE));
    },
    follow: (changed) => void state.onChange(FOLDER, (changes) => changed(changes.map(changeOf))),
  };
}

const keyOf = ({ namespace, serviceAccount }: RevocationChange): string =>
  `${FOLDER}/${keyPart(namespace)}/${keyPart(serviceAccount)}`;

function accountOf(key: string) {
  const [, namespace = '', serviceAccount = ''] = key.split('/').map(decodeURIComponent);
  return { namespace, serviceAccount };
}

const revocationOf = ({ key, text }: StateEntry): Revocation => ({ ...accountOf(key), since: Number(text) });

const changeOf = ({ key, text }: StateChange): RevocationChange => ({
  ...accountOf(key),
  since: text === undefined ? undefined : Number(text),
});
