/** What capture changed on this host, kept until it is taken back or the host restarts: a file for each network namespace. */
import { mkdirSync, readFileSync, readlinkSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { BackEndName } from './back-end.ts';
import type { CaptureOptions } from './capture-options.ts';

const FOLDER = '/run/tulle';

export interface CaptureRecord {
  readonly backEnd: BackEndName;
  readonly options: CaptureOptions;
  /** Whether ::6 was put on the loopback interface. */
  readonly addedSource: boolean;
  /** Until it is confirmed. */
  readonly trial?: Trial;
}

export interface Trial {
  readonly id: string;
  /** RFC 3339: when it is rolled back. */
  readonly until: string;
  /** What was captured before; absent: nothing. */
  readonly previous?: Omit<CaptureRecord, 'trial' | 'addedSource'>;
}

export function readRecord(): CaptureRecord | undefined {
  try {
    return JSON.parse(readFileSync(path(), 'utf8')) as CaptureRecord;
  } catch {
    return undefined;
  }
}

/** @returns false where the folder is read-only: `off` finds the rules without it */
export function writeRecord(record: CaptureRecord): boolean {
  try {
    mkdirSync(FOLDER, { recursive: true, mode: 0o755 });
    writeFileSync(`${path()}.new`, JSON.stringify(record), { mode: 0o644 });
    renameSync(`${path()}.new`, path());
    return true;
  } catch {
    return false;
  }
}

export const removeRecord = (): void => rmSync(path(), { force: true });

/** `net:[4026531840]` names the namespace. */
function path(): string {
  const [, inode = 'unknown'] = /\[(\d+)\]/.exec(readlinkSync('/proc/self/ns/net')) ?? [];
  return join(FOLDER, `capture-${inode}.json`);
}
