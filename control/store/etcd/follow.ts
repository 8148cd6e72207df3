/** The changes of a range of keys, in order, across members: reconnects where it was, none missing and none twice. */
import { numberOf, type WatchAnswer } from './api.ts';
import { EtcdError } from './etcd-error.ts';
import type { EtcdGateway } from './gateway.ts';
import type { KeyRange } from './keys.ts';

export interface Change {
  /** Base64, as its values. */
  key: string;
  /** Absent: the key was deleted. */
  value?: string;
  /** Before the change; absent when there was no such key. */
  previous?: string;
  /** There was no such key before. */
  isNew: boolean;
  revision: number;
}

export interface Changes {
  changes: Change[];
  /** Every change up to this revision was yielded. */
  reached: number;
}

const MAX_BACKOFF_MS = 2000;

/**
 * Yields the changes after `revision` until `signal` aborts or the gateway is closed. An etcd that is not available is waited for.
 * @param range keys that start with one prefix
 * @throws EtcdError compacted; unavailable when etcd refuses for a reason that no other member would not have
 */
export async function* follow(
  gateway: EtcdGateway,
  range: KeyRange,
  revision: number,
  { signal, onTrouble }: { signal: AbortSignal; onTrouble?: (error: EtcdError) => void },
): AsyncGenerator<Changes> {
  let reached = revision;
  let failures = 0;
  while (!signal.aborted) {
    try {
      for await (const answer of watchAfter(gateway, range, reached, signal)) {
        const seen = changesOf(answer);
        failures = 0;
        if (!seen || seen.reached <= reached) continue;
        reached = seen.reached;
        yield seen;
      }
      return;
    } catch (error) {
      if (!(error instanceof EtcdError) || error.code === 'compacted') throw error;
      onTrouble?.(error);
      failures++;
      if (failures > 1) await gateway.pause(Math.min(MAX_BACKOFF_MS, 50 * 2 ** failures) * (0.5 + Math.random() / 2));
    }
  }
}

function watchAfter(gateway: EtcdGateway, range: KeyRange, revision: number, signal: AbortSignal) {
  const create_request = { ...range, start_revision: String(revision + 1), prev_kv: true, progress_notify: true };
  // Answered by this member alone: that it lost the others ends the stream by itself.
  const probe = { ...range, limit: '1', keys_only: true, serializable: true };
  return gateway.stream<WatchAnswer>('/v3/watch', { create_request }, ['/v3/kv/range', probe], signal);
}

/** undefined: the answer says nothing of changes. @throws EtcdError when etcd ended the watch */
function changesOf(answer: WatchAnswer): Changes | undefined {
  const { compact_revision, canceled, cancel_reason = '' } = answer;
  if (numberOf(compact_revision) > 0)
    throw new EtcdError('compacted', `etcd: revisions before ${compact_revision} are compacted`);
  if (canceled) throw new EtcdError('unavailable', `etcd ended a watch: ${cancel_reason}`, { isOfMember: true });
  if (answer.created) return undefined;
  const changes = (answer.events ?? []).map(({ type, kv, prev_kv }): Change => {
    const previous = prev_kv && (prev_kv.value ?? '');
    return {
      key: kv.key,
      ...(type !== 'DELETE' && { value: kv.value ?? '' }),
      ...(previous !== undefined && { previous }),
      isNew: kv.create_revision === kv.mod_revision,
      revision: numberOf(kv.mod_revision),
    };
  });
  // Without changes it is a progress notification: everything up to its revision was sent.
  return { changes, reached: changes.at(-1)?.revision ?? numberOf(answer.header.revision) };
}
