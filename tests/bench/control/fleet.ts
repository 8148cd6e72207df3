/** Starts the process of the simulated proxies and asks it. */
import { join } from 'node:path';
import { openAuthority } from '../../../control/ca/authority.ts';
import { runtimeCommand } from '../../../control/cli/runtimes.mjs';
import { createCsr } from '../../../shared/identity/csr.ts';
import { exportPrivateKey, generateKeys } from '../../../shared/identity/keys.ts';
import { ROOT } from '../../kit/environment.ts';
import { DrivenProgram } from '../../kit/process.ts';
import { hostOf, type Layout, namespaceOf, PORT, proxyAddress } from './mesh.ts';
import type { ProxyReport, ProxySettings } from './proxies.child.ts';
import type { ProxyIdentity } from './simulated-proxy.ts';

const TRUST_DOMAIN = 'cluster.local';
const SERVICE_ACCOUNT = 'bench';
const ZONES = ['zone-a', 'zone-b', 'zone-c'];

export interface FleetOptions {
  readonly url: string;
  readonly caFolder: string;
  readonly services: number;
  readonly proxies: number;
  readonly layout: Layout;
  readonly gzip: boolean;
  /** How many services each proxy uses, and fetches on demand; undefined: it is sent all. */
  readonly uses?: number | undefined;
}

export class Fleet {
  private readonly proxies: DrivenProgram;

  private constructor(proxies: DrivenProgram) {
    this.proxies = proxies;
  }

  /** Issues an identity for each namespace and starts all proxies at once. */
  static async start(options: FleetOptions): Promise<Fleet> {
    const settings = await settingsOf(options);
    const command = runtimeCommand('node', join(ROOT, 'tests/bench/control/proxies.child.ts'));
    const proxies = new DrivenProgram('simulated proxies', command);
    proxies.tell(JSON.stringify(settings));
    return new Fleet(proxies);
  }

  /** ACKs, bytes and failures are counted from here. */
  mark(): void {
    this.proxies.tell('mark');
  }

  async report(): Promise<ProxyReport> {
    return JSON.parse(await this.proxies.ask('report')) as ProxyReport;
  }

  async stop(): Promise<void> {
    await this.proxies.stop('SIGKILL');
  }
}

/** The services that a proxy uses: all are used alike. */
export function usedBy(proxy: number, services: number, uses: number): number[] {
  return Array.from({ length: Math.min(uses, services) }, (_, i) => (proxy * uses + i) % services);
}

async function settingsOf(options: FleetOptions): Promise<ProxySettings> {
  const { url, caFolder, services, proxies, layout, gzip, uses } = options;
  const authority = await openAuthority({ folder: caFolder, trustDomain: TRUST_DOMAIN });
  const indexOf = new Map<string, number>();
  const identities: ProxyIdentity[] = [];
  const list: { identity: number; node: { id: string }; uses?: string[] }[] = [];
  const virtualHost = (service: number) => `${PORT}/${hostOf(service, layout)}:${PORT}`;
  for (let proxy = 0; proxy < proxies; proxy++) {
    const namespace = namespaceOf(proxy % services, layout);
    let identity = indexOf.get(namespace);
    if (identity === undefined) {
      identity = identities.push(await identityOf(authority, namespace)) - 1;
      indexOf.set(namespace, identity);
    }
    const names = uses === undefined ? undefined : usedBy(proxy, services, uses).map(virtualHost);
    list.push({ identity, node: nodeOf(proxy, namespace), ...(names && { uses: names }) });
  }
  return { url, ca: authority.trustBundle, gzip, proxies: list, identities };
}

async function identityOf(authority: Awaited<ReturnType<typeof openAuthority>>, namespace: string) {
  const keys = await generateKeys();
  const spiffeId = `spiffe://${TRUST_DOMAIN}/ns/${namespace}/sa/${SERVICE_ACCOUNT}`;
  const { certificateChain } = await authority.issue(await createCsr(keys, spiffeId), spiffeId);
  return { cert: certificateChain, key: await exportPrivateKey(keys.privateKey) };
}

/** A sidecar that serves nothing, as `tulle run` describes itself. */
function nodeOf(proxy: number, namespace: string) {
  const ip = proxyAddress(proxy);
  const name = `proxy-${proxy}`;
  return {
    id: `sidecar~${ip}~${name}.${namespace}~${namespace}.svc.cluster.local`,
    cluster: `${name}.${namespace}`,
    metadata: {
      NAMESPACE: namespace,
      SERVICE_ACCOUNT,
      NAME: name,
      WORKLOAD_NAME: name,
      LABELS: { app: name },
      INSTANCE_IPS: ip,
      INTERCEPTION_MODE: 'NONE',
      ISTIO_VERSION: '1.28.0',
      OUTBOUND_BIND: '127.0.0.2',
    },
    locality: { region: 'region', zone: ZONES[proxy % ZONES.length]! },
    userAgentName: 'tulle-node',
    userAgentVersion: 'bench',
  };
}
