/**
 * The proxy's end of incremental xDS over long-poll: asks, hands changes to the config in force, and says ACK or NACK with
 * the next poll. Losing the control plane loses nothing: the last good config stays in force.
 */
import * as z from 'zod';
import type { LogLevel } from '../../shared/log/log.ts';
import type { Node } from '../../shared/xds/core.ts';
import {
  type DeltaDiscoveryRequest,
  DiscoveryAnswer,
  type DiscoveryPoll,
  FEATURES,
  type Feature,
  knownFeatures,
  type TrustUpdate,
} from '../../shared/xds/discovery.ts';
import type { ClockAndRandom } from '../runtime/runtime.ts';
import { Backoff } from './backoff.ts';
import { ConfigInForce } from './config-in-force.ts';
import type { ConfigTarget } from './config-target.ts';
import type { ControlResponse, RequestOptions } from './control-client.ts';
import type { DiskCache } from './disk-cache.ts';
import { namePages, subscribeRequests } from './held-resources.ts';
import { tcpClustersOf, type WantedNames, WantedResources, type WantedType } from './wanted-resources.ts';

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
  /** Takes the mesh's roots and revoked certificates. Absent: they are not asked for. */
  readonly trust?: { readonly version: string | undefined; take(update: TrustUpdate): Promise<void> };
  /** Takes the URLs of all control planes. Absent: they are not asked for. */
  readonly controlPlanes?: ((urls: readonly string[]) => void) | undefined;
  /**
   * What the target can take; see FEATURES. Default: all, `tulle.on-demand` where there is `onDemand`, `tulle.dns` with
   * `answersDns`, `tulle.trust` where there is `trust`, `tulle.control-planes` where there is `controlPlanes`.
   */
  readonly features?: readonly Feature[];
  /** The target answers DNS queries. */
  readonly answersDns?: boolean;
  /** Hosts are fetched when they are first used. Absent: everything is. */
  readonly onDemand?: OnDemandOptions | undefined;
  readonly time: Pick<ClockAndRandom, 'now' | 'random'>;
  /** Calls back once, after `milliseconds`; @returns cancel. Default: the runtime's timers. */
  readonly after?: ((milliseconds: number, callback: () => void) => () => void) | undefined;
  /** Called after each answer with which all is here that the control plane has to send, whether it was accepted or not. */
  readonly onWhole?: () => void;
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

const NO_FEATURES: ReadonlySet<Feature> = new Set();
/** Between polls that fail: a control plane that is back is found within this. */
const MAX_WAIT_MS = 5000;

export class DiscoveryClient {
  private readonly options: DiscoveryClientOptions;
  private readonly backoff: Backoff;
  private readonly abort = new AbortController();
  /** Of the poll that is under way. */
  private polling = new AbortController();
  private readonly config: ConfigInForce;
  private readonly announced: readonly Feature[];
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
  /** Other pages of the last answer follow. */
  private isPartial = false;
  private running: Promise<void> | undefined;
  private failing = false;
  /** "Nothing is in force" has been logged. */
  private waiting = false;
  private readonly firstSync = Promise.withResolvers<void>();
  /** `live`: the last poll succeeded. `refused`: see ConfigInForce. */
  readonly state: {
    live: boolean;
    lastAnswerMs: number;
    polls: number;
    failures: number;
    readonly refused: ReadonlyMap<string, string>;
  };

