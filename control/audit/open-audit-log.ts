/** The audit log of a control plane's settings. */
import { dirname, resolve } from 'node:path';
import type { Writable } from 'node:stream';
import type { Log } from '../../shared/log/log.ts';
import type { Metrics } from '../../shared/metrics/metrics.ts';
import { limitedLog } from '../telemetry/limited-log.ts';
import { AuditLog, type AuditMode, auditCounters } from './audit-log.ts';
import type { AuditPolicy } from './audit-policy.ts';
import { type AuditSink, isLogFile, LogFile, type RotationSettings } from './log-file.ts';

export interface AuditSettings {
  /** A file, or `-`: standard output. */
  readonly path: string;
  readonly mode: AuditMode;
  readonly policy: AuditPolicy;
  readonly rotation: RotationSettings;
}

/** @throws Error where the file cannot be opened */
export async function openAuditLog(
  { path, mode, policy, rotation }: AuditSettings,
  { metrics, log }: { metrics: Metrics; log: Log },
): Promise<AuditLog> {
  return new AuditLog({ sink: await sinkOf(path, rotation, log), mode, policy, counters: auditCounters(metrics), log });
}

/** @returns whether the name in the data folder is one of the audit log's */
export function isAuditFile(settings: AuditSettings | undefined, folder: string, name: string): boolean {
  if (!settings || settings.path === '-' || resolve(dirname(settings.path)) !== resolve(folder)) return false;
  return isLogFile(settings.path, name);
}

async function sinkOf(path: string, rotation: RotationSettings, log: Log): Promise<AuditSink> {
  if (path === '-') return streamSink(process.stdout);
  const limited = limitedLog(log, Date.now, 'failures of the rotation of the audit log', 1);
  const onRotationError = (error: unknown) =>
    limited(`audit log: ${path} is not rotated: ${(error as Error).message}`, 'error');
  try {
    return await LogFile.open({ path, rotation, onRotationError });
  } catch (error) {
    throw new Error(`--audit-log ${path}: ${(error as Error).message}`, { cause: error });
  }
}

function streamSink(stream: Writable): AuditSink {
  return {
    write: (lines) =>
      new Promise((done, fail) => {
        stream.write(lines, (error) => (error ? fail(error) : done()));
      }),
    reopen: async () => {},
    close: async () => {},
  };
}
