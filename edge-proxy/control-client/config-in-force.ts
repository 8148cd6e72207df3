/**
 * The config of a proxy: what it was sent is handed to the target, what the target accepts is held and kept on disk, and
 * what it refuses is noted. Listeners that open later are held from then on.
 */
import type { LogLevel } from '../../shared/log/log.ts';
import {
  type DeltaDiscoveryRequest,
  type DeltaDiscoveryResponse,
  type Feature,
  RESOURCE_TYPES,
  type ResourceType,
  resourceName,
  TYPE_URLS,
  typeOfUrl,
  typesWith,
} from '../../shared/xds/discovery.ts';
import { nackMessage } from '../../shared/xds/nack.ts';
import type { CachedConfig, CachedResource, HeldConfig } from './config-journal.ts';
import { applyTo, type ConfigChanges, type ConfigTarget } from './config-target.ts';
import type { DiskCache } from './disk-cache.ts';
import { RefusedListeners } from './refused-listeners.ts';

export interface ConfigInForceOptions {
  readonly target: ConfigTarget;
  readonly cache?: Pick<DiskCache, 'load' | 'save' | 'flush'> | undefined;
  /** Of the node whose config it is. */
  readonly nodeId: () => string;
  readonly log: (line: string, level?: LogLevel) => void;
  /** In [0, 1), for jitter. */
  readonly random: () => number;
  /** Calls back once, after `milliseconds`. @returns cancel */
  readonly after?: ((milliseconds: number, callback: () => void) => () => void) | undefined;
  /** A listener that was refused runs now. */
  readonly listenerOpened: () => void;
}

const INVALID_ARGUMENT = 3;

export class ConfigInForce {
  readonly held: HeldConfig;
  /** `type/name` of what was refused since the start and not accepted since -> the reason. */
  readonly refused = new Map<string, string>();
  private readonly options: ConfigInForceOptions;
  /** The target, which refused listeners are tried on again. */
  private readonly target: RefusedListeners;
  /** Listeners that were refused, for when they open. */
  private readonly refusedListeners = new Map<string, CachedResource>();
  /** The last page of what the control plane sends has not come. */
  private isPartial = false;
  /** Those that have opened since, for the next poll: name -> version. */
  private readonly reopened = new Map<string, string>();

  constructor(options: ConfigInForceOptions) {
    this.options = options;
    this.held = Object.fromEntries(
      RESOURCE_TYPES.map((type) => [type, new Map<string, CachedResource>()]),
    ) as typeof this.held;
    this.target = new RefusedListeners({
      target: { apply: (changes) => applyTo(options.target, changes) },
      random: options.random,
      log: options.log,
      opened: (name) => this.listenerOpened(name),
      after: options.after,
    });
  }

  /** Puts the disk cache's config in force. @returns whether there was any */
  async restore(): Promise<boolean> {
    const cached = await this.options.cache?.load(this.options.nodeId());
    if (!cached) return false;
    const changes: ConfigChanges = {};
    for (const type of RESOURCE_TYPES) {
      const entries = cached[type] ?? [];
      if (entries.length > 0) changes[type] = { upsert: entries.map((entry) => entry.resource), remove: [] };
    }
    const refused = await this.target.apply(changes);
    for (const type of RESOURCE_TYPES) {
      for (const entry of cached[type] ?? []) {
        const reason = refused.get(`${type}/${entry.name}`);
        if (reason === undefined) this.held[type].set(entry.name, entry);
        else {
          this.refused.set(`${type}/${entry.name}`, reason);
          if (type === 'listeners') this.refusedListeners.set(entry.name, entry);
          this.options.log(`config cache: ${type}/${entry.name} is not used: ${reason}`);
        }
      }
    }
    return RESOURCE_TYPES.some((type) => this.held[type].size > 0) && this.nothingInForce() === undefined;
  }

  /**
   * Applies what the control plane sent.
   * @param more other pages of it follow: the disk gets all of them together, so that a restart never takes a part for the whole
   * @returns the ACK or NACK of each response
   */
  async apply(responses: readonly DeltaDiscoveryResponse[], more = false): Promise<DeltaDiscoveryRequest[]> {
    const ends = this.isPartial && !more;
    this.isPartial = more;
    if (responses.length === 0) {
      if (ends) this.save();
      return [];
    }
    const batch = responses.map((response) => ({ response, ...sort(response) }));
    const changes: ConfigChanges = {};
    for (const { type, good, remove } of batch) {
      if (type === undefined) continue;
      const change = (changes[type] ??= { upsert: [], remove: [] });
      change.upsert.push(...good.map(({ resource }) => resource));
      change.remove.push(...remove);
    }
    const refused = await this.target.apply(changes);
    const requests: DeltaDiscoveryRequest[] = [];
    for (const { type, response, good, violations, remove } of batch) {
      if (type !== undefined) this.settle(type, good, remove, refused, violations);
      requests.push({
        typeUrl: response.typeUrl,
        responseNonce: response.nonce,
        ...(violations.size > 0 ? { errorDetail: { code: INVALID_ARGUMENT, message: nackMessage(violations) } } : {}),
      });
    }
    this.save();
    return requests;
  }

