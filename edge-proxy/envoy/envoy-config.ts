/**
 * The config of an Envoy in files: changes are written in an order in which nothing names what is not there, and each is
 * answered by Envoy itself. What it refuses keeps its last good state, in Envoy and in its file.
 */
import { type ResourceType, resourceName } from '../../shared/xds/discovery.ts';
import type { ConfigChanges, ConfigTarget } from '../control-client/config-target.ts';
import type { EnvoyAdmin, UpdateCounts } from './envoy-admin.ts';
import type { EnvoyFiles, ListType } from './envoy-files.ts';
import { forEnvoy, type NamedType } from './envoy-resources.ts';

export interface EnvoyConfigDeps {
  readonly files: EnvoyFiles;
  /** Of a running Envoy. @throws Error where none is up in time */
  readonly admin: () => Promise<EnvoyAdmin>;
  /** The reasons that Envoy has logged for refusing files, since the last call. */
  readonly takeReasons: () => readonly string[];
}

type Resources = Map<string, unknown>;
type Refusals = Map<string, string>;
type Held = { readonly [T in ListType | NamedType]: Resources };

/** How long Envoy may take for one file, and until clusters have their endpoints; how often it is asked. */
const ANSWER_MS = 10_000;
const WARM_MS = 5000;
const ASK_MS = 10;
const MOST_ATTEMPTS = 3;
/** A refused file of several new resources is written again with one of them at a time, so many times. */
const MOST_ALONE = 64;

const SUBSCRIPTIONS: Readonly<Record<ListType, string>> = {
  clusters: 'cluster_manager.cds',
  listeners: 'listener_manager.lds',
};

const wait = (ms: number) => new Promise<void>((done) => setTimeout(done, ms));

export class EnvoyConfig implements ConfigTarget {
  /** In force, as the control plane sent it. */
  readonly held: Held = {
    secrets: new Map(),
    endpoints: new Map(),
    clusters: new Map(),
    routes: new Map(),
    listeners: new Map(),
  };
  private readonly deps: EnvoyConfigDeps;
  private last: Promise<unknown> = Promise.resolve();

  constructor(deps: EnvoyConfigDeps) {
    this.deps = deps;
  }

  /** One change at a time. */
  apply(changes: ConfigChanges): Promise<Refusals> {
    const applied = this.last.then(() => this.applySurely(changes));
    this.last = applied.catch(() => {});
    return applied;
  }

  /** An Envoy that ends amid a change is started again on the files, of which some may be written: the change is made once more. */
  private async applySurely(changes: ConfigChanges): Promise<Refusals> {
    for (let attempt = 1; ; attempt++)
      try {
        return await this.applyNow(changes);
      } catch (error) {
        if (attempt === MOST_ATTEMPTS) throw error;
      }
  }

  private async applyNow(changes: ConfigChanges): Promise<Refusals> {
    const admin = await this.deps.admin();
    const refusals: Refusals = new Map();
    const step = { admin, refusals };
    for (const type of ['secrets', 'endpoints'] as const) await this.putNamed(type, changes, step);
    const removed = changes.clusters?.remove ?? [];
    await this.putList('clusters', changes.clusters?.upsert ?? [], [], step);
    await settled(admin);
    await this.putNamed('routes', changes, step);
    await this.putList('listeners', changes.listeners?.upsert ?? [], changes.listeners?.remove ?? [], step);
    if (removed.length > 0) await this.putList('clusters', [], removed, step);
    for (const type of ['routes', 'endpoints', 'secrets'] as const)
      for (const name of changes[type]?.remove ?? []) {
        this.held[type].delete(name);
        await this.deps.files.removeNamed(type, name);
      }
    return refusals;
  }

  /** Resources with files of their own: Envoy answers for those that it has subscribed to. */
  private async putNamed(type: NamedType, changes: ConfigChanges, { admin, refusals }: Step): Promise<void> {
    const upsert = changes[type]?.upsert ?? [];
    if (upsert.length === 0) return;
    const before = await admin.updates();
    this.deps.takeReasons();
    for (const resource of upsert)
      await this.deps.files.writeNamed(type, nameOf(type, resource), forEnvoy(resource, this.deps.files.folder));
    for (const resource of upsert) {
      const name = nameOf(type, resource);
      const subscriptions = subscriptionsOf(type, name, before);
      const taken = await answered(admin, subscriptions, before);
      if (taken) this.held[type].set(name, resource);
      else {
        refusals.set(`${type}/${name}`, this.reason());
        const good = this.held[type].get(name);
        if (good !== undefined) await this.deps.files.writeNamed(type, name, forEnvoy(good, this.deps.files.folder));
      }
    }
  }

