/**
 * Drives a change of the mesh's root: the new root is trusted by every connected proxy before it issues, and the old one is
 * trusted until no certificate of it is valid any more. A restart continues where the last process was.
 */
import type { Log } from '../../../shared/log/log.ts';
import type { ControlEvents } from '../../telemetry/events.ts';
import type { RootRotation, RotationShown } from '../authority.ts';

/** A proxy that lost the control plane is back within this: it counts as connected again. */
const SETTLE_MS = 10_000;
const CHECK_MS = 1000;

export interface RotationDriverOptions {
  readonly roots: RootRotation;
  /** Ids of connected proxies that do not trust the present roots yet. */
  readonly behind: () => readonly string[];
  /** Roots, or the issuer, are others now. */
  readonly changed: () => Promise<void>;
  /** Whether this control plane takes the steps; of several the leader does. Default: it does. */
  readonly leads?: () => boolean;
  /** For so long after its end a certificate may still be presented, to rejoin; milliseconds. */
  readonly graceMs: number;
  readonly settleMs?: number;
  readonly now?: () => number;
  readonly log: Log;
  readonly events?: Pick<ControlEvents, 'rotated'>;
}

export interface CaShown extends RotationShown {
  /** Proxies that have to take the new root before it issues. */
  readonly waitingFor: readonly string[];
}

export class RotationDriver {
  readonly #options: RotationDriverOptions;
  readonly #now: () => number;
  #since: number;
  #timer: NodeJS.Timeout | undefined;
  #working = false;

  constructor(options: RotationDriverOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
    this.#since = this.#now();
    this.#schedule();
  }

  show(): CaShown {
    const shown = this.#options.roots.show();
    return { ...shown, waitingFor: shown.phase === 'announced' ? this.#options.behind() : [] };
  }

  /** @throws RotationError */
  async rotate(): Promise<CaShown> {
    await this.#options.roots.announce();
    this.#since = this.#now();
    this.#options.log('ca: a new root is made and distributed; it issues once every connected proxy has it', 'info');
    this.#options.events?.rotated({ phase: 'announced' });
    await this.#options.changed();
    this.#schedule();
    return this.show();
  }

  /** @param force also while certificates of the old root are valid @throws RotationError */
  async retire(force: boolean): Promise<CaShown> {
    await this.#options.roots.retire(force);
    this.#options.log('ca: the old root is not trusted any more', 'info');
    this.#options.events?.rotated({ phase: 'retired' });
    await this.#options.changed();
    return this.show();
  }

  /** Another control plane has taken a step, or control planes came or went: their proxies need time to come back. */
  follow(): void {
    this.#since = this.#now();
    this.#schedule();
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #schedule(): void {
    clearTimeout(this.#timer);
    const { phase } = this.#options.roots.show();
    if (phase === 'single') return;
    const check = () => {
      this.#step()
        .catch((error: Error) => this.#options.log(`ca: rotation does not proceed: ${error.message}`, 'error'))
        .finally(() => {
          if (this.#timer) this.#schedule();
        });
    };
    this.#timer = setTimeout(check, CHECK_MS);
    this.#timer.unref();
  }

  async #step(): Promise<void> {
    if (this.#working || this.#options.leads?.() === false) return;
    this.#working = true;
    try {
      const { roots, graceMs, behind, changed, log, events, settleMs = SETTLE_MS } = this.#options;
      const { phase, oldValidUntil = 0 } = roots.show();
      if (phase === 'announced' && this.#now() >= this.#since + settleMs && behind().length === 0) {
        await roots.issueByNext();
        log('ca: the new root issues now; the old one stays trusted until its certificates have expired', 'info');
        events?.rotated({ phase: 'issuing' });
        await changed();
      } else if (phase === 'issuing' && this.#now() > oldValidUntil + graceMs) await this.retire(false);
    } finally {
      this.#working = false;
    }
  }
}
