/** The audit log: events become lines, which are written together with those that came meanwhile. */
import type { Log } from '../../shared/log/log.ts';
import type { Metrics } from '../../shared/metrics/metrics.ts';
import { limitedLog } from '../telemetry/limited-log.ts';
import type { AuditPolicy } from './audit-policy.ts';
import type { AuditEvent } from './event.ts';
import type { AuditSink } from './log-file.ts';

/**
 * As kube-apiserver's `--audit-log-mode`. `batch`: answers do not wait for their line, and lines are dropped where the disk does not
 * follow. `blocking`: an answer waits for its line. `blocking-strict`: a request is worked on once it is in the log, and fails
 * where that cannot be written.
 */
export const AUDIT_MODES = ['batch', 'blocking', 'blocking-strict'] as const;
export type AuditMode = (typeof AUDIT_MODES)[number];

/** Lines that wait, at most: those of `batch` are dropped beyond it, as in kube-apiserver. */
const MAX_WAITING = 10_000;

/** A reader of standard output that reads no more holds no stop up longer than this. */
const CLOSE_MS = 5000;

export interface AuditCounters {
  written(): void;
  /** @param lines that are not in the log */
  failed(lines: number): void;
  rejected(): void;
}

/** kube-apiserver's names. */
export function auditCounters(metrics: Metrics): AuditCounters {
  const events = metrics
    .counter('apiserver_audit_event_total', 'Counter of audit events generated and sent to the audit backend.')
    .with({});
  const errors = metrics
    .counter(
      'apiserver_audit_error_total',
      'Counter of audit events that failed to be audited properly. Plugin identifies the plugin affected by the error.',
      ['plugin'],
    )
    .with({ plugin: 'log' });
  const rejected = metrics
    .counter(
      'apiserver_audit_requests_rejected_total',
      'Counter of apiserver requests rejected due to an error in audit logging backend.',
    )
    .with({});
  return {
    written: () => void events.value++,
    failed: (lines) => void (errors.value += lines),
    rejected: () => void rejected.value++,
  };
}

export interface AuditLogOptions {
  readonly sink: AuditSink;
  readonly mode: AuditMode;
  readonly policy: AuditPolicy;
  readonly counters: AuditCounters;
  readonly log: Log;
  /** Milliseconds since the epoch. */
  readonly now?: () => number;
}

interface Waiting {
  readonly line: string;
  readonly done: (isWritten: boolean) => void;
}

export class AuditLog {
  readonly mode: AuditMode;
  readonly policy: AuditPolicy;
  readonly #sink: AuditSink;
  readonly #counters: AuditCounters;
  readonly #log: Log;
  #waiting: Waiting[] = [];
  #writing: Promise<void> | undefined;
  #isReopening = false;
  #isClosed = false;

  constructor({ sink, mode, policy, counters, log, now = Date.now }: AuditLogOptions) {
    this.mode = mode;
    this.policy = policy;
    this.#sink = sink;
    this.#counters = counters;
    this.#log = limitedLog(log, now, 'failures of the audit log', 1);
  }

  /** @returns whether it was written; of mode `batch` at once, whatever will become of it */
  add(event: AuditEvent): Promise<boolean> {
    if (this.#isClosed) return Promise.resolve(false);
    this.#counters.written();
    if (this.#waiting.length >= MAX_WAITING) {
      this.#failed(1, `${MAX_WAITING} lines wait for the disk`);
      return Promise.resolve(false);
    }
    const { promise, resolve } = Promise.withResolvers<boolean>();
    this.#waiting.push({ line: `${JSON.stringify(event)}\n`, done: resolve });
    this.#writing ??= this.#writeAll();
    return this.mode === 'batch' ? Promise.resolve(true) : promise;
  }

  /** A request was refused, for its event could not be written. */
  rejected(): void {
    this.#counters.rejected();
  }

  /** Opens the file again before the next line, which another program may have moved. */
  reopen(): void {
    this.#isReopening = true;
    this.#writing ??= this.#writeAll();
  }

  /** What waits is written, unless that takes longer than five seconds. */
  async close(): Promise<void> {
    const late = Promise.withResolvers<void>();
    const timer = setTimeout(late.resolve, CLOSE_MS);
    await Promise.race([this.#writing, late.promise]);
    clearTimeout(timer);
    this.#isClosed = true;
    await this.#sink.close();
  }

  /** Begins in a later turn: what is added in this one is written together. */
  async #writeAll(): Promise<void> {
    await new Promise(setImmediate);
    while (this.#waiting.length > 0 || this.#isReopening) {
      const lines = this.#waiting;
      this.#waiting = [];
      const isWritten = await this.#write(lines);
      for (const { done } of lines) done(isWritten);
    }
    this.#writing = undefined;
  }

  async #write(lines: readonly Waiting[]): Promise<boolean> {
    try {
      if (this.#isReopening) {
        this.#isReopening = false;
        await this.#sink.reopen();
      }
      if (lines.length > 0) await this.#sink.write(lines.map(({ line }) => line).join(''));
      return true;
    } catch (error) {
      this.#failed(lines.length, (error as Error).message);
      return false;
    }
  }

  #failed(lines: number, reason: string): void {
    this.#counters.failed(lines);
    this.#log(`audit log: ${lines} events are not written: ${reason}`, 'error');
  }
}
