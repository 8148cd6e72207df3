/** Limits what a peer may cost beside its messages, by Envoy's formulas where there is one. */
import { Http2Error } from '../error.ts';
import type { Http2FloodLimits } from '../options.ts';

/** WINDOW_UPDATE frames that need no reason. */
const FREE_WINDOW_UPDATES = 5;
/** SETTINGS frames that need no reason. Peers that measure the connection send one now and then. */
const FREE_SETTINGS = 2000;

export class FloodGuard {
  private readonly limits: Http2FloodLimits;
  private readonly mostEarlyEnds: number;
  private opened = 0;
  private priorities = 0;
  private windowUpdates = 0;
  private settings = 0;
  /** Of the second that runs. */
  private earlyEnds = 0;
  private openedAtStart = 0;
  private second: ReturnType<typeof setTimeout> | undefined;
  private stopped = false;

  /** @param mostEarlyEnds in a second */
  constructor(limits: Http2FloodLimits, mostEarlyEnds: number) {
    this.limits = limits;
    this.mostEarlyEnds = mostEarlyEnds;
  }

  onOpened(): void {
    this.opened++;
  }

  /** @throws Http2Error ENHANCE_YOUR_CALM, as all of these */
  onPriority(): void {
    if (++this.priorities > this.limits.priorityFramesPerStream * (1 + this.opened))
      throw new Http2Error('ENHANCE_YOUR_CALM', 'too many PRIORITY frames', 'inbound_priority_frames_flood');
  }

  /** @param dataFrames DATA frames that were sent */
  onWindowUpdate(dataFrames: number): void {
    const { windowUpdatesPerDataFrame } = this.limits;
    const most = FREE_WINDOW_UPDATES + 2 * (this.opened + windowUpdatesPerDataFrame * dataFrames);
    if (++this.windowUpdates > most)
      throw new Http2Error('ENHANCE_YOUR_CALM', 'too many WINDOW_UPDATE frames', 'inbound_window_update_frames_flood');
  }

  /** A SETTINGS frame costs work for all open streams. @param dataFrames DATA frames that were sent */
  onSettings(dataFrames: number): void {
    if (++this.settings > FREE_SETTINGS + this.opened + dataFrames)
      throw new Http2Error('ENHANCE_YOUR_CALM', 'too many SETTINGS frames', 'outbound_control_flood');
  }

  /** The peer gave a stream up, or had it reset by an error: more than half of many streams in a second do not end so. */
  onEarlyEnd(): void {
    // The last stream of a connection that drains may end it.
    if (this.stopped) return;
    if (this.second === undefined) {
      this.openedAtStart = this.opened;
      this.earlyEnds = 0;
      this.second = setTimeout(() => this.endSecond(), 1000);
    }
    if (++this.earlyEnds <= this.mostEarlyEnds) return;
    if (this.earlyEnds * 2 > this.opened - this.openedAtStart)
      throw new Http2Error('ENHANCE_YOUR_CALM', 'too many streams ended early', 'early_ends_flood');
  }

  private endSecond(): void {
    this.second = undefined;
  }

  stop(): void {
    this.stopped = true;
    clearTimeout(this.second);
  }
}
