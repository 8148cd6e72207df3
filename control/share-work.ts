/** Control planes that share a store: who leads, what each says of itself, and what is to be done when one of them is gone. */
import { createHash } from 'node:crypto';
import type { ResourceOfKind } from '../shared/resources/registry.ts';
import type { RotationDriver } from './ca/rotation/root-rotation.ts';
import type { MeshView } from './mesh/view.ts';
import type { AddressAllocator } from './status/address-allocator.ts';
import type { SharedFindings } from './status/shared-findings.ts';
import type { StatusWriter } from './status/status-writer.ts';
import type { OpenStore } from './store/open-store.ts';
import type { Registrations } from './workloads/registrations.ts';
import type { VanishedProxies } from './workloads/vanished-proxies.ts';

/** Roots that all connected proxies trust are announced within this. */
const TRUST_MS = 500;

export interface SharedWork {
  readonly opened: OpenStore;
  readonly urls: { readonly url: string; readonly peerUrl: string };
  readonly view: () => Pick<MeshView, 'resources'>;
  readonly status: Pick<StatusWriter, 'lead'>;
  readonly addresses: Pick<AddressAllocator, 'lead' | 'follower'>;
  readonly registrations: Pick<Registrations, 'takeOver'>;
  readonly vanished: Pick<VanishedProxies, 'expect'>;
  readonly rotation: Pick<RotationDriver, 'follow' | 'show'>;
  readonly findings: Pick<SharedFindings, 'publishAgain'> | undefined;
  readonly trustBundle: () => string;
  /** Ids of connected proxies that do not trust the present roots yet. */
  readonly behind: () => readonly string[];
  readonly report: (error: unknown) => void;
}

/** @returns ends it */
export function shareWork(work: SharedWork): () => void {
  const { leadership, replicas } = work.opened;
  leadership.onChange((leads) => {
    (leads ? beginToLead(work) : endToLead(work)).catch(work.report);
  });
  work.opened.onRecordsEnded(() => work.findings?.publishAgain());
  let there = new Set<string>();
  replicas.onChange(() => {
    const now = new Set(replicas.list().map(({ id }) => id));
    const isGone = [...there].some((id) => !now.has(id));
    const isNew = [...now].some((id) => !there.has(id));
    there = now;
    if (isGone || isNew) work.rotation.follow();
    if (!isGone) return;
    work.registrations.takeOver().catch(work.report);
    work.vanished.expect(work.view().resources('WorkloadEntry'));
  });
  const announce = () => {
    const isTrusted = work.rotation.show().phase === 'announced' && work.behind().length === 0;
    replicas.announce({ ...work.urls, ...(isTrusted && { trusted: digestOf(work.trustBundle()) }) });
  };
  announce();
  const timer = setInterval(announce, TRUST_MS);
  timer.unref();
  return () => clearInterval(timer);
}

async function beginToLead({ opened, status, addresses }: SharedWork): Promise<void> {
  // From the store: the view may be behind what the leader before this one has written.
  const kind = { group: 'networking.istio.io', plural: 'serviceentries' };
  const { items } = await opened.store.list({ kind });
  if (opened.leadership.isLeader) addresses.lead(items as ResourceOfKind<'ServiceEntry'>[]);
  await status.lead(opened.leadership.isLeader);
}

async function endToLead({ status, addresses }: SharedWork): Promise<void> {
  addresses.follower();
  await status.lead(false);
}

/** The other control planes whose connected proxies may not trust these roots yet, by what they are reached by. */
export function replicasBehind({ replicas }: Pick<OpenStore, 'replicas'>, trustBundle: string): string[] {
  const trusted = digestOf(trustBundle);
  return replicas
    .list()
    .filter((replica) => replica.id !== replicas.id && replica.trusted !== trusted)
    .map(({ peerUrl }) => `proxies of control plane ${peerUrl}`);
}

const digestOf = (text: string): string => createHash('sha256').update(text).digest('base64url');
