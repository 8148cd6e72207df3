/** A stock Envoy in the place of the proxy's own data plane: the agent joins, renews and follows discovery; Envoy runs traffic. */
import { resolve } from 'node:path';
import type { LogLevel } from '../../shared/log/log.ts';
import type { Node } from '../../shared/xds/core.ts';
import type { Snapshot } from '../../shared/xds/discovery.ts';
import type { Secret } from '../../shared/xds/tls.ts';
import type { ListenerState } from '../admin/admin.ts';
import type { ClusterState } from '../admin/clusters.ts';
import type { ConfigChanges } from '../control-client/config-target.ts';
import type { IdentityManager } from '../control-client/identity.ts';
import type { ProxyPart } from '../mesh-proxy.ts';
import { EnvoyAdmin } from './envoy-admin.ts';
import { envoyBootstrap } from './envoy-bootstrap.ts';
import { EnvoyConfig } from './envoy-config.ts';
import { EnvoyFiles } from './envoy-files.ts';
import { EnvoyProcess, endLeftover } from './envoy-process.ts';

export interface EnvoyPartOptions {
  readonly program: string;
  /** Further arguments of Envoy. */
  readonly args: readonly string[];
  /** The agent's data folder. */
  readonly data: string;
  /** 0: chosen by the kernel. */
  readonly adminPort: number;
  readonly node: Node;
  readonly identity: Pick<IdentityManager, 'current' | 'subscribe'>;
  readonly log: (line: string, level?: LogLevel) => void;
  /** Envoy's own log. */
  readonly writeError: (line: string) => void;
}

const UP_MS = 30_000;
const DRAIN_ASK_MS = 50;
const REASON = / config update rejected: (.*)$/s;
const MOST_REASONS = 100;

export function envoyPart(options: EnvoyPartOptions): ProxyPart {
  const { identity, log, node } = options;
  const files = new EnvoyFiles(resolve(options.data, 'envoy'));
  let admin: EnvoyAdmin | undefined;
  let failure: Error | undefined;
  let reasons: string[] = [];
  let isDraining = false;
  let isUp = false;
  let listeners: readonly ListenerState[] = [];
  let envoy: EnvoyProcess | undefined;

  const config = new EnvoyConfig({
    files,
    admin: async () => {
      for (const until = Date.now() + UP_MS; ; await new Promise((done) => setTimeout(done, 20))) {
        if (failure) throw failure;
        if (admin && (await admin.isLive())) return admin;
        if (Date.now() > until) throw new Error(`Envoy is not up after ${UP_MS / 1000} s`);
      }
    },
    takeReasons: () => {
      const taken = reasons;
      reasons = [];
      return taken;
    },
  });

  const begin = async () => {
    await endLeftover(files.folder, files.bootstrapFile);
    await files.begin();
    const bootstrap = await files.writeBootstrap(envoyBootstrap(node, files.folder, options.adminPort));
    const { program, args } = options;
    envoy = new EnvoyProcess(
      { program, args, bootstrap, folder: files.folder },
      {
        log,
        line: (line) => {
          options.writeError(line);
          const reason = REASON.exec(line)?.[1];
          if (reason !== undefined && reasons.length < MOST_REASONS) reasons.push(reason);
        },
        up: (address) => {
          admin = new EnvoyAdmin(address);
          isUp = true;
          log(`envoy: up; its admin interface is at ${address}`, 'info');
        },
        down: () => {
          isUp = false;
        },
      },
    );
    await envoy.start();
  };
  const started = begin().catch((error: Error) => {
    failure = error;
  });
  const applied = async (changes: ConfigChanges) => {
    await started;
    const refused = await config.apply(changes);
    listeners = (await admin?.listeners()) ?? [];
    return refused;
  };
  const follow = () => {
    const upsert = ownSecrets(identity.current);
    if (upsert.length > 0)
      void applied({ secrets: { upsert, remove: [] } }).catch((error: Error) =>
        log(`envoy: ${error.message}`, 'error'),
      );
  };
  follow();
  identity.subscribe(follow);

  const drain = async (ms: number) => {
    isDraining = true;
    if (!admin) return;
    await admin.post('/healthcheck/fail').catch(ignoreGone);
    await admin.post('/drain_listeners?graceful&skip_exit').catch(ignoreGone);
    for (const until = Date.now() + ms; Date.now() < until; await new Promise((done) => setTimeout(done, DRAIN_ASK_MS)))
      if ((await openConnections(admin)) === 0) return;
  };
  return {
    apply: applied,
    listeners: () => listeners,
    clusters: (): readonly ClusterState[] => [],
    config: () => snapshotOf(config),
    drain,
    drainListeners: ({ graceful, inboundOnly }) => {
      const query = [graceful && 'graceful', inboundOnly && 'inboundonly'].filter(Boolean).join('&');
      void admin?.post(`/drain_listeners?${query}`).catch(ignoreGone);
    },
    certificates: () => {
      const held = identity.current;
      if (!held) return [];
      return [
        { name: 'default', chain: held.keyPair.certificateChain, roots: undefined },
        { name: 'ROOTCA', chain: undefined, roots: held.trustBundle },
      ];
    },
    setHealthy: (healthy) => void admin?.post(`/healthcheck/${healthy ? 'ok' : 'fail'}`).catch(ignoreGone),
    revokePeers: (serials) => {
      if (serials.length > 0)
        log(
          `${serials.length} certificates are revoked: Envoy checks none of them, connections of their workloads stay`,
        );
    },
    // Without an Envoy nothing is served: not ready, as while it drains.
    draining: () => isDraining || !isUp,
    refuseConnectionsTo: () => {},
    exposition: async () => (await admin?.get('/stats/prometheus')) ?? '',
    statistics: async () => [...((await admin?.numbers()) ?? [])],
    onWanted: () => {},
    takeUsed: () => ({ virtualHosts: [], clusters: [] }),
    close: async () => {
      await started;
      await envoy?.stop();
    },
  };
}

/** Envoy may have ended: then there is nothing to drain. */
function ignoreGone(): void {}

async function openConnections(admin: EnvoyAdmin): Promise<number> {
  const active = await admin.numbers('^listener\\..*downstream_cx_active$').catch(() => new Map<string, number>());
  return [...active].reduce((sum, [name, count]) => sum + (name.includes('.admin.') ? 0 : count), 0);
}

function ownSecrets(held: IdentityManager['current']): Secret[] {
  if (!held) return [];
  const { certificateChain, privateKey } = held.keyPair;
  return [
    {
      name: 'default',
      tlsCertificate: {
        certificateChain: { inlineString: certificateChain },
        privateKey: { inlineString: privateKey },
      },
    },
    { name: 'ROOTCA', validationContext: { trustedCa: { inlineString: held.trustBundle } } },
  ];
}

function snapshotOf({ held }: EnvoyConfig): Partial<Snapshot> {
  const { secrets: _, ...shown } = held;
  return Object.fromEntries(Object.entries(shown).map(([type, resources]) => [type, [...resources.values()]]));
}
