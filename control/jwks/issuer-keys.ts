/** The keys of token issuers in a control plane: what the mesh asks for is fetched, and comes to be in its view. */
import type { Resource } from '../../shared/resources/resource.ts';
import { type Finding, findingText } from '../compile/output/finding.ts';
import type { KeySets } from '../mesh/key-sets.ts';
import { resourceId } from '../mesh/mesh-resource.ts';
import type { MeshChange, MeshView } from '../mesh/view.ts';
import type { AllowedHosts } from './allowed-addresses.ts';
import { keyFetcher } from './key-fetcher.ts';
import { KeyResolver } from './key-resolver.ts';
import { KeyStore, loadKeys } from './key-store.ts';
import { KEY_KINDS, type KeyPolicy, keyFindings, wantedSources } from './wanted-sources.ts';

export interface IssuerKeysSettings {
  /** Hosts that may have addresses which are not public. */
  readonly allowedHosts: AllowedHosts;
  /** Milliseconds between fetches of the same keys. */
  readonly refreshMs: number;
  /** PEM certificates of CAs besides the runtime's. */
  readonly extraRoots?: string;
}

/** As istiod (PILOT_JWT_PUB_KEY_REFRESH_INTERVAL). */
export const ISSUER_KEYS: IssuerKeysSettings = { allowedHosts: new Set(), refreshMs: 20 * 60_000 };

/** Until states that changed are reported. */
const REPORT_MS = 100;

interface Mesh {
  current(): MeshView;
  onChange(listener: (view: MeshView, change: MeshChange) => void): () => void;
  setKeySets(keys: KeySets): void;
}

export interface IssuerKeysDependencies {
  /** Where keys are kept between processes. */
  readonly folder: string;
  readonly mesh: Mesh;
  /** Policies that are in force for a part of the proxies. Default: none. */
  readonly candidates?: (kind: KeyPolicy['kind']) => readonly Resource[];
  readonly status: { report(reporter: string, findings: readonly Finding[]): void };
  readonly log: (line: string) => void;
  readonly onError: (error: unknown) => void;
}

/** @returns what ends it */
export async function keepIssuerKeys(
  { allowedHosts, refreshMs, extraRoots }: IssuerKeysSettings,
  { folder, mesh, candidates = () => [], status, log, onError }: IssuerKeysDependencies,
): Promise<() => Promise<void>> {
  const store = new KeyStore(folder, Date.now, onError);
  const policies = (): KeyPolicy[] =>
    KEY_KINDS.flatMap((kind) => [...mesh.current().resources(kind), ...(candidates(kind) as readonly KeyPolicy[])]);
  const logged = new Map<string, ReadonlySet<string>>();
  let reporting: ReturnType<typeof setTimeout> | undefined;
  let published = false;
  const report = (policy: KeyPolicy): void => {
    const findings = keyFindings(policy, (source) => resolver.state(source));
    const id = resourceId(policy);
    const lines = new Set(findings.map(findingText));
    const before = logged.get(id);
    for (const line of lines) if (!before?.has(line)) log(line);
    if (lines.size === 0) logged.delete(id);
    else logged.set(id, lines);
    status.report(`keys of ${id}`, findings);
  };
  const resolver: KeyResolver = new KeyResolver({
    fetcher: keyFetcher({ allowedHosts, ...(extraRoots !== undefined && { extraRoots }) }),
    refreshMs,
    known: await loadKeys(folder, Date.now()),
    random: Math.random,
    onKeys: (keys) => {
      published = true;
      mesh.setKeySets(keys);
      store.save(keys);
    },
    // A policy may have thousands of sources: their states are reported together.
    onState: () => {
      reporting ??= setTimeout(() => {
        reporting = undefined;
        policies().forEach(report);
      }, REPORT_MS);
    },
    onError,
  });
  const want = () => {
    resolver.want(wantedSources(policies()));
    policies().forEach(report);
  };
  want();
  // Keys of an earlier process are in the view before any proxy is served.
  if (published) await nextView(mesh);
  const stopListening = mesh.onChange((_view, { resources, deleted }) => {
    if (!KEY_KINDS.some((kind) => resources.has(kind))) return;
    for (const resource of deleted)
      if ((KEY_KINDS as readonly string[]).includes(resource.kind)) {
        logged.delete(resourceId(resource));
        status.report(`keys of ${resourceId(resource)}`, []);
      }
    want();
  });
  return async () => {
    stopListening();
    clearTimeout(reporting);
    resolver.stop();
    await store.close();
  };
}

function nextView(mesh: Pick<Mesh, 'onChange'>): Promise<void> {
  return new Promise((resolve) => {
    const stop = mesh.onChange(() => {
      stop();
      resolve();
    });
  });
}
