/**
 * A proxy joined to a control plane, put together: identity, discovery, disk cache, the proxy, telemetry, admin.
 * Everything comes in as an argument; `main.ts` supplies the real parts.
 */

import { decodeCertificates } from '../shared/identity/certificate.ts';
import { parseWorkloadId } from '../shared/identity/spiffe.ts';
import type { Node } from '../shared/xds/core.ts';
import type { Feature, Snapshot } from '../shared/xds/discovery.ts';
import { type Admin, createAdmin, type ListenerState } from './admin/admin.ts';
import type { HeldCertificates } from './admin/certs.ts';
import type { ClusterState } from './admin/clusters.ts';
import { serveAdmin } from './admin/server.ts';
import { serveStats } from './admin/stats-server.ts';
import { expiryFailure, expiryMetrics } from './control-client/certificate-expiry.ts';
import type { ConfigTarget } from './control-client/config-target.ts';
import { ControlClient } from './control-client/control-client.ts';
import { ControlPlanes } from './control-client/control-planes.ts';
import { DiscoveryClient, type OnDemandTraffic } from './control-client/discovery-client.ts';
import { DiskCache } from './control-client/disk-cache.ts';
import type { IdentityManager } from './control-client/identity.ts';
import { MeshTrust } from './control-client/mesh-trust.ts';
import { buildNode } from './control-client/node.ts';
import { ProxyConfig } from './control-client/proxy-config.ts';
import { KeptAddress } from './kept-address.ts';
import type { ListeningAddress } from './listener/own-listeners.ts';
import { startDns, withDns } from './mesh-dns.ts';
import { OwnAddress } from './own-address.ts';
import type { Listening, Runtime } from './runtime/runtime.ts';
import { hostOf, type ProcessSettings, processSettings, restartNeeded } from './settings/process-settings.ts';
import { dnsPortOf, type MeshSettings } from './settings/settings.ts';
import { WorkloadProber } from './workload-probe.ts';
import { readRoots as checkRoots } from './x509/trusted-path.ts';

/** A look at the host's addresses, one request that finds out which one is used, and the longest wait of a stop for peers. */
const ADDRESS_LOOK_MS = 1000;
const FIND_MS = 5000;
const LEAVE_MS = 4000;

/** What runs traffic. */
export interface ProxyPart extends ConfigTarget, OnDemandTraffic {
  listeners(): readonly ListenerState[];
  clusters(): readonly ClusterState[] | Promise<readonly ClusterState[]>;
  /** The xDS in force. */
  config(): Partial<Snapshot>;
  /** Stops accepting, answers with `connection: close`; resolves when nothing is open or after `ms`. */
  drain(ms: number): Promise<void>;
  drainListeners(options: { readonly graceful: boolean; readonly inboundOnly: boolean }): void;
  certificates(): readonly HeldCertificates[] | Promise<readonly HeldCertificates[]>;
  setHealthy(healthy: boolean): void;
  /** See Runtime.revokePeers. */
  revokePeers(serials: readonly string[]): void;
  /** Load balancers should send nothing more. */
  draining(): boolean;
  /** A listener of this process that the part does not run itself, until its end. */
  refuseConnectionsTo(listener: ListeningAddress): void;
  /** Prometheus' text exposition. */
  exposition(): string | Promise<string>;
  /** Envoy's statistics by name. */
  statistics(): [string, number][] | Promise<[string, number][]>;
  close(): Promise<void>;
}

/** Another program that runs the traffic. */
export interface Engine {
  /** As a node of xDS. */
  readonly userAgent: string;
  /** Extensions of discovery that its config can be sent with. */
  readonly features: readonly Feature[];
}

export interface MeshProxyDeps {
  readonly runtime: Runtime;
  readonly settings: MeshSettings;
  readonly version: string;
  /** Of this process, and no command that it starts. */
  readonly inheritedDescriptors: readonly number[];
  /** Those of them on which the name server listens, instead of on a port. */
  readonly dnsDescriptors: readonly number[];
  /** Absent: a data plane of this process. */
  readonly engine?: Engine | undefined;
  /** Called once there is an identity; rotations are reported by `identity.subscribe`. */
  readonly proxy: (identity: IdentityManager, settings: ProcessSettings, node: Node) => ProxyPart;
}

