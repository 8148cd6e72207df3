/** Rollouts in a control plane: what was kept of them, the proxies that they go to, and where their state is reported. */
import type { Log } from '../../shared/log/log.ts';
import type { Resource } from '../../shared/resources/resource.ts';
import type { Node } from '../../shared/xds/core.ts';
import { PROXY_TYPES } from '../compile/node/proxy-types.ts';
import type { CompileNode } from '../compile/output/compiled-node.ts';
import { proxyOf } from '../compile/scope/proxy.ts';
import type { DiscoveryService } from '../discovery/service.ts';
import { labelsOf, text } from '../mesh/fields.ts';
import { resourceId } from '../mesh/mesh-resource.ts';
import type { MeshView } from '../mesh/view.ts';
import { conditionsOf } from '../status/conditions.ts';
import type { ResourceStore } from '../store/store.ts';
import { conditionOf, policyCondition, ROLLED_OUT, type StateReporter } from './conditions.ts';
import { policyName } from './policies.ts';
import { RolloutRecords } from './records.ts';
import { Refusals } from './refusals.ts';
import { type ConnectedProxy, type RolloutEnvironment, Rollouts } from './rollouts.ts';

/** A proxy that lost its control plane tries again after 15 s at the latest. */
const PROXIES_RETURN_MS = 20_000;

export interface OpenRolloutsOptions {
  readonly store: ResourceStore;
  /** Whether proxies of an earlier process may come back. */
  readonly hadProxies: boolean;
  /** Other control planes may use the store: no change is rolled out in steps, and policies say so. */
  readonly isShared: boolean;
  readonly log: Log;
  readonly onError: (error: unknown) => void;
}

export interface OpenRollouts {
  readonly rollouts: Rollouts;
  /** For discovery. */
  partialChanges(compile: CompileNode): Refusals;
  /** Takes each stored resource at the start: a condition that an earlier process left behind is brought up to date. */
  seen(resource: Resource): void;
  /** Begins, once the control plane has a mesh and proxies. */
  attach(
    mesh: RolloutEnvironment['mesh'],
    discovery: Pick<DiscoveryService, 'connectedProxies'>,
    status: StateReporter,
  ): void;
}

/** @throws StoreError when the store cannot be read */
export async function openRollouts({
  store,
  hadProxies,
  isShared,
  log,
  onError,
}: OpenRolloutsOptions): Promise<OpenRollouts> {
  const records = new RolloutRecords(store, onError);
  let status: StateReporter | undefined;
  const leftOver = new Map<string, Resource>();
  const waiting: Resource[] = [];
  const ignored = (policy: Resource) => {
    log(`RolloutPolicy ${policyName(policy)}: ${IGNORED.message}`, 'warn');
    if (status) status.state(policy, IGNORED);
    else waiting.push(policy);
  };
  const rollouts: Rollouts = new Rollouts({
    records,
    recorded: isShared ? new Map() : await records.load(),
    ...(isShared && { onIgnored: ignored }),
    log,
    settleMs: hadProxies ? PROXIES_RETURN_MS : 0,
    onMoved: (rollout, isOver) => {
      if (rollout.revision) status?.state(rollout.revision, conditionOf(rollout, isOver));
      reportPolicy(rollout.policy);
    },
  });
  const reportPolicy = (name: string) => {
    const policy = rollouts.policy(name);
    const own = rollouts.all().filter((each) => each.policy === name);
    if (policy) status?.state(policy, policyCondition(own));
  };
  return {
    rollouts,
    partialChanges: (compile) => new Refusals(rollouts, compile),
    seen(resource) {
      const found = conditionsOf(resource).find(({ type }) => type === ROLLED_OUT);
      if (found && found['status'] !== 'True') leftOver.set(resourceId(resource), resource);
    },
    attach(mesh, discovery, reporter) {
      status = reporter;
      for (const policy of waiting.splice(0)) status.state(policy, IGNORED);
      rollouts.attach({ mesh, labelsOf: nodeLabels, proxies: () => proxiesOf(mesh, discovery) });
      const going = new Set(rollouts.all().map(({ id }) => id));
      for (const [id, resource] of leftOver) {
        if (going.has(id)) continue;
        if (isShared) continue;
        if (resource.kind === 'RolloutPolicy') reportPolicy(policyName(resource));
        else status.state(resource, { ...DONE, type: ROLLED_OUT });
      }
      leftOver.clear();
    },
  };
}

const IGNORED = {
  type: ROLLED_OUT,
  status: 'False',
  reason: 'NotSupported',
  message: 'with resources in etcd changes are not rolled out in steps: they are in force at once',
} as const;

const DONE = { status: 'True', reason: 'Completed', message: 'in force for every proxy' } as const;

function* proxiesOf(
  mesh: RolloutEnvironment['mesh'],
  discovery: Pick<DiscoveryService, 'connectedProxies'>,
): Generator<ConnectedProxy> {
  const view = mesh.current();
  for (const { node, isUpToDate, uses } of discovery.connectedProxies()) {
    let labels: Readonly<Record<string, string>> | undefined;
    yield {
      ...{ id: node.id, node, isUpToDate, uses, namespace: namespaceIn(node) },
      // Worked out for those that a label is asked of.
      get labels() {
        labels ??= nodeLabels(view, node);
        return labels;
      },
    };
  }
}

/** Of the workload, as policies select it by. */
function nodeLabels(view: MeshView, node: Node): Readonly<Record<string, string>> {
  try {
    return proxyOf(view, node, PROXY_TYPES).labels;
  } catch {
    // It is sent nothing, whatever its labels.
    return labelsOf(node.metadata?.['LABELS']);
  }
}

function namespaceIn({ id, metadata }: Node): string {
  const name = id.split('~')[2] ?? '';
  return text(metadata?.['NAMESPACE']) ?? name.slice(name.lastIndexOf('.') + 1);
}
