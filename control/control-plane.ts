/** The control plane put together: store -> mesh -> compile -> discovery behind one TLS server, and the certificate authority. */
import { chmod, readdir } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import type { Log } from '../shared/log/log.ts';
import { kindOf, kinds, validate } from '../shared/resources/index.ts';
import type { Resource } from '../shared/resources/resource.ts';
import type { Feature } from '../shared/xds/discovery.ts';
import { authorizer } from './access/authorizer.ts';
import { bearerTokens } from './access/bearer-tokens.ts';
import type { OidcSettings } from './access/oidc/oidc-users.ts';
import { openOidc } from './access/oidc/open-oidc.ts';
import { createBuiltinRoles } from './access/rbac/builtin-roles.ts';
import { RbacFollower } from './access/rbac/follow-rbac.ts';
import { openServiceAccountTokens } from './access/service-account-tokens.ts';
import { UserTokens } from './access/user-tokens.ts';
import { limitRequests } from './api/access/limits.ts';
import { tokenRoutes } from './api/access/tokens.ts';
import { createApi, createInitialNamespaces, isInitialNamespace } from './api/app.ts';
import { acceptWorkloadTokens, adminToken, checkAgainst, sha256 } from './api/auth.ts';
import { authorityRoutes } from './api/authority.ts';
import { backupRoutes } from './api/backup/routes.ts';
import { certificateRoutes } from './api/certificates.ts';
import { discoveryApi } from './api/discovery.ts';
import { installRoutes } from './api/install.ts';
import { invitationRoutes } from './api/invitations.ts';
import { joinRoutes } from './api/join.ts';
import { heldJoinRoutes } from './api/joins.ts';
import { leaveRoutes } from './api/leave.ts';
import { Neighbours } from './api/neighbours.ts';
import { prometheusRoutes } from './api/prometheus/prometheus.ts';
import { ScrapeToken } from './api/prometheus/scrape-token.ts';
import { proxyConfigRoutes } from './api/proxy-config.ts';
import { rejoinRoutes } from './api/rejoin.ts';
import { Peers } from './api/replicas/peers.ts';
import { replicaRoutes } from './api/replicas/replica-routes.ts';
import { owningStatus } from './api/resources/managed-fields/owning-status.ts';
import { OpenWatches } from './api/resources/open-watches.ts';
import { rolloutRoutes } from './api/rollout/rollouts.ts';
import type { ConnectionLimits } from './api/server/connection-limits.ts';
import { IdentityLimits, type IdentityLimitsSettings } from './api/server/identity-limits.ts';
import { reachableUrls } from './api/server/reachable-urls.ts';
import { type Advertised, startTlsServer, type TlsServer } from './api/server/tls-server.ts';
import { type UserCertificateFiles, UserCertificates } from './api/server/user-certificates.ts';
import { discoveryStreams, STREAM_PATHS } from './api/streams/discovery-streams.ts';
import { workloadHealthRoutes } from './api/workload-health.ts';
import { type AuditSettings, isAuditFile, openAuditLog } from './audit/open-audit-log.ts';
import { Accounts } from './ca/accounts.ts';
import { type Authority, openAuthority } from './ca/authority.ts';
import { firstExpiry } from './ca/expiry.ts';
import { makePrivateFolder, sealKeysOf, staleKeysOf } from './ca/files.ts';
import { JoinTokens } from './ca/join-tokens.ts';
import { isHeld } from './ca/joins.ts';
import { openJwtSvids } from './ca/jwt-svids.ts';
import { REJOIN_GRACE_SECONDS } from './ca/life/sqlite-joins.ts';
import { TrustFeed } from './ca/life/trust-feed.ts';
import { revokingStore } from './ca/revoking-store.ts';
import { PluggedInFiles } from './ca/rotation/plugged-in-files.ts';
import { RotationDriver } from './ca/rotation/root-rotation.ts';
import { compileInSlices } from './compile/node/node.ts';
import { servesNothing } from './compile/node/node-advice.ts';
import { type DiscoveryMode, DiscoveryService } from './discovery/service.ts';
import type { SessionLimits } from './discovery/session-table.ts';
import { type EventSettings, openMeshEvents } from './events/mesh-events.ts';
import { tokenJudge } from './join/join-evidence.ts';
import { openJoinPolicies } from './join/policy/join-policies.ts';
import { ISSUER_KEYS, type IssuerKeysSettings, keepIssuerKeys } from './jwks/issuer-keys.ts';
import { ObjectLife } from './lifecycle/object-life.ts';
import { MeshFollower } from './mesh/follow-store.ts';
import { openFolderRecords } from './records/folder-records.ts';
import { openSharedRecords } from './records/shared-records.ts';
import { mustBeRestored } from './restoring.ts';
import { openRollouts } from './rollout/open-rollouts.ts';
import { protectingStore } from './rollout/protecting-store.ts';
import { replicasBehind, shareWork } from './share-work.ts';
import { AddressAllocator } from './status/address-allocator.ts';
import { EffectTracker } from './status/effect-tracker.ts';
import { reportFieldFindings } from './status/field-findings.ts';
import { reportTo, SharedFindings } from './status/shared-findings.ts';
import { StatusWriter } from './status/status-writer.ts';
import type { HistorySettings } from './store/history/history.ts';
import { type EtcdPlace, openStore } from './store/open-store.ts';
import { plainSealer, type Sealer } from './store/sealing/sealer.ts';
import { replicaUrls } from './store/state/replicas.ts';
import type { ResourceKey } from './store/store.ts';
import { controlLog } from './telemetry/control-log.ts';
import { controlMetrics } from './telemetry/control-metrics.ts';
import { eventsTo } from './telemetry/events.ts';
import { startMetricsServer } from './telemetry/metrics-server.ts';
import { processMetrics } from './telemetry/process-metrics.ts';
import { endDraining } from './workloads/drained-entries.ts';
import { MachineLabels } from './workloads/machine-labels.ts';
import { groupReader } from './workloads/read-group.ts';
import { CLEANUP_SECONDS, RETURN_MS, Registrations } from './workloads/registrations.ts';
import { VanishedProxies } from './workloads/vanished-proxies.ts';