export interface RunningProcess {
  readonly adminPort: number;
  /** Where outbound listeners bind; absent where there are none by type. */
  readonly outboundAddress?: string | undefined;
  /** Of the DNS server; absent: there is none. */
  readonly dnsPort?: number | undefined;
  /** Config is in force: from the control plane, or the disk cache. */
  readonly ready: Promise<void>;
  /** Listener name -> the port it is really bound to. */
  ports(): Record<string, number>;
  /**
   * Drains and ends everything; safe to call again.
   * @param replaced another process serves on the same sockets: the workload stays in discovery, and connections have the drain
   * time of a listener
   */
  stop(replaced?: boolean): Promise<void>;
  /** Leaves the files of --data to another process. Absent: it has none. @returns ends that */
  holdFiles?(): Promise<() => void>;
}

/** What the admin endpoints may do with the process. */
export interface ProcessActions {
  /** Ends it, as SIGTERM does. */
  readonly quit: () => void;
  /** @returns why this process stays; undefined: another one has taken its place */
  readonly hotRestart: () => Promise<string | undefined>;
}

/** @throws Error in one line when the proxy cannot start */
export async function startMeshProxy(parts: MeshProxyDeps, actions: ProcessActions): Promise<RunningProcess> {
  const { runtime, settings } = parts;
  const { log } = runtime.process;
  // Loaded here: a static proxy has no identity and need not carry what makes one.
  const { IdentityError, IdentityManager, identityClock } = await import('./control-client/identity.ts');
  await runtime.files.makeFolder(settings.data, 0o700).catch((error: Error) => {
    throw new Error(`--data ${settings.data}: cannot be used: ${error.message}`);
  });
  const givenRoots = settings['trust-bundle'] && (await readRoots(runtime, settings['trust-bundle']));
  const held = () => identity.current;
  const trustedRoots = () => {
    const roots = held()?.trustBundle ?? givenRoots;
    if (!roots)
      throw new IdentityError(
        'refused',
        'the control plane cannot be trusted: pass --trust-bundle FILE (root-cert.pem)',
      );
    return roots;
  };
  const address = new OwnAddress(() => runtime.localAddresses());
  const connected = (local: string) => address.observed(local);
  const controlPlane = (url: string) => ({
    url,
    client: new ControlClient({ runtime, url, trustedRoots, identity: () => identity.keyPair, connected }),
  });
  const client = new ControlPlanes(settings['control-plane'].map(controlPlane), log);
  const identity: IdentityManager = new IdentityManager({
    files: runtime.files,
    folder: settings.data,
    request: (method, path, body) => client.request(method, path, body),
    // A predecessor has used it, and its descriptor is not inherited.
    joinToken: runtime.process.succession?.predecessor ? undefined : await joinTokenOf(runtime, settings, log),
    clock: identityClock(runtime),
    random: () => runtime.random(),
    log,
  });
  const { spiffeId } = await identity.start();
  checkIdentity(spiffeId, settings);

  const isAuto = settings.ip === 'auto';
  const kept = new KeptAddress(runtime.files, settings.data, log);
  if (isAuto) await kept.restore(address);
  const findAddress = () => client.request('GET', '/healthz', undefined, { timeoutMs: FIND_MS }).catch(() => {});
  if (isAuto && !address.isHeld) await findAddress();
  if (isAuto) await kept.keep(address);
  const nodeNow = () => nodeOf(parts, isAuto ? address.current : settings.ip);
  let node = nodeNow();
  const random = () => runtime.random();
  const proxyConfig = new ProxyConfig({
    client,
    node: () => node,
    files: runtime.files,
    folder: settings.data,
    random,
    log,
  });
  const atStart = await proxyConfig.start();
  // Tunnels are ends of one process.
  const flags = settings['tunnel-port'] === undefined ? settings : { ...settings, concurrency: 1 };
  const taken = processSettings(flags, atStart, hostOf(runtime), log);
  if (settings.concurrency === undefined && taken.workers > 1)
    log(`proxy config: ${taken.workers} worker processes, as the mesh's ProxyConfig has it`, 'info');
  const proxy = parts.proxy(identity, taken, node);
  const dns = await startDns(settings, runtime, parts.dnsDescriptors);
  const cache = new DiskCache(runtime.files, settings.data, log);
  const trust = new MeshTrust({
    files: runtime.files,
    folder: settings.data,
    now: () => runtime.now(),
    revoke: (serials) => proxy.revokePeers(serials),
    trust: (trustBundle) => identity.trust(trustBundle),
    log,
  });
  await trust.restore();
  const discovery = new DiscoveryClient({
    client,
    node: () => node,
    target: dns ? withDns(proxy, dns) : proxy,
    answersDns: dns !== undefined,
    ...(dns && { onWhole: () => dns.complete() }),
    cache,
    trust,
    controlPlanes: (urls) => client.learn(urls, controlPlane),
    time: runtime,
    log,
    features: parts.engine && [...parts.engine.features, ...(dns ? (['tulle.dns'] as const) : [])],
    onDemand:
      isOnDemand(settings) && !parts.engine
        ? { traffic: proxy, unusedMs: settings['unused-host-seconds'] * 1000 }
        : undefined,
  });
  const prober = new WorkloadProber({
    runtime,
    withheld: parts.inheritedDescriptors,
    report: (healthy) => client.request('POST', '/v1/workload-health', { node, healthy }),
    log,
  });
  let ready = await discovery.restore();
  // The cache holds no part of what was sent in pages.
  if (dns && (ready || dns.held.length > 0)) dns.complete();
  const stopFollowing = isAuto
    ? followAddress(address, findAddress, () => {
        const next = nodeNow();
        if (next.id === node.id) return;
        log(`the address of the workload is ${address.current} now`, 'info');
        node = next;
        void kept.keep(address);
        discovery.restart();
        prober.repeat();
      })
    : () => {};
  let stats: Listening | undefined;
  const release = async () => {
    await stats?.close();
    await discovery.stop();
    await dns?.close();
    proxyConfig.stop();
    identity.stop();
    client.close();
  };
  const leave = async (replaced: boolean) => {
    stopFollowing();
    prober.stop();
    if (replaced) {
      identity.stop();
      await Promise.all([stats?.close(), dns?.close()]);
      return;
    }
    const leaves = settings.type === 'sidecar' && settings['leave-on-stop'] === 'yes';
    if (leaves && discovery.state.live) await leaveDiscovery(client, node);
  };
  const life = lifecycle(proxy, taken, release, leave);
  const admin = adminOf(parts, proxy, node.id, {
    ready: () => ready,
    draining: life.draining,
    ...actions,
    taken,
    failure: () => expiryFailure(identity.current, runtime.now()),
    metrics: () => expiryMetrics(identity.current, runtime.now()) + (dns?.exposition() ?? ''),
    config: () => ({ ...proxy.config(), ...(dns && { dnsHosts: dns.held }) }),
    refused: () => discovery.state.refused,
  });
  const adminPort = settings['admin-port'] ?? settings.defaultAdminPort;
  // Until this process is ready its predecessor answers there.
  if (!ready && runtime.process.succession?.predecessor) {
    discovery.start();
    await discovery.synced;
  }
  await dns?.listen();
  life.listening = await serveAdmin(runtime, settings['admin-address'], adminPort, admin, taken.statsCompression);
  proxy.refuseConnectionsTo(life.listening);
  const at = settings['stats-address'];
  stats = at && (await serveStats(runtime, at, admin, taken.statsCompression));
  if (stats) proxy.refuseConnectionsTo(stats);
  discovery.start();
  prober.follow(atStart.probe);
  proxyConfig.follow((config) => {
    prober.follow(config.probe);
    for (const line of restartNeeded(taken, processSettings(flags, config, hostOf(runtime)))) log(line);
  });
  const synced = discovery.synced.then(() => {
    ready = true;
  });
  const inForce = ready ? Promise.resolve() : synced;
  return {
    adminPort: life.listening.port,
    outboundAddress: node.metadata?.['OUTBOUND_BIND'] as string | undefined,
    dnsPort: dns?.port,
    ready: inForce,
    ports: () => portsOf(proxy),
    stop: life.stop,
    holdFiles: () => cache.hold(),
  };
}