  constructor(options: DiscoveryClientOptions) {
    this.options = options;
    this.backoff = options.backoff ?? new Backoff(() => options.time.random(), 200, MAX_WAIT_MS);
    this.config = new ConfigInForce({
      target: options.target,
      cache: options.cache,
      nodeId: () => options.node().id,
      log: options.log,
      random: () => options.time.random(),
      after: options.after,
      listenerOpened: () => {
        if (this.state.live && !this.isPartial) this.settleReadiness();
      },
    });
    this.state = { live: false, lastAnswerMs: 0, polls: 0, failures: 0, refused: this.config.refused };
    this.lastSweep = options.time.now();
    this.announced = options.features ?? FEATURES.filter((feature) => isUsed(feature, options));
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
  restore(): Promise<boolean> {
    return this.config.restore();
  }

  /** What is held when a session begins is wanted until it is known to be unused. */
  private wantHeld(): void {
    if (!this.options.onDemand) return;
    const now = this.options.time.now();
    const { held } = this.config;
    for (const name of held.virtualHosts.keys()) this.wanted.keep('virtualHosts', name, now);
    for (const { resource } of held.listeners.values())
      for (const name of tcpClustersOf(resource)) if (held.clusters.has(name)) this.wanted.keep('clusters', name, now);
  }

  /** Polls until `stop`. Never throws; trouble is logged once and retried with backoff. */
  start(): void {
    this.running ??= this.run();
  }

  async stop(): Promise<void> {
    this.abort.abort(new Error('stopped'));
    this.config.stop();
    await this.running;
    await this.config.flush();
  }

  /** The node has become another one: ends the poll that is under way, and opens a session of that node. */
  restart(): void {
    this.forgetSession();
    this.polling.abort(new Error('the node has changed'));
  }

  private async run(): Promise<void> {
    const { signal } = this.abort;
    while (!signal.aborted) {
      try {
        this.polling = new AbortController();
        await this.poll(AbortSignal.any([signal, this.polling.signal]));
        this.recovered();
      } catch (error) {
        if (signal.aborted) return;
        if (this.polling.signal.aborted) continue;
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
    const { session, responses, features, namesWanted, more, trust, controlPlanes } = answer.data as DiscoveryAnswer;
    if (controlPlanes) this.options.controlPlanes?.(controlPlanes);
    if (trust) await this.options.trust?.take(trust);
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
      if (this.pages.length === 0) this.pages = namePages(this.config.held, namesWanted);
      const page = this.pages.shift();
      if (!page) throw new Error('discovery answer is malformed: namesWanted: names no type that is subscribed to');
      this.requests = page;
      return;
    }
    this.isPartial = more === true;
    this.requests.push(...(await this.config.apply(responses, this.isPartial)));
    if (this.isPartial) return;
    this.options.onWhole?.();
    this.settleReadiness();
    if (this.agreed.has('tulle.on-demand')) await this.sweep();
    await this.config.dropUnserved(this.agreed);
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

  private forgetSession(): void {
    this.session = undefined;
    this.agreed = NO_FEATURES;
    this.opened = undefined;
    this.plain = false;
    this.pages = [];
  }

  private settleReadiness(): void {
    const missing = this.config.nothingInForce();
    if (missing === undefined) this.firstSync.resolve();
    else if (!this.waiting)
      this.options.log(`not ready: all ${missing} were refused, see above and "tulle proxy-status"`);
    this.waiting = missing !== undefined;
  }

  /** A session opens with the features alone: what they allow to say is known with the first answer. */
  private async request(): Promise<DiscoveryPoll> {
    if (this.plain) {
      const node = this.options.node();
      if (this.session !== undefined) return { session: this.session, node, requests: this.withReopened() };
      return { node, requests: await subscribeRequests(this.config.held, NO_FEATURES) };
    }
    const node = { ...this.options.node(), clientFeatures: [...this.announced] };
    if (this.session === undefined) return { node, requests: [] };
    const { trust } = this.options;
    const trustVersion = this.agreed.has('tulle.trust') ? trust?.version : undefined;
    const requests = await this.requestsOfSession();
    return { session: this.session, node, requests, ...(trustVersion !== undefined && { trustVersion }) };
  }

  private async requestsOfSession(): Promise<DeltaDiscoveryRequest[]> {
    if (!this.agreed.has('tulle.on-demand'))
      return this.opened ? subscribeRequests(this.config.held, this.opened) : this.withReopened();
    if (this.opened) {
      this.wanted.forgetSaid();
      const { virtualHosts, clusters } = this.wanted.takeChanges();
      return subscribeRequests(this.config.held, this.opened, {
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
    this.requests.push(...this.config.takeReopened());
    return this.requests;
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

function isUsed(feature: Feature, { onDemand, answersDns, trust, controlPlanes }: DiscoveryClientOptions): boolean {
  if (feature === 'tulle.on-demand') return onDemand !== undefined;
  if (feature === 'tulle.trust') return trust !== undefined;
  if (feature === 'tulle.control-planes') return controlPlanes !== undefined;
  return feature !== 'tulle.dns' || answersDns === true;
}

/** The control plane answers it when there is something new: nothing in it asks for an answer. */
function isHeld({ requests }: DiscoveryPoll): boolean {
  return !requests.some(
    ({ resourceNamesSubscribe, resourceNamesUnsubscribe, namesSent }) =>
      resourceNamesSubscribe?.length || resourceNamesUnsubscribe?.length || namesSent,
  );
}

function statusMessage(body: unknown): string {
  const { message } = (body ?? {}) as { message?: unknown };
  return typeof message === 'string' ? message.slice(0, 500) : 'no reason given';
}
