/**
 * The election of a leader: the first to make a record that ends with its lease. Writes that only the leader may make compare the
 * revision of that record, so that one of a process that was paused meanwhile is refused by etcd.
 */
import { type Leadership, notLeading } from '../../state/leadership.ts';
import type { Fence, SharedState } from '../../state/state.ts';
import type { ReplicaLease } from './replica-lease.ts';

const KEY = 'election/leader';
const CHECK_MS = 500;

export interface ElectionOptions {
  readonly state: SharedState;
  readonly lease: Pick<ReplicaLease, 'isHeld'>;
  /** The key of a record as the store names it, base64. */
  readonly nameOf: (key: string) => string;
  /** Of this process. */
  readonly id: string;
  readonly onTrouble: (error: unknown) => void;
}

export class Election implements Leadership {
  private readonly options: ElectionOptions;
  private readonly listeners = new Set<(isLeader: boolean) => void>();
  private readonly timer: ReturnType<typeof setInterval>;
  private readonly stopFollowing: () => void;
  /** The revision that the record of this process was made with. */
  private revision: number | undefined;
  private announced = false;
  private attempting = false;

  constructor(options: ElectionOptions) {
    this.options = options;
    this.stopFollowing = options.state.onChange('election', () => this.look());
    this.timer = setInterval(() => this.look(), CHECK_MS);
    this.timer.unref?.();
    this.look();
  }

  get isLeader(): boolean {
    return this.revision !== undefined && this.options.lease.isHeld;
  }

  fence(): Fence {
    if (this.revision === undefined || !this.isLeader) throw notLeading();
    return { key: this.options.nameOf(KEY), revision: this.revision };
  }

  onChange(changed: (isLeader: boolean) => void): void {
    this.listeners.add(changed);
    if (this.announced) changed(true);
  }

  /** Leads no longer; the lease ends the record. */
  close(): void {
    clearInterval(this.timer);
    this.stopFollowing();
    this.revision = undefined;
    this.listeners.clear();
  }

  private look(): void {
    const found = this.settle();
    if (!found && !this.attempting && this.options.lease.isHeld) void this.attempt();
  }

  private settle(): boolean {
    const found = this.options.state.get(KEY);
    // Also one whose write was not answered.
    this.revision = found?.text === this.options.id ? found.revision : undefined;
    this.announce();
    return found !== undefined;
  }

  private async attempt(): Promise<void> {
    const { state, id, onTrouble } = this.options;
    this.attempting = true;
    try {
      await state.commit([{ key: KEY, text: id, expected: 0, leased: true }]);
    } catch (error) {
      onTrouble(error);
    } finally {
      this.attempting = false;
    }
    this.settle();
  }

  private announce(): void {
    const { isLeader } = this;
    if (isLeader === this.announced) return;
    this.announced = isLeader;
    for (const changed of this.listeners) changed(isLeader);
  }
}