/**
 * A file that is gone is no error: a token is used once, and administrators remove it then. A descriptor is read in any case.
 * @throws Error naming the flag
 */
async function joinTokenOf(
  runtime: Runtime,
  settings: MeshSettings,
  log: (line: string) => void,
): Promise<string | undefined> {
  const path = settings['join-token-file'];
  if (path === undefined) return settings['join-token'];
  const bytes = await runtime.files.read(path).catch((error: Error) => {
    throw new Error(`--join-token-file ${path}: ${error.message}`);
  });
  const token = bytes && new TextDecoder().decode(bytes).trim();
  if (token === '') throw new Error(`--join-token-file ${path}: is empty`);
  if (token === undefined) log(`--join-token-file ${path}: no such file`);
  return token;
}

/** Gateways are sent everything. */
function isOnDemand({ type, discovery }: MeshSettings): boolean {
  return type === 'sidecar' && discovery === 'on-demand';
}

/** @throws Error when the certificate is not of who the flags say this proxy is: the two would be judged apart */
function checkIdentity(spiffeId: string, settings: MeshSettings): void {
  const { trustDomain, namespace, serviceAccount } = parseWorkloadId(spiffeId);
  const refuse = (flag: string, given: string, held: string) => {
    throw new Error(
      `--${flag} ${given}: the certificate is of ${held} (${spiffeId}); pass --${flag} ${held}, or join again with another token and an empty --data folder`,
    );
  };
  const wanted = settings['trust-domain'] ?? trustDomain;
  if (wanted !== trustDomain) refuse('trust-domain', wanted, trustDomain);
  if (settings.namespace !== namespace) refuse('namespace', settings.namespace, namespace);
  const account = settings['service-account'];
  if (account !== serviceAccount) refuse('service-account', account, serviceAccount);
}

