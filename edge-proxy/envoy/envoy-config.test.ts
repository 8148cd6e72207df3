import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { EnvoyAdmin, UpdateCounts } from './envoy-admin.ts';
import { EnvoyConfig } from './envoy-config.ts';
import { EnvoyFiles } from './envoy-files.ts';

type Verdict = (names: readonly string[]) => string | undefined;

/** Reads the lists as Envoy does: takes a new version, or refuses it with a reason in its log. */
class FakeEnvoy {
  readonly reasons: string[] = [];
  /** The names in the lists, in the order in which they were read. */
  readonly seen: string[] = [];
  refusesCluster: Verdict = () => undefined;
  refusesListener: Verdict = () => undefined;
  /** Requests until one finds no Envoy. */
  endsAt = 0;
  private readonly folder: string;
  private readonly versions = { cds: '', lds: '' };
  private readonly counts = new Map<string, UpdateCounts>();
  private failed = new Map<string, string>();

  constructor(folder: string) {
    this.folder = folder;
  }

  readonly admin = {
    isLive: async () => true,
    numbers: async () => new Map<string, number>(),
    updates: async () => {
      if (--this.endsAt === 0) throw new Error('fetch failed');
      return this.read();
    },
    refusedListeners: async () => this.failed,
  } as unknown as EnvoyAdmin;

  private read(): Map<string, UpdateCounts> {
    this.readList('cds', 'cluster_manager.cds', this.refusesCluster);
    this.readList('lds', 'listener_manager.lds', this.refusesListener);
    return new Map(this.counts);
  }

  private readList(list: 'cds' | 'lds', of: string, verdict: Verdict): void {
    const { versionInfo, resources } = JSON.parse(readFileSync(join(this.folder, `${list}.json`), 'utf8')) as {
      versionInfo: string;
      resources: { name: string }[];
    };
    if (versionInfo === this.versions[list]) return;
    this.versions[list] = versionInfo;
    const names = resources.map(({ name }) => name);
    this.seen.push(`${list} ${names.join()}`);
    const reason = verdict(names);
    const { taken, refused } = this.counts.get(of) ?? { taken: 0, refused: 0 };
    this.counts.set(of, reason === undefined ? { taken: taken + 1, refused } : { taken, refused: refused + 1 });
    if (reason !== undefined) this.reasons.push(reason);
    this.failed = new Map(reason !== undefined && list === 'lds' ? [['bad', reason]] : []);
  }
}

describe('the config of an Envoy', () => {
  let folder: string;
  let envoy: FakeEnvoy;
  let config: EnvoyConfig;
  const named = (...names: string[]) => names.map((name) => ({ name }));

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tulle-envoy-'));
    const files = new EnvoyFiles(folder);
    await files.begin();
    envoy = new FakeEnvoy(folder);
    await envoy.admin.updates();
    envoy.seen.length = 0;
    config = new EnvoyConfig({ files, admin: async () => envoy.admin, takeReasons: () => envoy.reasons.splice(0) });
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  it('has clusters before listeners, and removes them after', async () => {
    await config.apply({
      listeners: { upsert: named('l'), remove: [] },
      clusters: { upsert: named('c'), remove: [] },
    });
    await config.apply({
      listeners: { upsert: [], remove: ['l'] },
      clusters: { upsert: named('d'), remove: ['c'] },
    });
    expect(envoy.seen).toEqual(['cds c', 'lds l', 'cds c,d', 'lds ', 'cds d']);
  });

  it('keeps what is good of a list of which Envoy refuses one', async () => {
    envoy.refusesCluster = (names) =>
      names.includes('bad') ? 'Error adding/updating cluster(s) bad: no, never' : undefined;
    envoy.refusesListener = (names) => (names.includes('bad') ? 'no port' : undefined);
    const refused = await config.apply({
      clusters: { upsert: named('a', 'bad'), remove: [] },
      listeners: { upsert: named('bad', 'l'), remove: [] },
    });
    expect([...refused.keys()]).toEqual(['clusters/bad', 'listeners/bad']);
    expect(refused.get('listeners/bad')).toBe('no port');
    expect([...config.held.clusters.keys()]).toEqual(['a']);
    // The files hold what is in force, which an Envoy that starts again reads.
    expect(envoy.seen).toEqual(['cds a,bad', 'cds a', 'lds bad,l', 'lds l']);
  });

  it('finds the resource for which Envoy refuses a whole list', async () => {
    envoy.refusesCluster = (names) => (names.includes('bad') ? 'Protobuf message: bad' : undefined);
    const refused = await config.apply({ clusters: { upsert: named('a', 'bad', 'b'), remove: [] } });
    expect([...refused]).toEqual([['clusters/bad', 'Protobuf message: bad']]);
    expect([...config.held.clusters.keys()]).toEqual(['a', 'b']);
  });

  it('makes a change once more where Envoy ended amid it', async () => {
    envoy.endsAt = 2;
    const refused = await config.apply({
      clusters: { upsert: named('c'), remove: [] },
      listeners: { upsert: named('l'), remove: [] },
    });
    expect([...refused]).toEqual([]);
    expect([...config.held.listeners.keys()]).toEqual(['l']);
  });

  it('keeps the last good state of a resource whose change is refused', async () => {
    await config.apply({ clusters: { upsert: [{ name: 'a', connectTimeout: '1s' }], remove: [] } });
    envoy.refusesCluster = () => (envoy.seen.length === 2 ? 'Error adding/updating cluster(s) a: bad' : undefined);
    const refused = await config.apply({ clusters: { upsert: [{ name: 'a', connectTimeout: '2s' }], remove: [] } });
    expect([...refused]).toEqual([['clusters/a', ' bad']].map(([name, reason]) => [name, reason!.trim()]));
    expect(config.held.clusters.get('a')).toEqual({ name: 'a', connectTimeout: '1s' });
  });
});