  /** Notes what is now in force, and adds the target's refusals to `violations`. */
  private settle(
    type: ResourceType,
    good: readonly CachedResource[],
    remove: readonly string[],
    refused: ReadonlyMap<string, string>,
    violations: Map<string, string>,
  ): void {
    for (const entry of good) {
      const reason = refused.get(`${type}/${entry.name}`);
      if (type === 'listeners') {
        this.reopened.delete(entry.name);
        if (reason === undefined) this.refusedListeners.delete(entry.name);
        else this.refusedListeners.set(entry.name, entry);
      }
      if (reason !== undefined) violations.set(entry.name, reason);
      else {
        this.held[type].set(entry.name, entry);
        this.refused.delete(`${type}/${entry.name}`);
      }
    }
    for (const name of remove) {
      const reason = refused.get(`${type}/${name}`);
      if (reason !== undefined) violations.set(name, reason);
      else {
        this.held[type].delete(name);
        this.refused.delete(`${type}/${name}`);
        if (type === 'listeners') this.refusedListeners.delete(name);
      }
    }
    for (const [name, reason] of violations) {
      this.refused.set(`${type}/${name}`, reason);
      this.options.log(`config refused: ${type}/${name}: ${reason}`);
    }
  }

  /**
   * Removes resources of types that a session with these features does not have: they are of a control plane of another
   * version. Virtual hosts stay as long as a route configuration refers to them; an index of hosts would only be wrong
   * where all are sent.
   */
  async dropUnserved(features: ReadonlySet<Feature>): Promise<void> {
    const served = typesWith(features);
    const types = RESOURCE_TYPES.filter((type) => !served.includes(type) && this.held[type].size > 0);
    if (types.length === 0) return;
    const refers = [...this.held.routes.values()].some(({ resource }) => 'vhds' in (resource as object));
    const changes: ConfigChanges = {};
    for (const type of types)
      if (type !== 'virtualHosts' || !refers) changes[type] = { upsert: [], remove: [...this.held[type].keys()] };
    if (Object.keys(changes).length === 0) return;
    const refused = await this.target.apply(changes);
    for (const type of types)
      for (const name of changes[type]?.remove ?? []) if (!refused.has(`${type}/${name}`)) this.held[type].delete(name);
    this.save();
  }

  /** The type of which everything was refused; a type of which nothing is wanted is fine. */
  nothingInForce(): 'clusters' | 'listeners' | undefined {
    const refused = [...this.refused.keys()];
    return (['clusters', 'listeners'] as const).find(
      (type) => this.held[type].size === 0 && refused.some((name) => name.startsWith(`${type}/`)),
    );
  }

  /** Says, once, which listeners run that the control plane knows as refused. */
  takeReopened(): DeltaDiscoveryRequest[] {
    if (this.reopened.size === 0) return [];
    const initialResourceVersions = Object.fromEntries(this.reopened);
    this.reopened.clear();
    return [{ typeUrl: TYPE_URLS.listeners, initialResourceVersions }];
  }

  private listenerOpened(name: string): void {
    this.refused.delete(`listeners/${name}`);
    const entry = this.refusedListeners.get(name);
    if (!entry) return;
    this.refusedListeners.delete(name);
    this.held.listeners.set(name, entry);
    this.reopened.set(name, entry.version);
    this.save();
    this.options.listenerOpened();
  }

  private save(): void {
    if (this.isPartial) return;
    const config = Object.fromEntries(RESOURCE_TYPES.map((type) => [type, [...this.held[type].values()]]));
    this.options.cache?.save(this.options.nodeId(), config as CachedConfig);
  }

  /** Refused listeners are not tried again. */
  stop(): void {
    this.target.stop();
  }

  /** Resolves when the disk has what is in force. */
  async flush(): Promise<void> {
    await this.options.cache?.flush();
  }
}

/** The well-formed resources of a response, and the names of the others with what is wrong. */
function sort(response: DeltaDiscoveryResponse) {
  const type = typeOfUrl(response.typeUrl);
  const good: CachedResource[] = [];
  const violations = new Map<string, string>();
  for (const { name, version, resource } of response.resources ?? []) {
    const { '@type': typeUrl, ...fields } = resource ?? {};
    if (type === undefined) violations.set(name, `unknown resource type "${response.typeUrl}"`);
    else if (typeUrl !== response.typeUrl) violations.set(name, `@type: must be "${response.typeUrl}"`);
    else if (resourceName(type, fields) !== name)
      violations.set(name, `it names itself "${resourceName(type, fields)}"`);
    else good.push({ name, version, resource: fields });
  }
  return { type, good, violations, remove: response.removedResources ?? [] };
}