/** Looks for a change of the host's addresses. @returns ends that */
function followAddress(address: OwnAddress, find: () => Promise<unknown>, changed: () => void): () => void {
  let looking = false;
  const timer = setInterval(() => {
    if (looking || address.isHeld) return;
    looking = true;
    void find().then(() => {
      looking = false;
      if (address.isHeld) changed();
    });
  }, ADDRESS_LOOK_MS);
  return () => clearInterval(timer);
}

/** Has peers send nothing more, and waits until they have it; not for long, and never for a control plane that is away. */
async function leaveDiscovery(client: Pick<ControlPlanes, 'request'>, node: Node): Promise<void> {
  const body = { node, healthy: false, draining: true };
  await client.request('POST', '/v1/workload-health', body, { signal: AbortSignal.timeout(LEAVE_MS) }).catch(() => {});
}

/** The xDS node of a proxy with these settings at an address. */
function nodeOf(
  { settings, version, runtime, engine }: Pick<MeshProxyDeps, 'settings' | 'version' | 'runtime' | 'engine'>,
  ip: string,
): Node {
  return buildNode({
    type: settings.type,
    namespace: settings.namespace,
    serviceAccount: settings['service-account'],
    name: settings.name ?? settings['service-account'],
    ip,
    ipChanges: settings.ip === 'auto',
    group: settings.group,
    network: settings.network,
    labels: settings.labels,
    interceptionMode: settings['interception-mode'],
    domainSuffix: settings['domain-suffix'],
    locality: settings.locality,
    version,
    runtime: runtime.name,
    userAgent: engine?.userAgent,
    appPorts: settings['app-port'],
    outboundBind: settings['outbound-bind'],
    httpProxyPort: settings['http-proxy-port'],
    statsPort: settings['stats-address']?.port,
    answersDns: dnsPortOf(settings) !== undefined,
    behindNat: settings['behind-nat'],
    tunnelPort: settings['tunnel-port'],
  });
}

