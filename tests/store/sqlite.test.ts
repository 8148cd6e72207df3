/** The SQLite store on every runtime: its whole suite, and what a killed process has left in the file. */
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { type RuntimeName, runtimeCommand } from '../../control/cli/runtimes.mjs';
import { openSqliteStore } from '../../control/store/sqlite.ts';
import { storeCases } from '../../control/store/testing/suite.ts';
import { ROOT, RUNTIMES, temporaryFolder } from '../kit/environment.ts';
import { Program, run } from '../kit/process.ts';

const folder = temporaryFolder();
afterAll(() => folder.dispose());

const command = (runtime: RuntimeName, script: string) =>
  runtimeCommand(runtime, join(ROOT, 'control/store/testing', script));

describe.each(RUNTIMES)('SQLite on %s', (runtime) => {
  it('passes the whole suite', async () => {
    const [program, ...args] = command(runtime, 'suite.main.ts');
    const { out } = await run(program!, args);
    expect(out.trim().split('\n')).toEqual(storeCases.map(({ name }) => `ok ${name}`));
  });

  const rounds = 15;
  it(`loses no write that was acknowledged or shown to a watcher when it is killed, in ${rounds} rounds`, async () => {
    const path = join(folder.path, `${runtime}.db`);
    const printed: Printed[] = [];
    for (let round = 0; round < rounds; round++) {
      // Many writers at once make transactions of many writes.
      const plan = { round, writers: round % 3 === 0 ? 3 : 24, count: 5 + round * 7 };
      printed.push(...(await killedWriters(runtime, path, plan)));
      const store = await openSqliteStore(path, { historyLimit: 200 });
      const { items, revision } = await store.list({});
      const stored = new Map(items.map(({ metadata }) => [metadata.name, metadata.resourceVersion]));
      expect(printed.filter((one) => stored.get(one.name) !== one.revision)).toEqual([]);
      // No partial writes: every write made exactly one revision.
      expect(revision).toBe(1 + items.length);
      expect(new Set(stored.values()).size).toBe(items.length);
      await store.close();
    }
    for (const what of ['acknowledged', 'shown'])
      expect(printed.filter((one) => one.what === what).length).toBeGreaterThan(rounds);
  });
});

interface Printed {
  what: string;
  name: string;
  revision: string;
}

/** Starts writers and kills them once `count` writes were acknowledged. @returns all that they printed */
async function killedWriters(
  runtime: RuntimeName,
  path: string,
  plan: { round: number; writers: number; count: number },
): Promise<Printed[]> {
  const args = [path, String(plan.round), String(plan.writers)];
  const keptLines = Number.POSITIVE_INFINITY;
  const writers = new Program(`writers (${runtime})`, [...command(runtime, 'durability.main.ts'), ...args], {
    keptLines,
  });
  const acknowledged = () => writers.lines.filter((line) => line.startsWith('acknowledged ')).length;
  await writers.line(() => acknowledged() >= plan.count || undefined, 120_000);
  await writers.stop('SIGKILL');
  return writers.lines.flatMap((line) => {
    const [what = '', name = '', revision = ''] = line.split(' ');
    // The last line may be cut short.
    return revision === '' ? [] : [{ what, name, revision }];
  });
}
