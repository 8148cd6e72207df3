import { statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { runtimeCommand } from '../../control/cli/runtimes.mjs';
import { ROOT, RUNTIMES, temporaryFolder } from '../kit/environment.ts';
import { Program } from '../kit/process.ts';

interface Report {
  readonly loaded?: number[];
  readonly count?: number;
  readonly saved?: number;
  readonly bytes?: number;
  readonly warning?: string;
}

/** Kills the program in the middle of its work, after `saves` of them. @returns what it reported */
async function killed(runtime: (typeof RUNTIMES)[number], folder: string, saves: number): Promise<Report[]> {
  const command = runtimeCommand(runtime, join(ROOT, 'tests/runtime/disk-cache.child.ts'));
  const program = new Program(`disk cache (${runtime})`, [...command, folder], { keptLines: Number.POSITIVE_INFINITY });
  const reports = () => program.lines.flatMap((line) => asReport(line) ?? []);
  const saved = () => reports().filter((report) => report.saved !== undefined).length;
  await program.line(() => saved() >= saves || undefined, 120_000);
  await program.stop('SIGKILL');
  return reports();
}

/** The last line may be cut short. */
function asReport(line: string): Report | undefined {
  try {
    return JSON.parse(line) as Report;
  } catch {
    return undefined;
  }
}

describe.each(RUNTIMES)('the disk cache on %s', (runtime) => {
  it('loses nothing that was saved when its process is killed, and shows no half of a change', async () => {
    const folder = temporaryFolder();
    try {
      const data = join(folder.path, 'data');
      let last = 0;
      for (const saves of [1, 3, 40, 7, 2]) {
        const reports = await killed(runtime, data, saves);
        const { loaded, count } = reports.find((report) => report.loaded !== undefined)!;
        const [one, other] = loaded!;
        expect([one, count]).toEqual([other, 200]);
        // One more may have reached the disk before its report.
        if (last > 0) expect([last, last + 1]).toContain(one);
        const saved = reports.filter((report) => report.saved !== undefined);
        // The first save of all writes everything, and so does the first after a write that was cut short.
        const cutShort = last === 0 || reports.some(({ warning }) => warning !== undefined);
        for (const { bytes } of saved.slice(cutShort ? 1 : 0)) expect(bytes).toBeLessThan(10_000);
        last = saved.at(-1)!.saved!;
      }
      expect(statSync(join(data, 'config.journal')).mode & 0o777).toBe(0o600);
    } finally {
      folder.dispose();
    }
  });
});