interface State {
  readonly ready: () => boolean;
  readonly draining: () => boolean;
  readonly quit: () => void;
  readonly hotRestart: ProcessActions['hotRestart'];
  readonly taken: ProcessSettings;
  readonly failure: () => string | undefined;
  /** In addition to those of the proxy. */
  readonly metrics: () => string;
  readonly refused: () => ReadonlyMap<string, string>;
  /** Default: the proxy's. */
  readonly config?: () => Partial<Snapshot>;
}

/** The admin endpoints of a running proxy; static and mesh proxies share them. */
export function adminOf(
  parts: { readonly runtime: Runtime; readonly version: string },
  proxy: ProxyPart,
  nodeId: string,
  state: State,
): Admin {
  const started = parts.runtime.monotonicMs();
  return createAdmin({
    ...state,
    draining: () => state.draining() || proxy.draining(),
    metrics: async () => (await proxy.exposition()) + state.metrics(),
    stats: () => proxy.statistics(),
    certificates: () => proxy.certificates(),
    setHealthy: (healthy) => proxy.setHealthy(healthy),
    config: state.config ?? (() => proxy.config()),
    clusters: () => proxy.clusters(),
    listeners: () => proxy.listeners(),
    info: { version: parts.version, runtime: parts.runtime.name, nodeId },
    now: () => parts.runtime.now(),
    uptimeMs: () => parts.runtime.monotonicMs() - started,
    drainListeners: (options) => proxy.drainListeners(options),
  });
}

export function portsOf(proxy: ProxyPart): Record<string, number> {
  return Object.fromEntries(proxy.listeners().map(({ name, port }) => [name, port]));
}

/**
 * Draining first, so that readiness says so and probes can still ask; the admin server goes last, and first where another
 * process has taken over.
 * @param leave before connections are drained: has peers send nothing more, or leaves the workload to the process that has
 * taken over
 */
export function lifecycle(
  proxy: ProxyPart,
  { drainMs, terminationDrainMs }: Pick<ProcessSettings, 'drainMs' | 'terminationDrainMs'>,
  release: () => Promise<void>,
  leave: (replaced: boolean) => Promise<void> = async () => {},
) {
  let stopping: Promise<void> | undefined;
  const life = {
    listening: undefined as Listening | undefined,
    draining: () => stopping !== undefined,
    stop(replaced = false): Promise<void> {
      stopping ??= (async () => {
        if (replaced) await closeAdmin();
        await leave(replaced);
        await proxy.drain(replaced ? drainMs : terminationDrainMs);
        await release();
        await proxy.close();
        await closeAdmin();
      })();
      return stopping;
    },
  };
  const closeAdmin = async () => {
    const { listening } = life;
    life.listening = undefined;
    await listening?.close();
  };
  return life;
}

/** @throws Error naming the flag */
async function readRoots(runtime: Runtime, path: string): Promise<string> {
  const text = await readText(runtime, path, '--trust-bundle');
  try {
    decodeCertificates(text);
    checkRoots(text);
  } catch (error) {
    throw new Error(
      `--trust-bundle ${path}: ${(error as Error).message}; it must be root-cert.pem of the control plane`,
    );
  }
  return text;
}

/** @throws Error naming the flag */
export async function readText(runtime: Runtime, path: string, flag: string): Promise<string> {
  const bytes = await runtime.files.read(path).catch((error: unknown) => {
    throw new Error(`${flag} ${path}: ${error instanceof Error ? error.message : String(error)}`);
  });
  if (!bytes) throw new Error(`${flag} ${path}: no such file`);
  return new TextDecoder().decode(bytes);
}