export interface ControlPlaneOptions {
  /** Where everything durable lives; made with mode 0700. */
  data: string;
  /** Where all of it is kept instead, but for the key that this process signs certificates with. */
  etcd?: EtcdPlace;
  /** Encryption at rest, of Secrets and of private keys in `data`. Default: none. */
  sealer?: Sealer;
  /** Of resources. Default: HISTORY. */
  history?: HistorySettings;
  address: string;
  /** 0: chosen by the kernel. */
  port: number;
  /** Further names the server is reached by. */
  dnsNames: readonly string[];
  ips: readonly string[];
  /** What `url`, and with it the issuer of JWT-SVIDs, names instead of where the server listens. */
  advertised?: Advertised;
  trustDomain: string;
  /** The issuer of JWT-SVIDs and of tokens of ServiceAccounts. Default: `url`; in etcd that of the first control plane. */
  tokenIssuer?: string;
  /** Folder with a CA of the user's own, in Istio's file names; default: `<data>/ca`, made at first start. */
  caFolder?: string;
  /** Seconds an SVID lives by default, and the most a workload may ask for; the latter by default the former. */
  svidTtl: number;
  maxSvidTtl?: number;
  /** Default `on-demand`. */
  discovery?: DiscoveryMode;
  /** Features of discovery that no proxy gets (FEATURES). Default: none. */
  withheldFeatures?: readonly Feature[];
  /** A workload may have CUSTOM policies of several providers. Default: they deny. */
  multipleAuthorizers?: boolean;
  /** How many proxies may be connected; default: SESSION_LIMITS. */
  sessionLimits?: Partial<SessionLimits>;
  /** What one user, workload or address may ask. Default: IDENTITY_LIMITS. */
  identityLimits?: Partial<IdentityLimitsSettings>;
  /** Default: CONNECTION_LIMITS. */
  connectionLimits?: Partial<ConnectionLimits>;
  /** Default: TLSv1.3. */
  minTlsVersion?: 'TLSv1.2' | 'TLSv1.3';
  /** Seconds after its end in which a certificate may still rejoin; 0: never. Default: REJOIN_GRACE_SECONDS. */
  rejoinGrace?: number;
  /**
   * Seconds from the moment that a registered machine has left to the removal of its entry, and of a hand-written entry to that
   * of its health. Default: CLEANUP_SECONDS.
   */
  workloadCleanup?: number;
  /** How long Events live, and how many there may be. Default: EVENT_LIMITS. */
  events?: EventSettings;
  /** How keys of token issuers are fetched. Default: ISSUER_KEYS. */
  issuerKeys?: Partial<IssuerKeysSettings>;
  /** Folder of what bare machines download (`npm run build`); absent: nothing can be downloaded. */
  installFiles?: string | undefined;
  /** Files with the CAs of users' certificates. Default: users have none. */
  userCertificates?: UserCertificateFiles | undefined;
  /** Whose ID tokens users may present. Default: those of no provider. */
  oidc?: OidcSettings | undefined;
  /** Default: there is no audit log. */
  audit?: AuditSettings | undefined;
  /** Where `/metrics` is served; absent: nowhere. */
  monitoring?: { readonly address: string; readonly port: number };
  version: string;
  /** No secrets. */
  log: Log;
}

