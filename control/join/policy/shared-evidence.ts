/** Used evidence of several control planes: the first use is decided by a transaction. */
import { createHash } from 'node:crypto';
import type { SharedState, StateWrite } from '../../store/state/state.ts';
import type { UsedEvidence } from './used-evidence.ts';

const FOLDER = 'used-evidence';
/** Between deletions of what has expired. */
const CLEAN_MS = 60_000;
/** Writes of one transaction; etcd takes 128. */
const AT_ONCE = 100;

export function sharedEvidence(state: SharedState, now: () => number = Date.now): UsedEvidence {
  let cleaned = Number.NEGATIVE_INFINITY;
  async function clean(): Promise<void> {
    const at = now();
    if (at - cleaned < CLEAN_MS) return;
    cleaned = at;
    const expired = state
      .entries(FOLDER)
      .filter(({ text }) => Number(text) <= at)
      .map(({ key }): StateWrite => ({ key, text: undefined }));
    for (let from = 0; from < expired.length; from += AT_ONCE) await state.commit(expired.slice(from, from + AT_ONCE));
  }
  return {
    isUsed: ({ id }) => state.get(evidenceKey(id)) !== undefined,
    async claim({ id, until }) {
      await clean();
      return (
        (await state.commit([{ key: evidenceKey(id), text: String(Math.ceil(until)), expected: 0 }])) !== undefined
      );
    },
    close() {},
  };
}

/** Ids are of any length. */
export const evidenceKey = (id: string): string => `${FOLDER}/${createHash('sha256').update(id).digest('hex')}`;
