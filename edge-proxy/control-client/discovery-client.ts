/**
 * The proxy's end of incremental xDS over long-poll: asks, hands changes to the proxy, says ACK or NACK with the next
 * poll, and keeps what was accepted. Losing the control plane loses nothing: the last good config stays in force.
 */
import * as z from 'zod';
import type { LogLevel } from '../../shared/log/log.ts';
import type { Node } from '../../shared/xds/core.ts';
import {
  type DeltaDiscoveryRequest,
  type DeltaDiscoveryResponse,
  DiscoveryAnswer,
  type DiscoveryPoll,
  FEATURES,
  type Feature,
  knownFeatures,
  RESOURCE_TYPES,
  type ResourceType,
  TYPE_URLS,
  typeOfUrl,
  typesWith,
} from '../../shared/xds/discovery.ts';
import { nackMessage } from '../../shared/xds/nack.ts';
import type { ClockAndRandom } from '../runtime/runtime.ts';
import { Backoff } from './backoff.ts';
import type { ControlResponse, RequestOptions } from './control-client.ts';
import type { CachedConfig, CachedResource, DiskCache } from './disk-cache.ts';
import { type HeldResources, namePages, subscribeRequests } from './held-resources.ts';
import { RefusedListeners } from './refused-listeners.ts';
import { tcpClustersOf, type WantedNames, WantedResources, type WantedType } from './wanted-resources.ts';

export type ConfigChanges = { [T in ResourceType]?: { upsert: unknown[]; remove: string[] } };

/** What runs the config. */
export interface ConfigTarget {
  /**
   * Compiles and swaps in what is good, make before break; what is not keeps its last good state.
   * @returns the refused: `type/name` -> what is wrong with it
   */
  apply(changes: ConfigChanges): Map<string, string> | Promise<Map<string, string>>;
}

export interface DiscoveryClientOptions {
  readonly client: {
    request(method: string, path: string, body?: unknown, options?: RequestOptions): Promise<ControlResponse>;
  };
  /** Read at each poll. */
  readonly node: () => Node;
  readonly target: ConfigTarget;
  readonly cache?: DiskCache;
  /** Takes one line: lost and regained connection, refused resources. */
  readonly log: (line: string, level?: LogLevel) => void;
  /** Longer than the server holds a poll. Default 60 s. */
  readonly pollTimeoutMs?: number;
  /** What the target can take; see FEATURES. Default: all, `tulle.on-demand` where there is `onDemand`. */
  readonly features?: readonly Feature[];
  /** Hosts are fetched when they are first used. Absent: everything is. */
  readonly onDemand?: OnDemandOptions | undefined;
  readonly time: Pick<ClockAndRandom, 'now' | 'random'>;
  /** Calls back once, after `milliseconds`; @returns cancel. Default: the runtime's timers. */
  readonly after?: ((milliseconds: number, callback: () => void) => () => void) | undefined;
  /** Waits between failed polls; tests hand in their own. */
  readonly backoff?: Backoff;
}

/** What the traffic tells of hosts that are fetched on demand. */
export interface OnDemandTraffic {
  /** @param want is called with what something waits for; names may come again */
  onWanted(want: (type: WantedType, name: string) => void): void;
  /** Names of what was used since the last call, or is in use. */
  takeUsed(): WantedNames | Promise<WantedNames>;
}

export interface OnDemandOptions {
  readonly traffic: OnDemandTraffic;
  /** What was not used for so many milliseconds is let go. */
  readonly unusedMs: number;
}

const INVALID_ARGUMENT = 3;
const EAGER_FEATURES = FEATURES.filter((feature) => feature !== 'tulle.on-demand');
const NO_FEATURES: ReadonlySet<Feature> = new Set();
/** Between polls that fail: a control plane that is back is found within this. */
const MAX_WAIT_MS = 5000;

export class DiscoveryClient {
  private readonly options: DiscoveryClientOptions;
  private readonly backoff: Backoff;
  private readonly abort = new AbortController();
  private readonly held: HeldResources;
  /** The target, which refused listeners are tried on again. */
  private readonly target: RefusedListeners;
  /** Listeners that were refused, for when they open. */
  private readonly refusedListeners = new Map<string, CachedResource>();
  /** Those that have opened since, for the next poll: name -> version. */
  private readonly reopened = new Map<string, string>();
  private session: string | undefined;
  /** The control plane is of a version that refuses nodes with features. */
  private plain = false;
  /** What the session was opened, and has to be subscribed, with; undefined: it is subscribed. */
  private opened: ReadonlySet<Feature> | undefined;
  /** What the next poll says: subscriptions, or ACKs and NACKs of the last answer. */
  private requests: DeltaDiscoveryRequest[] = [];
  private readonly wanted = new WantedResources();
  /** The features of the session; undefined: none is open. */
  private agreed: ReadonlySet<Feature> = NO_FEATURES;
  /** Ends the wait that the next poll is due after: for the answer of a held poll, or after a failure. */
  private hurry: (() => void) | undefined;
  private lastSweep = 0;
  /** Names that the control plane requested, a page a poll. */
  private pages: DeltaDiscoveryRequest[][] = [];
  private running: Promise<void> | undefined;
  private failing = false;
  /** "Nothing is in force" has been logged. */
  private waiting = false;
  private readonly firstSync = Promise.withResolvers<void>();
  /** `live`: the last poll succeeded. `refused`: names of resources refused since the start and not accepted since. */
  readonly state = { live: false, lastAnswerMs: 0, polls: 0, failures: 0, refused: new Map<string, string>() };