export interface ControlPlane {
  readonly url: string;
  readonly port: number;
  /** Of `/metrics`; undefined where it is not served. */
  readonly monitoringPort: number | undefined;
  /** PEM roots of the mesh. */
  readonly trustBundle: string;
  /** Set at first start only: it is kept hashed and cannot be shown again. */
  readonly adminToken: string | undefined;
  /** What the control API serves: method (`ALL`: every one) and path as hono writes them. */
  readonly routes: readonly { readonly method: string; readonly path: string }[];
  /** Opens the file of the audit log again, which another program has moved, and reads the CAs of users again. */
  reload(): Promise<void>;
  stop(): Promise<void>;
}

/** @throws Error in one line naming what is in the way: port in use, data locked by another process, broken key files */
export async function startControlPlane(options: ControlPlaneOptions): Promise<ControlPlane> {
  const { data, log } = options;
  await openDataFolder(data, (name) => isAuditFile(options.audit, data, name));
  mustBeRestored(data);
  const endSealing = sealKeysOf(data, options.sealer ?? plainSealer);
  // All is opened before anything is written: with a wrong key nothing changes.
  const staleKeys = await staleKeysOf(data);
  const report = (error: unknown) =>
    log(`unexpected: ${error instanceof Error ? error.message : String(error)}`, 'error');

  const opened = await openStore(join(data, 'resources.sqlite'), options.etcd, options);
  const { state, leadership, replicas } = opened;
  const [store, leaderStore] = [owningStatus(opened.store, kindOf), owningStatus(opened.leaderStore, kindOf)];
  const undo: (() => unknown)[] = [() => opened.close(), endSealing];
  try {
    for (const write of staleKeys) await write();
    await createInitialNamespaces(store);
    const caFolder = options.caFolder ?? join(data, 'ca');
    const { trustDomain, svidTtl, maxSvidTtl = svidTtl } = options;
    const graceMs = (options.rejoinGrace ?? REJOIN_GRACE_SECONDS.default) * 1000;
    const isPluggedIn = options.caFolder !== undefined;
    const { tokenIssuer } = options;
    const records = state
      ? await openSharedRecords(state, { data, trustDomain, isPluggedIn, tokenIssuer, graceMs, log })
      : await openFolderRecords(data, { graceMs, log, tokenIssuer });
    undo.unshift(() => records.close());
    const { joins } = records;
    const authority = await openAuthority({
      folder: caFolder,
      ...(records.authority && { place: records.authority }),
      trustDomain,
      defaultTtl: svidTtl,
      maxTtl: maxSvidTtl,
    });
    const accounts = await Accounts.open(store, records.revocations);
    const tokens = new JoinTokens(records.joinTokens);
    const scrapeToken = new ScrapeToken(records.scrapeToken);
    // The issuer is the URL workloads know, which a port chosen by the kernel gives only once the server listens.
    let mounted: ReturnType<typeof createApi> | undefined;
    const { userCertificates: files } = options;
    const userCertificates =
      files && (await UserCertificates.open({ files, meshKeys: () => meshKeys(authority), log }));
    if (userCertificates) undo.unshift(() => userCertificates.close());
    const server: TlsServer = await startTlsServer({
      listen: { address: options.address, port: options.port },
      authority,
      joins,
      userCertificates,
      dnsNames: options.dnsNames,
      ips: options.ips,
      ...(options.advertised && { advertised: options.advertised }),
      connections: options.connectionLimits ?? {},
      ...(options.minTlsVersion && { minTlsVersion: options.minTlsVersion }),
      log,
      fetch: (request, env) => mounted?.fetch(request, env) ?? new Response('starting', { status: 503 }),
    });
    undo.unshift(() => server.close());
    const issuer = await records.issuer(server.url);
    const jwtSvids = await openJwtSvids({
      folder: data,
      key: records.jwtKey,
      trustDomain,
      issuer,
      isHeld: (id) => isHeld(joins, id),
    });

    const changes = await openRollouts({
      store,
      hadProxies: joins.list().length > 0,
      isShared: state !== undefined,
      log,
      onError: report,
    });
    const { rollouts } = changes;
    const jwtSvid = { issuer, jwks: JSON.stringify(jwtSvids.jwks) };
    const onWarning = (warning: string) => log(`mesh configuration: ${warning}`);
    const mesh = new MeshFollower(store, {
      onError: report,
      onWarning,
      jwtSvid,
      multipleAuthorizers: options.multipleAuthorizers ?? false,
      gate: rollouts,
    });
    undo.splice(1, 0, () => rollouts.close());
    // These end after the server, before the store.
    undo.splice(1, 0, () => mesh.stop());
    await mesh.start();
    const view = mesh.current();
    const happened = { store, keyOf: storeKeyOf, host: hostname(), onError: report };
    const meshEvents = await openMeshEvents({ ...happened, ...options.events });
    undo.splice(1, 0, () => meshEvents.stop());
    // One of several control planes sees a part of the proxies alone: a count would be of that part.
    const effects =
      state === undefined
        ? new EffectTracker({
            isConnected: (session) => discovery.isConnected(session),
            onEffect: (resource) => status.effectChanged(resource),
          })
        : undefined;
    const status: StatusWriter = new StatusWriter({
      store: leaderStore,
      leads: state === undefined,
      keyOf: storeKeyOf,
      onError: report,
      onCondition: meshEvents.onCondition,
      effectOf: (id, uid) => effects?.effectOf(id, uid),
    });
    undo.splice(1, 0, () => effects?.close());
    undo.splice(1, 0, () => status.close());
    await status.start(changes.seen);
    const written = kinds.flatMap(({ kind }) => view.resources(kind));
    reportFieldFindings({ written, deleted: [] }, { log, status });
    mesh.onChange((_view, change) => reportFieldFindings(change, { log, status }));
    const stopKeys = await keepIssuerKeys(
      { ...ISSUER_KEYS, ...options.issuerKeys },
      { folder: data, mesh, candidates: (kind) => rollouts.candidates(kind), status, log, onError: report },
    );
    undo.splice(1, 0, stopKeys);
    const policies = openJoinPolicies({ used: records.usedEvidence, mesh, status, log });
    undo.splice(1, 0, () => policies.close());
    const addresses = new AddressAllocator({
      store: leaderStore,
      leads: state === undefined,
      keyOf: storeKeyOf,
      report: (reporter, findings) => status.report(reporter, findings),
      log,
      onError: report,
    });
    undo.splice(1, 0, () => addresses.close());
    addresses.start(view.resources('ServiceEntry'));
    mesh.onChange((_view, change) => addresses.follow(change));
    const { metrics, events: counted } = controlMetrics(options.version, {
      proxyVersions: () => discovery.proxyVersions(),
      services: () => mesh.current().services.length,
      virtualServices: () => mesh.current().resources('VirtualService').length,
      rootExpires: () => firstExpiry(authority.trustBundle),
      connections: () => server.connections,
      now: Date.now,
    });
    processMetrics(metrics);
    const audit = options.audit && (await openAuditLog(options.audit, { metrics, log }));
    if (audit) undo.splice(1, 0, () => audit.close());
    const events = eventsTo(counted, controlLog(log, Date.now), meshEvents.taker);
    const peers =
      records.replicaSecret === undefined
        ? undefined
        : new Peers({ replicas, secret: records.replicaSecret, trustBundle: () => authority.trustBundle });
    const findings = state && new SharedFindings({ state, id: replicas.id, status, onError: report });
    if (findings) undo.splice(1, 0, () => findings.close());
    const cleanupMs = (options.workloadCleanup ?? CLEANUP_SECONDS.default) * 1000;
    const registrations = new Registrations({
      store,
      group: groupReader(store),
      view: () => mesh.current(),
      joinOf: (serial) => joins.ofSerial(serial),
      allowsLoopback: isLoopbackHost(new URL(server.url).hostname),
      cleanupMs,
      replicas,
      events,
      report,
    });
    undo.splice(1, 0, () => registrations.close());
    await registrations.start();
    mesh.onChange((_view, change) => registrations.follow(change));
    const vanished = new VanishedProxies({
      store,
      view: () => mesh.current(),
      graceMs: cleanupMs,
      returnMs: RETURN_MS,
      ...(peers && { isElsewhere: (place) => peers.isPresent(place) }),
      report,
    });
    undo.splice(1, 0, () => vanished.close());
    vanished.start(view.resources('WorkloadEntry'));
    const machineLabels = new MachineLabels({
      joinOf: (serial) => joins.ofSerial(serial),
      groups: () => mesh.current().resources('WorkloadGroup'),
      events,
    });
    const trust = new TrustFeed(joins, () => authority.trustBundle);
    const discovery: DiscoveryService = new DiscoveryService({
      trust,
      admit: (node, serial) => machineLabels.admit(node, serial),
      seen: (proxy, isNew) => {
        vanished.seen(proxy);
        if (isNew) {
          machineLabels.report(proxy.node);
          endDraining(store, mesh.current(), proxy.node).catch(report);
        }
        return registrations.seen(proxy);
      },
      compile: compileInSlices,
      mesh,
      rollouts: changes.partialChanges(compileInSlices),
      ...(options.discovery && { discovery: options.discovery }),
      withheldFeatures: new Set(options.withheldFeatures),
      ...(state && { controlPlanes: replicaUrls(replicas) }),
      limits: options.sessionLimits ?? {},
      status: findings ? reportTo(status, findings) : status,
      ...(effects && { effects }),
      advise: (current, node, session) =>
        registrations.noteOn(session) ?? machineLabels.noteOn(node) ?? servesNothing(current, node),
      events,
      log,
    });
    undo.splice(1, 0, () => discovery.close());
    changes.attach(mesh, discovery, status);
    const changed = async () => {
      trust.changed();
      await server.renew();
    };
    const rotation = new RotationDriver({
      roots: authority.rotation,
      behind: () => [...discovery.behindTrust(), ...replicasBehind(opened, authority.trustBundle)],
      leads: () => leadership.isLeader,
      changed,
      graceMs,
      log,
      events,
    });
    const pluggedIn = new PluggedInFiles({ authority, changed, log });
    undo.splice(
      1,
      0,
      () => rotation.stop(),
      () => pluggedIn.close(),
    );
    authority.onRotated(() => {
      trust.changed();
      rotation.follow();
      server.renew().catch(report);
    }, report);
    undo.splice(
      1,
      0,
      shareWork({
        opened,
        urls: { url: server.url, peerUrl: server.ownUrl },
        view: () => mesh.current(),
        ...{ status, addresses, registrations, vanished, rotation, findings, report },
        trustBundle: () => authority.trustBundle,
        behind: () => discovery.behindTrust(),
      }),
    );

    const { monitoring } = options;
    const monitor = monitoring && (await startMetricsServer(monitoring, () => metrics.expose()));
    if (monitor) undo.unshift(() => monitor.close());

    // Last of what can fail: a token made by a start that then fails would never be shown.
    const admin = await adminToken(records.adminToken);
    await createBuiltinRoles(store);
    const roles = new RbacFollower({ store, onError: report });
    undo.splice(1, 0, () => roles.stop());
    await roles.start();
    const userTokens = await UserTokens.open(records.userTokens);
    const accountTokens = await openServiceAccountTokens({
      folder: data,
      key: records.accountKey,
      issuer,
      store,
      checkAccount: (account) => accounts.check(account),
    });
    const { allowedHosts, refreshMs } = { ...ISSUER_KEYS, ...options.issuerKeys };
    const oidc = options.oidc && openOidc(options.oidc, { allowedHosts, refreshMs, log });
    const bearers = bearerTokens({ userTokens, accountTokens, ...(oidc && { oidc }) });
    const neighbours = new Neighbours(store);
    await neighbours.prepare();
    const watches = new OpenWatches();
    const limits = new IdentityLimits(options.identityLimits, (limit) => events.limited({ limit }));
    undo.unshift(() => watches.end());
    const revoking = protectingStore(revokingStore(store, accounts), rollouts);
    const life = new ObjectLife({
      store: revoking,
      kindOf,
      keyOf: storeKeyOf,
      isProtected: isInitialNamespace,
      onError: report,
    });
    undo.splice(1, 0, () => life.stop());
    await life.start();
    const app = createApi({
      store: revoking,
      neighbours,
      watches,
      kinds: {
        kinds,
        validate,
        validated: ({ kind: { group, plural }, version }, violations) => {
          const reason = violations.length > 0 ? 'invalid_resource' : undefined;
          events.validated({ group, version, resource: plural, reason });
        },
      },
      isAdmin: admin.check,
      authorizer: authorizer(roles),
      ...bearers,
      version: options.version,
      events,
      limits,
      audit,
      report,
    });
    for (const path of ['/v3/*', ...STREAM_PATHS])
      app.use(path, acceptWorkloadTokens(jwtSvids.authenticate), limitRequests(limits));
    const published = { keys: [...jwtSvids.jwks.keys, accountTokens.jwk] };
    app.route('/', certificateRoutes({ authority, tokens, accounts, joins, jwtSvids, published, events, report }));
    app.route('/', tokenRoutes({ userTokens, accountTokens, store, report }));
    const urls = reachableUrls(server.url, options.advertised ? [] : [...options.dnsNames, ...options.ips]);
    const nonces = records.nonceKey && { nonceKey: records.nonceKey };
    const joining = { authority, accounts, group: groupReader(store), controlPlanes: () => urls, report };
    app.route('/', invitationRoutes({ ...joining, tokens }));
    app.route(
      '/',
      joinRoutes({ ...joining, joins, judges: { ...policies.judges, token: tokenJudge(tokens) }, events }),
    );
    app.route('/', rejoinRoutes({ authority, joins, accounts, graceMs, ...nonces, events, report }));
    app.route('/', leaveRoutes({ joins, report }));
    app.route(
      '/',
      heldJoinRoutes({
        joins,
        proxies: async () => [...discovery.presented(), ...((await peers?.presented()) ?? [])],
        report,
      }),
    );
    app.route('/', authorityRoutes(rotation, report));
    app.route(
      '/',
      backupRoutes({
        store,
        folder: data,
        isOwn: (name) => OWN.test(name),
        trustDomain,
        version: options.version,
        report,
      }),
    );
    app.route(
      '/',
      prometheusRoutes({
        nodes: async () => [...discovery.connectedNodes(), ...((await peers?.nodes()) ?? [])],
        token: scrapeToken,
        report,
      }),
    );
    app.route('/', discoveryApi(discovery, report, peers && { url: server.url, peers }));
    if (records.replicaSecret) {
      const isReplica = checkAgainst(sha256(records.replicaSecret).toString('hex'));
      app.route('/', replicaRoutes({ discovery, isReplica, report }));
    }
    app.route('/', discoveryStreams({ discovery, trustDomain, streams: watches, log, report }));
    app.route('/', rolloutRoutes({ rollouts, report }));
    app.route('/', installRoutes({ folder: options.installFiles, report }));
    app.route('/', proxyConfigRoutes({ view: () => mesh.current(), report }));
    const joinIdOf = (serial?: string) => (serial === undefined ? undefined : joins.ofSerial(serial)?.id);
    app.route(
      '/',
      workloadHealthRoutes({
        view: () => mesh.current(),
        store,
        keyOf: storeKeyOf,
        holdersOf: (spiffeId, node) => discovery.holdersOf(spiffeId, node),
        isSameMachine: (serial, other) => joinIdOf(serial) === joinIdOf(other),
        leave: (node, serial) => registrations.leave(node, serial),
        async settled(isInView, limitMs) {
          const isSettled = await discovery.settled(isInView, limitMs);
          await peers?.settled(mesh.current().revision, limitMs);
          return isSettled;
        },
        events,
        report,
      }),
    );
    mounted = app;
    return {
      url: server.url,
      port: server.port,
      monitoringPort: monitor?.port,
      trustBundle: authority.trustBundle,
      adminToken: admin.created,
      routes: app.routes.map(({ method, path }) => ({ method, path })),
      reload: async () => {
        audit?.reopen();
        await userCertificates?.reload();
      },
      stop: () => unwind(undo),
    };
  } catch (error) {
    await unwind(undo);
    throw error;
  }
}

