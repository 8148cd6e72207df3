import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ROOT, RUNTIMES, temporaryFolder } from '../../kit/environment.ts';
import { ENVOY, startEnvoy } from '../../kit/envoy.ts';
import { freePorts } from '../../kit/ports.ts';
import { type RunningProxy, startTulle } from '../../kit/proxy.ts';
import { type Outcome, outcomeOf } from '../harness/compare.ts';
import { type Echo, type Shadows, startBytes, startEcho, startRaw, startShadows } from '../harness/echo.ts';
import { camelCase, sharedBootstrap } from './bootstrap.ts';
import { type Case, CASES as FIRST_CASES } from './cases.ts';
import { MORE_CASES } from './cases-more.ts';
import { type StreamCase, type StreamOutcome, streamOutcomeOf } from './compare-tcp.ts';
import { THEMES } from './themes/themes.ts';

type Compared = Case | StreamCase;
const ALL_CASES: readonly Compared[] = [
  ...FIRST_CASES,
  ...MORE_CASES,
  ...THEMES.flatMap(({ cases, streams = [] }) => [...cases, ...streams]),
];

/** `TULLE_CASES` is a regular expression on ids: only those cases run. */
const CASES = ALL_CASES.filter(({ id }) => new RegExp(process.env['TULLE_CASES'] ?? '').test(id));

/** Deliberate differences: the case's id is written in the document, with the reason. */
const excused = new Set(
  [...readFileSync(join(ROOT, 'docs/differences-from-envoy.md'), 'utf8').matchAll(/^- `([a-z0-9-]+)`/gm)].map(
    ([, id]) => id!,
  ),
);

/** What no document excuses: there is nothing to compare. */
const failed = (found: object) => /not logged|no whole answer/.test(JSON.stringify(found));

/** Side by side: most cases wait for something. */
async function eachOf(cases: readonly Compared[], run: (given: Compared) => Promise<void>): Promise<void> {
  const rest = [...cases];
  const worker = async () => {
    for (let next = rest.shift(); next; next = rest.shift()) await run(next);
  };
  await Promise.all(Array.from({ length: 12 }, worker));
}

describe.skipIf(!ENVOY)('one bootstrap file in Envoy and in Tulle', () => {
  const folder = temporaryFolder();
  const echoes: Echo[] = [];
  const proxies: RunningProxy[] = [];
  const expected = new Map<string, Outcome | StreamOutcome>();
  let bootstrap: object;

  let shadows: Shadows;

  const ask = async (proxy: RunningProxy, given: Compared): Promise<Outcome | StreamOutcome> => {
    try {
      return await ('bytes' in given ? outcomeOf(proxy, given, shadows) : streamOutcomeOf(proxy, given));
    } catch (error) {
      return { responses: [], end: (error as Error).message, log: undefined };
    }
  };

  beforeAll(async () => {
    shadows = await startShadows();
    echoes.push(await startEcho('echo'), await startEcho('second'), await startBytes(), await startRaw(), shadows);
    const [echo, second, bytes, raw] = echoes.map(({ port }) => port) as [number, number, number, number];
    const [dead] = await freePorts(1);
    bootstrap = sharedBootstrap({ echo, second, bytes, raw, dead: dead!, shadow: shadows.port });
    const envoy = await startEnvoy(bootstrap, folder.path);
    proxies.push(envoy);
    await eachOf(CASES, async (given) => void expected.set(given.id, await ask(envoy, given)));
  });
  afterAll(async () => {
    await Promise.all(proxies.map((proxy) => proxy.stop()));
    for (const echo of echoes) echo.stop();
    folder.dispose();
  });

  it('compares at least 2300 cases; the document excuses only cases that exist', () => {
    const ids = new Set(ALL_CASES.map(({ id }) => id));
    expect(ids.size).toBe(ALL_CASES.length);
    expect(ids.size).toBeGreaterThanOrEqual(2300);
    expect([...excused].filter((id) => !ids.has(id))).toEqual([]);
  });

  it('Envoy answers and logs every case: there is something to agree on', () => {
    const silent = [...expected].filter(([, found]) => failed(found));
    expect(silent).toEqual([]);
    expect(expected.size).toBe(CASES.length);
  });

  it.each(RUNTIMES)('%s answers as Envoy does', async (runtime) => {
    // One runtime reads lowerCamel names, so that both spellings meet both proxies.
    const file = runtime === 'bun' ? (camelCase(bootstrap) as object) : bootstrap;
    const tulle = await startTulle(runtime, file, folder.path);
    proxies.push(tulle);
    const differences: object[] = [];
    await eachOf(CASES, async (given) => {
      const found = await ask(tulle, given);
      const same = JSON.stringify(found) === JSON.stringify(expected.get(given.id));
      if (!same && !excused.has(given.id))
        differences.push({ id: given.id, envoy: expected.get(given.id), tulle: found });
      if (same && excused.has(given.id)) differences.push({ id: given.id, stale: 'excused but the same' });
      if (excused.has(given.id) && failed(found)) differences.push({ id: given.id, tulle: found });
    });
    expect(differences).toEqual([]);
    expect(shadows.left(), 'mirrored more often than in Envoy').toEqual([]);
  });

  it.skipIf(CASES.length < ALL_CASES.length)('Envoy reads the lowerCamel spelling too', async () => {
    const envoy = await startEnvoy(camelCase(bootstrap) as object, folder.path, 'envoy-camel');
    proxies.push(envoy);
    const given = FIRST_CASES.find(({ id }) => id === 'rewrite')!;
    expect(await outcomeOf(envoy, given)).toEqual(expected.get('rewrite'));
  });
});
