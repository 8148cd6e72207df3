/** Join tokens of several control planes: a use is claimed by a transaction, whichever of them is asked. */
import { changeRecord, type SharedState, type StateEntry, type StateWrite } from '../../store/state/state.ts';
import { type KeptToken, StoredToken, type TokenStore } from '../token-store.ts';

const FOLDER = 'join-tokens';
const keyOf = (id: string): string => `${FOLDER}/${id}`;
/** Writes of one transaction; etcd takes 128. */
const AT_ONCE = 100;

export function sharedTokenStore(state: SharedState): TokenStore {
  /** Changes a token unless every use was claimed, or it is revoked. @returns whether it was changed */
  async function change(id: string, next: (kept: KeptToken) => KeptToken): Promise<boolean> {
    let changed = false;
    await changeRecord(state, keyOf(id), (entry) => {
      const kept = entry && keptOf(entry);
      changed = kept?.state === 'unused';
      return changed ? JSON.stringify(next(kept!)) : undefined;
    });
    return changed;
  }

  return {
    async add(token) {
      await addToken(state, { token, state: 'unused', claimed: 0 });
    },
    async get(id) {
      const entry = await state.fetch(keyOf(id));
      return entry && keptOf(entry);
    },
    claim: ({ id, uses = 1 }) =>
      change(id, (kept) => {
        const claimed = kept.claimed + 1;
        return { ...kept, claimed, state: claimed >= uses ? 'used' : 'unused' };
      }),
    revoke: (id) => change(id, (kept) => ({ ...kept, state: 'revoked' })),
    list: async () => state.entries(FOLDER).map(keptOf),
    async forget(before) {
      const expired = state
        .entries(FOLDER)
        .filter((entry) => keptOf(entry).token.expires < before)
        .map(({ key }): StateWrite => ({ key, text: undefined }));
      for (let at = 0; at < expired.length; at += AT_ONCE) await state.commit(expired.slice(at, at + AT_ONCE));
    },
  };
}

/** A token as it is kept elsewhere. @returns whether it was not there before */
export async function addToken(state: SharedState, kept: KeptToken): Promise<boolean> {
  return (await state.commit([{ key: keyOf(kept.token.id), text: JSON.stringify(kept), expected: 0 }])) !== undefined;
}

function keptOf({ key, text }: StateEntry): KeptToken {
  const { token, state, claimed } = JSON.parse(text) as KeptToken;
  const parsed = StoredToken.safeParse(token);
  if (!parsed.success) throw new Error(`${key} of the store is no join token: remove it`);
  return { token: parsed.data, state, claimed };
}