/** Of the CAs that sign certificates of workloads. */
const meshKeys = ({ roots, intermediates }: Pick<Authority, 'roots' | 'intermediates'>): Uint8Array[] =>
  [...roots, ...intermediates].map(({ publicKey }) => new Uint8Array(publicKey.rawData));

/** What a data folder may hold before its first use: files put there for it, or what a file system begins with. */
const OWN =
  /^((resources|joins|join-evidence)\.sqlite.*|ca|join-tokens|revocations\.json|(admin|scrape)-token\.sha256|jwt-key\.pem|service-account-key\.pem|user-tokens\.json|issuer-keys\.json|audit[^/]*\.log|lost\+found)$/;

/** @param isLog of a file that is kept there as well. Made when absent, closed to others. @throws Error where it holds what is not ours: its mode is not ours to change then */
async function openDataFolder(data: string, isLog: (name: string) => boolean): Promise<void> {
  await makePrivateFolder(data);
  const foreign = (await readdir(data)).find((name) => !OWN.test(name) && !name.startsWith('.') && !isLog(name));
  if (foreign !== undefined)
    throw new Error(`data folder ${data} holds other files ("${foreign}"): name an empty or new folder with --data`);
  await chmod(data, 0o700);
}

const isLoopbackHost = (host: string): boolean => host === 'localhost' || host === '[::1]' || host.startsWith('127.');

function storeKeyOf({ apiVersion, kind: name, metadata }: Resource): ResourceKey | undefined {
  const kind = kindOf(apiVersion, name);
  if (!kind) return undefined;
  const { namespace = '' } = metadata;
  return { group: kind.group, plural: kind.plural, namespace, name: metadata.name };
}

async function unwind(steps: (() => unknown)[]): Promise<void> {
  for (const step of steps.splice(0)) await step();
}