  constructor(options: DiscoveryClientOptions) {
    this.options = options;
    this.backoff = options.backoff ?? new Backoff(() => options.time.random(), 200, MAX_WAIT_MS);
    this.held = Object.fromEntries(
      RESOURCE_TYPES.map((type) => [type, new Map<string, CachedResource>()]),
    ) as typeof this.held;
    this.target = new RefusedListeners({
      target: { apply: (changes) => applyTo(options.target, changes) },
      random: () => options.time.random(),
      log: options.log,
      opened: (name) => this.listenerOpened(name),
      after: options.after,
    });
    this.lastSweep = options.time.now();
    options.onDemand?.traffic.onWanted((type, name) => {
      if (this.wanted.add(type, name, options.time.now())) this.hurry?.();
    });
  }

  /**
   * Resolves when the control plane has answered and config is in force: clusters and listeners were accepted, or none
   * are wanted. As in Istio, a proxy all of whose listeners were refused is not ready.
   */
  get synced(): Promise<void> {
    return this.firstSync.promise;
  }

  /** Puts the disk cache's config in force. @returns whether there was any */
  async restore(): Promise<boolean> {
    const cached = await this.options.cache?.load(this.options.node().id);
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
          this.state.refused.set(`${type}/${entry.name}`, reason);
          if (type === 'listeners') this.refusedListeners.set(entry.name, entry);
          this.options.log(`config cache: ${type}/${entry.name} is not used: ${reason}`);
        }
      }
    }
    return RESOURCE_TYPES.some((type) => this.held[type].size > 0) && this.nothingInForce() === undefined;
  }

  /** What is held when a session begins is wanted until it is known to be unused. */
  private wantHeld(): void {
    if (!this.options.onDemand) return;
    const now = this.options.time.now();
    for (const name of this.held.virtualHosts.keys()) this.wanted.keep('virtualHosts', name, now);
    for (const { resource } of this.held.listeners.values())
      for (const name of tcpClustersOf(resource))
        if (this.held.clusters.has(name)) this.wanted.keep('clusters', name, now);
  }

  /** Polls until `stop`. Never throws; trouble is logged once and retried with backoff. */
  start(): void {
    this.running ??= this.run();
  }

  async stop(): Promise<void> {
    this.abort.abort(new Error('stopped'));
    this.target.stop();
    await this.running;
    await this.options.cache?.flush();
  }

  private async run(): Promise<void> {
    const { signal } = this.abort;
    while (!signal.aborted) {
      try {
        await this.poll(signal);
        this.recovered();
      } catch (error) {
        if (signal.aborted) return;
        this.failed(error);
        await this.backoff.wait(this.untilHurried(signal));
      }
    }
  }

  /** Aborts with `signal`, or when something is wanted that the control plane has not been asked for. */
  private untilHurried(signal: AbortSignal): AbortSignal {
    const hurried = new AbortController();
    this.hurry = () => hurried.abort();
    return AbortSignal.any([signal, hurried.signal]);
  }

  /** Sends a poll. @returns undefined where the control plane holds it and another one is due: that one takes its place */
  private async send(request: DiscoveryPoll, signal: AbortSignal): Promise<ControlResponse | undefined> {
    const timeoutMs = this.options.pollTimeoutMs ?? 60_000;
    const options = { signal, timeoutMs, keepAlive: true };
    const isOnDemand = this.agreed.has('tulle.on-demand') && !this.opened && isHeld(request);
    // Something was wanted since the request was made.
    if (isOnDemand && this.wanted.hasChanges) return undefined;
    const answered = this.options.client.request('POST', '/v3/delta-discovery', request, options);
    if (!isOnDemand) return answered;
    const { promise: hurried, resolve } = Promise.withResolvers<undefined>();
    this.hurry = () => resolve(undefined);
    try {
      const first = await Promise.race([answered, hurried]);
      // What it may yet be answered with is sent again to the next poll.
      if (!first) answered.catch(() => {});
      return first;
    } finally {
      this.hurry = undefined;
    }
  }

  private async poll(signal: AbortSignal): Promise<void> {
    const request = await this.request();
    this.hurry = undefined;
    this.state.polls++;
    const response = await this.send(request, signal);
    if (!response) return;
    const { status, body } = response;
    if (status === 400 && request.session === undefined && !this.plain) {
      this.plain = true;
      this.agreed = NO_FEATURES;
      return;
    }
    if (status !== 200) throw new Error(`discovery is refused with ${status}: ${statusMessage(body)}`);
    const answer = DiscoveryAnswer.safeParse(body);
    if (!answer.success) throw new Error(`discovery answer is malformed: ${z.prettifyError(answer.error)}`);
    const { session, responses, features, namesWanted, more } = answer.data as DiscoveryAnswer;
    this.requests = [];
    if (request.session !== undefined && session !== request.session) {
      // The control plane does not know us (any more): say again what we want and have.
      this.forgetSession();
      return;
    }
    this.session = session;
    this.state.lastAnswerMs = this.options.time.now();
    if (request.session === undefined && !this.plain) {
      this.opened = knownFeatures(features);
      this.agreed = this.opened;
      if (this.agreed.has('tulle.on-demand')) this.wantHeld();
      this.wanted.forgetSaid();
      return;
    }
    this.opened = undefined;
    if (namesWanted?.length) {
      if (this.pages.length === 0) this.pages = namePages(this.held, namesWanted);
      const page = this.pages.shift();
      if (!page) throw new Error('discovery answer is malformed: namesWanted: names no type that is subscribed to');
      this.requests = page;
      return;
    }
    await this.take(responses);
    if (more) return;
    this.settleReadiness();
    if (this.agreed.has('tulle.on-demand')) await this.sweep();
    else await this.dropUnserved();
  }

  /** Lets go of what has not been used for long. */
  private async sweep(): Promise<void> {
    const { onDemand, time } = this.options;
    if (!onDemand || time.now() - this.lastSweep < onDemand.unusedMs / 4) return;
    this.lastSweep = time.now();
    const used = await Promise.resolve(onDemand.traffic.takeUsed()).catch(() => undefined);
    // A worker process ended meanwhile: nothing can be said of what it used.
    if (!used) return;
    this.wanted.used(used, time.now());
    this.wanted.letGo(time.now() - onDemand.unusedMs);
  }

  /**
   * Lets go of resources of types that the session does not have: they are of a control plane of another version. Virtual
   * hosts stay as long as a route configuration refers to them; an index of hosts would only be wrong where all are sent.
   */
  private async dropUnserved(): Promise<void> {
    const served = typesWith(this.agreed);
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
    this.options.cache?.save(this.options.node().id, this.cacheable());
  }

  private forgetSession(): void {
    this.session = undefined;
    this.agreed = NO_FEATURES;
    this.opened = undefined;
    this.plain = false;
    this.pages = [];
  }

  private settleReadiness(): void {
    const missing = this.nothingInForce();
    if (missing === undefined) this.firstSync.resolve();
    else if (!this.waiting)
      this.options.log(`not ready: all ${missing} were refused, see above and "tulle proxy-status"`);
    this.waiting = missing !== undefined;
  }

  /** The type of which everything was refused; a type of which nothing is wanted is fine. */
  private nothingInForce(): ResourceType | undefined {
    const refused = [...this.state.refused.keys()];
    return (['clusters', 'listeners'] as const).find(
      (type) => this.held[type].size === 0 && refused.some((name) => name.startsWith(`${type}/`)),
    );
  }

  /** A session opens with the features alone: what they allow to say is known with the first answer. */
  private async request(): Promise<DiscoveryPoll> {
    if (this.plain) {
      const node = this.options.node();
      if (this.session !== undefined) return { session: this.session, node, requests: this.withReopened() };
      return { node, requests: await subscribeRequests(this.held, NO_FEATURES) };
    }
    const announced = this.options.features ?? (this.options.onDemand ? FEATURES : EAGER_FEATURES);
    const node = { ...this.options.node(), clientFeatures: [...announced] };
    if (this.session === undefined) return { node, requests: [] };
    return { session: this.session, node, requests: await this.requestsOfSession() };
  }

  private async requestsOfSession(): Promise<DeltaDiscoveryRequest[]> {
    if (!this.agreed.has('tulle.on-demand'))
      return this.opened ? subscribeRequests(this.held, this.opened) : this.withReopened();
    if (this.opened) {
      this.wanted.forgetSaid();
      const { virtualHosts, clusters } = this.wanted.takeChanges();
      return subscribeRequests(this.held, this.opened, {
        virtualHosts: virtualHosts.wanted,
        clusters: clusters.wanted,
      });
    }
    // Behind the ACKs, and until they are answered.
    if (this.pages.length === 0 && !this.requests.some(({ namesSent }) => namesSent))
      this.requests.push(...this.wanted.takeRequests());
    return this.withReopened();
  }

  /** Says, behind the ACKs, which listeners run that the control plane knows as refused. */
  private withReopened(): DeltaDiscoveryRequest[] {
    if (this.reopened.size === 0) return this.requests;
    this.requests.push({ typeUrl: TYPE_URLS.listeners, initialResourceVersions: Object.fromEntries(this.reopened) });
    this.reopened.clear();
    return this.requests;
  }

  private listenerOpened(name: string): void {
    this.state.refused.delete(`listeners/${name}`);
    const entry = this.refusedListeners.get(name);
    if (!entry) return;
    this.refusedListeners.delete(name);
    this.held.listeners.set(name, entry);
    this.reopened.set(name, entry.version);
    this.options.cache?.save(this.options.node().id, this.cacheable());
    if (this.state.live) this.settleReadiness();
  }

  private async take(responses: readonly DeltaDiscoveryResponse[]): Promise<void> {
    if (responses.length === 0) return;
    const batch = responses.map((response) => ({ response, ...sort(response) }));
    const changes: ConfigChanges = {};
    for (const { type, good, remove } of batch) {
      if (type === undefined) continue;
      const change = (changes[type] ??= { upsert: [], remove: [] });
      change.upsert.push(...good.map(({ resource }) => resource));
      change.remove.push(...remove);
    }
    const refused = await this.target.apply(changes);
    for (const { type, response, good, violations, remove } of batch) {
      if (type !== undefined) this.settle(type, good, remove, refused, violations);
      this.requests.push({
        typeUrl: response.typeUrl,
        responseNonce: response.nonce,
        ...(violations.size > 0 ? { errorDetail: { code: INVALID_ARGUMENT, message: nackMessage(violations) } } : {}),
      });
    }
    this.options.cache?.save(this.options.node().id, this.cacheable());
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
        this.state.refused.delete(`${type}/${entry.name}`);
      }
    }
    for (const name of remove) {
      const reason = refused.get(`${type}/${name}`);
      if (reason !== undefined) violations.set(name, reason);
      else {
        this.held[type].delete(name);
        this.state.refused.delete(`${type}/${name}`);
        if (type === 'listeners') this.refusedListeners.delete(name);
      }
    }
    for (const [name, reason] of violations) {
      this.state.refused.set(`${type}/${name}`, reason);
      this.options.log(`config refused: ${type}/${name}: ${reason}`);
    }
  }

  private cacheable(): CachedConfig {
    return Object.fromEntries(RESOURCE_TYPES.map((type) => [type, [...this.held[type].values()]])) as CachedConfig;
  }

  private recovered(): void {
    this.backoff.reset();
    this.state.live = true;
    if (this.failing) this.options.log('control plane is back', 'info');
    this.failing = false;
  }

  private failed(error: unknown): void {
    this.state.live = false;
    this.state.failures++;
    if (this.session === undefined) this.plain = false;
    // Once per outage, not once per attempt.
    if (!this.failing)
      this.options.log(`${error instanceof Error ? error.message : String(error)}; serving on, retrying`);
    this.failing = true;
  }
}

