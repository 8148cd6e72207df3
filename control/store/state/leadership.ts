/** Which of several control planes does what must be done once. */
import { StoreError } from '../store.ts';
import type { Fence } from './state.ts';

export interface Leadership {
  readonly isLeader: boolean;
  /** What each write requires that only the leader may make; undefined: there is one control plane alone. @throws StoreError */
  fence(): Fence | undefined;
  /** Calls back when this process begins or ends to lead. */
  onChange(changed: (isLeader: boolean) => void): void;
}

/** Of a control plane that shares its store with no other. */
export const SOLE_LEADER: Leadership = { isLeader: true, fence: () => undefined, onChange: () => {} };

export const notLeading = () => new StoreError('unavailable', 'another control plane leads: this one wrote nothing');
