import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ROOT, RUNTIMES, temporaryFolder } from '../../kit/environment.ts';
import { ENVOY, startEnvoy } from '../../kit/envoy.ts';
import { closedPort } from '../../kit/ports.ts';
import { type RunningProxy, startTulle } from '../../kit/proxy.ts';
import { bootstrap } from './bootstrap.ts';
import type { Case } from './case.ts';
import { agree, type Outcome, outcomeOf } from './compare.ts';
import { THEMES } from './themes/themes.ts';
import { startUpstreams, type Upstreams } from './upstreams.ts';

const ALL_CASES: readonly Case[] = THEMES.flatMap(({ cases }) => cases);
/** `TULLE_CASES` is a regular expression on ids: only those cases run. */
const CASES = ALL_CASES.filter(({ id }) => new RegExp(process.env['TULLE_CASES'] ?? '').test(id));

/** Deliberate differences: `h2/` and the case's id are written in the document, with the reason. */
const excused = new Set(
  [...readFileSync(join(ROOT, 'docs/differences-from-envoy.md'), 'utf8').matchAll(/`h2\/([a-z0-9-]+)`/g)].map(
    ([, id]) => id!,
  ),
);

/** Side by side: many cases wait for something. */
async function eachOf(cases: readonly Case[], run: (given: Case) => Promise<void>): Promise<void> {
  const rest = [...cases];
  const worker = async () => {
    for (let next = rest.shift(); next; next = rest.shift()) await run(next);
  };
  await Promise.all(Array.from({ length: 12 }, worker));
}

describe.skipIf(!ENVOY)('HTTP/2 of one bootstrap file in Envoy and in Tulle', () => {
  const folder = temporaryFolder();
  const proxies: RunningProxy[] = [];
  const expected = new Map<string, Outcome>();
  let upstreams: Upstreams;
  let config: object;

  beforeAll(async () => {
    upstreams = await startUpstreams();
    config = bootstrap(THEMES, { ...upstreams.ports, dead: await closedPort() });
    const envoy = await startEnvoy(config, folder.path);
    proxies.push(envoy);
    await eachOf(CASES, async (given) => void expected.set(given.id, await outcomeOf(envoy, given, upstreams)));
  });
  afterAll(async () => {
    await Promise.all(proxies.map((proxy) => proxy.stop()));
    upstreams.stop();
    folder.dispose();
  });

  it('compares at least 1200 cases; the document excuses only cases that exist', () => {
    const ids = new Set(ALL_CASES.map(({ id }) => id));
    expect(ids.size).toBe(ALL_CASES.length);
    expect(ids.size).toBeGreaterThanOrEqual(1200);
    expect([...excused].filter((id) => !ids.has(id))).toEqual([]);
  });

  it('Envoy lets every case end: there is something to agree on', () => {
    const failed = [...expected].filter(([, { client }]) => 'failure' in client);
    expect(failed).toEqual([]);
    expect(expected.size).toBe(CASES.length);
  });

  it.each(RUNTIMES)('%s does what Envoy does', async (runtime) => {
    const tulle = await startTulle(runtime, config, folder.path);
    proxies.push(tulle);
    const found = new Map<string, Outcome>();
    const ask = async (given: Case): Promise<boolean> => {
      const envoy = expected.get(given.id)!;
      const outcome = await outcomeOf(tulle, given, upstreams, envoy.logs.length);
      found.set(given.id, outcome);
      return agree(envoy, outcome);
    };
    const differing: Case[] = [];
    await eachOf(CASES, async (given) => {
      if (!(await ask(given))) differing.push(given);
    });
    // Short times of the config can be over on a busy machine: what differs is asked again, by itself.
    const differences: object[] = [];
    for (const given of differing) {
      if (excused.has(given.id) || (await ask(given))) continue;
      differences.push({ id: given.id, envoy: expected.get(given.id), tulle: found.get(given.id) });
    }
    const ids = new Set(differing.map(({ id }) => id));
    for (const { id } of CASES) {
      if (!excused.has(id)) continue;
      if (!ids.has(id)) differences.push({ id, stale: 'excused but the same' });
      // No document excuses a step that does not happen, or a stream without an end.
      const { client } = found.get(id)!;
      if ('failure' in client) differences.push({ id, failure: client.failure });
    }
    expect(differences).toEqual([]);
  });
});