/** A target that throws has refused everything it was handed. */
async function applyTo(target: ConfigTarget, changes: ConfigChanges): Promise<Map<string, string>> {
  try {
    return await target.apply(changes);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    const refused = new Map<string, string>();
    for (const type of RESOURCE_TYPES) {
      for (const resource of changes[type]?.upsert ?? []) refused.set(`${type}/${ownName(type, resource)}`, reason);
      for (const name of changes[type]?.remove ?? []) refused.set(`${type}/${name}`, reason);
    }
    return refused;
  }
}

/** The control plane answers it when there is something new: nothing in it asks for an answer. */
function isHeld({ requests }: DiscoveryPoll): boolean {
  return !requests.some(
    ({ resourceNamesSubscribe, resourceNamesUnsubscribe, namesSent }) =>
      resourceNamesSubscribe?.length || resourceNamesUnsubscribe?.length || namesSent,
  );
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
    else if (ownName(type, fields) !== name) violations.set(name, `it names itself "${ownName(type, fields)}"`);
    else good.push({ name, version, resource: fields });
  }
  return { type, good, violations, remove: response.removedResources ?? [] };
}

function ownName(type: ResourceType, resource: unknown): string {
  const fields = resource as { name?: unknown; clusterName?: unknown; cluster_name?: unknown };
  const name = type === 'endpoints' ? (fields.clusterName ?? fields.cluster_name) : fields.name;
  return typeof name === 'string' ? name : '';
}

function statusMessage(body: unknown): string {
  const { message } = (body ?? {}) as { message?: unknown };
  return typeof message === 'string' ? message.slice(0, 500) : 'no reason given';
}
