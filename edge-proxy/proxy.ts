/** The data plane of one process: its xDS resources, running. */
import { redacted } from '../shared/log/redact.ts';
import { type ResourceType, TYPE_URLS } from '../shared/xds/discovery.ts';
import { Admission } from './overload/admission.ts';
import { OverloadState } from './overload/overload-state.ts';
import type { Connection, Runtime } from './runtime/runtime.ts';
import type { InheritedSockets } from './settings/inherited-sockets.ts';
import { Stats } from './telemetry/stats.ts';
import { Fetches, type FetchLimits, type Want } from './upstream/fetches.ts';
import { type Changes, type Compilers, RunningConfig, type Used } from './xds/apply.ts';
import type { Secrets } from './xds/tls/secrets.ts';

export interface ProxyOptions {
  readonly compilers: Compilers;
  /** Takes one line a user should see. Default: standard error. */
  readonly warn?: (line: string) => void;
  /** Limits and counts of connections. Default: no limits. */
  readonly admission?: Admission;
  /** How long, and how many, requests and connections may wait for hosts that are fetched on demand. */
  readonly fetchLimits?: FetchLimits | undefined;
  /** On which captured connections arrive; absent: none are captured. */
  readonly sockets?: InheritedSockets | undefined;
}

const DRAIN_POLL_MS = 50;

export class DataPlane {
  private readonly runtime: Runtime;
  private readonly running: RunningConfig;
  private isDraining = false;
  private unhealthy = false;
  private readonly admission: Admission;
  private configured = false;

  constructor(runtime: Runtime, options: ProxyOptions) {
    const warn = options.warn ?? ((line: string) => runtime.process.log(line));
    const admission = options.admission ?? new Admission(new Stats(), new OverloadState(() => runtime.random()));
    this.runtime = runtime;
    this.admission = admission;
    const closing = (evenUnhealthy: boolean) => this.isDraining || (this.unhealthy && !evenUnhealthy);
    this.running = new RunningConfig(
      runtime,
      options.compilers,
      closing,
      warn,
      admission,
      new Fetches(runtime, options.fetchLimits),
      options.sockets,
    );
  }

  /** @param want is called with each virtual host or cluster that something begins to wait for */
  onWanted(want: Want): void {
    this.running.fetches.want = want;
  }

  /** What served something since the last call, or serves something now. */
  takeUsed(): Used {
    return this.running.takeUsed();
  }

  /**
   * Compiles and swaps in changes, make before break. An invalid resource is refused alone; its last good version stays in force.
   * Listeners whose address did not change keep their sockets, chains that did not change their connections.
   * @returns `type/name` -> what is wrong, for the NACK
   */
  async apply(changes: Changes): Promise<Map<string, string>> {
    const violations = await this.running.apply(changes);
    if (changes.listeners) this.configured = true;
    return violations;
  }

  /** Has received listeners and is not draining. */
  get ready(): boolean {
    return this.configured && !this.isDraining && !this.unhealthy;
  }

  /** Load balancers should send no more requests: every response closes its connection. */
  get draining(): boolean {
    return this.isDraining || this.unhealthy;
  }

  /** For the identity manager: sets `default` and `ROOTCA`. */
  get secrets(): Secrets {
    return this.running.secrets;
  }

  /** Where each listener is bound, by name. */
  get bound(): Map<string, { address: string; port: number }> {
    const out = new Map<string, { address: string; port: number }>();
    for (const [name, { server }] of this.running.listeners) if (server.bound) out.set(name, server.bound);
    return out;
  }

  /** The running resources by type, in xDS JSON; private keys, and secrets that sign tokens, are left out. */
  configDump(): Record<ResourceType, { '@type': string }[]> {
    const { resources } = this.running;
    const dump = {} as Record<ResourceType, { '@type': string }[]>;
    for (const type of Object.keys(resources) as ResourceType[])
      dump[type] = [...resources[type].values()].map((resource) => ({
        '@type': TYPE_URLS[type],
        ...(redacted(resource) as object),
      }));
    return dump;
  }

  /** The inbound listener at an address of the workload; undefined: there is none. */
  inboundAt(at: { readonly address: string; readonly port: number }): ((connection: Connection) => void) | undefined {
    const server = this.running.inboundAt(at);
    return server && ((connection) => server.accept(connection));
  }

  /** Envoy's `/healthcheck/fail` and `/healthcheck/ok`. */
  setHealthy(healthy: boolean): void {
    this.unhealthy = !healthy;
  }

  /** Envoy's `/drain_listeners`; the process continues. `graceful`: sockets close after the drain time only. */
  drainListeners(options: { readonly graceful: boolean; readonly inboundOnly: boolean }): void {
    const { listeners, resources } = this.running;
    for (const [name, { server }] of listeners) {
      if (options.inboundOnly && resources.listeners.get(name)?.trafficDirection !== 'INBOUND') continue;
      if (options.graceful) server.drainGracefully();
      else void server.drain();
    }
  }

  /** Applies the new overload timer scale to running timers. */
  applyTimerScale(): void {
    for (const { server } of this.running.listeners.values()) server.applyTimerScale();
  }

  /** Stops accepting; in-flight requests and byte streams complete. @param deadlineMs the rest is closed after it */
  async drain(deadlineMs: number): Promise<void> {
    this.isDraining = true;
    for (const { server } of this.running.listeners.values()) await server.drain();
    const until = this.runtime.monotonicMs() + deadlineMs;
    while (this.admission.active > 0 && this.runtime.monotonicMs() < until)
      await new Promise((resolve) => setTimeout(resolve, DRAIN_POLL_MS));
  }

  async stop(): Promise<void> {
    this.isDraining = true;
    this.running.fetches.close();
    for (const { server } of this.running.listeners.values()) await server.stop();
    for (const cluster of this.running.clusters.values()) cluster.close();
    this.running.secrets.close();
  }
}