  private async putList(
    type: ListType,
    upsert: readonly unknown[],
    remove: readonly string[],
    { admin, refusals }: Step,
  ): Promise<void> {
    if (upsert.length === 0 && remove.length === 0) return;
    const held = this.held[type];
    for (const name of remove) held.delete(name);
    const wanted = new Map(upsert.map((resource) => [nameOf(type, resource), resource]));
    const written = await this.write(type, new Map([...held, ...wanted]), admin);
    if (written.taken) {
      for (const [name, resource] of wanted) held.set(name, resource);
      return;
    }
    const named = await refusedAmong(type, wanted, written.reason, admin);
    if (named.size > 0) {
      for (const [name, resource] of wanted) if (!named.has(name)) held.set(name, resource);
      for (const [name, reason] of named) refusals.set(`${type}/${name}`, reason);
    } else await this.putAlone(type, wanted, written.reason, { admin, refusals });
    await this.write(type, held, admin);
  }

  /** Of a file that was refused as a whole: with one of the new resources at a time. */
  private async putAlone(type: ListType, wanted: Resources, whole: string, { admin, refusals }: Step): Promise<void> {
    const held = this.held[type];
    let attempts = 0;
    for (const [name, resource] of wanted) {
      if (wanted.size > 1 && ++attempts <= MOST_ALONE) {
        const { taken, reason } = await this.write(type, new Map([...held, [name, resource]]), admin);
        if (taken) held.set(name, resource);
        else refusals.set(`${type}/${name}`, reason);
      } else refusals.set(`${type}/${name}`, whole);
    }
  }

  private async write(type: ListType, resources: Resources, admin: EnvoyAdmin): Promise<Written> {
    const before = await admin.updates();
    this.deps.takeReasons();
    const { files } = this.deps;
    await files.writeList(
      type,
      [...resources.values()].map((resource) => forEnvoy(resource, files.folder)),
    );
    if (await answered(admin, [SUBSCRIPTIONS[type]], before)) return { taken: true, reason: '' };
    return { taken: false, reason: this.reason() };
  }

  private reason(): string {
    return this.deps.takeReasons().join('; ') || 'Envoy refused it';
  }
}

interface Step {
  readonly admin: EnvoyAdmin;
  readonly refusals: Refusals;
}

interface Written {
  readonly taken: boolean;
  readonly reason: string;
}

const nameOf = (type: ResourceType, resource: unknown): string => resourceName(type, resource) ?? '';

/** Envoy's own statistics have "_" for ":". */
const statName = (name: string) => name.replaceAll(':', '_');

/** Subscriptions for a name that Envoy has now; none: nothing uses the resource yet. */
function subscriptionsOf(type: NamedType, name: string, counts: ReadonlyMap<string, UpdateCounts>): string[] {
  const stat = statName(name);
  const names = {
    // `alt_stat_name` may end with a delimiter.
    endpoints: [`cluster.${stat}`, `cluster.${stat};`],
    secrets: [`sds.${stat}`],
    routes: [] as string[],
  }[type];
  if (type !== 'routes') return names.filter((each) => counts.has(each));
  return [...counts.keys()].filter((each) => each.endsWith(`.rds.${stat}`));
}

/** Waits until each subscription has had another update. @returns whether none was refused @throws Error where one is not answered */
async function answered(
  admin: EnvoyAdmin,
  subscriptions: readonly string[],
  before: ReadonlyMap<string, UpdateCounts>,
): Promise<boolean> {
  const none: UpdateCounts = { taken: 0, refused: 0 };
  const until = Date.now() + ANSWER_MS;
  for (;;) {
    if (subscriptions.length === 0) return true;
    const now = await admin.updates();
    const open = subscriptions.filter((each) => {
      const { taken, refused } = now.get(each) ?? none;
      const earlier = before.get(each) ?? none;
      return taken + refused <= earlier.taken + earlier.refused;
    });
    if (open.length === 0)
      return subscriptions.every((each) => (now.get(each)?.refused ?? 0) <= (before.get(each)?.refused ?? 0));
    if (Date.now() > until) throw new Error(`Envoy has not answered for ${open.join(', ')} in ${ANSWER_MS / 1000} s`);
    await wait(ASK_MS);
  }
}

/** Waits, not for long, until new clusters have their endpoints: routes to them answer 503 until then. */
async function settled(admin: EnvoyAdmin): Promise<void> {
  const until = Date.now() + WARM_MS;
  while (Date.now() < until) {
    const warming = await admin.numbers('^cluster_manager\\.warming_clusters$');
    if ((warming.get('cluster_manager.warming_clusters') ?? 0) === 0) return;
    await wait(ASK_MS);
  }
}

/** Which of the new resources Envoy refused, where it took the others. */
async function refusedAmong(
  type: ListType,
  wanted: Resources,
  reason: string,
  admin: EnvoyAdmin,
): Promise<Map<string, string>> {
  const failed = type === 'listeners' ? await admin.refusedListeners() : inText(wanted, reason);
  return new Map([...failed].filter(([name]) => wanted.has(name)));
}

/** `Error adding/updating cluster(s) A: why, B: why` */
function inText(wanted: Resources, reason: string): Map<string, string> {
  const list = /Error adding\/updating \w+\(s\) (.*)$/s.exec(reason)?.[1];
  const found = new Map<string, string>();
  if (list === undefined) return found;
  for (const name of wanted.keys()) {
    const at = `, ${list}`.indexOf(`, ${name}: `);
    if (at >= 0) found.set(name, list.slice(at + name.length + 2).split(', ')[0] ?? reason);
  }
  return found;
}
