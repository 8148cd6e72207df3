/**
 * Locality load balancing (istio.io: "Locality Load Balancing", MeshConfig.localityLbSetting and DestinationRule's):
 * `distribute` sets the weights of localities, `failover` and `failoverPriority` their priorities.
 */
import type { TrafficPolicy } from '../../../shared/resources/schema/destination-rule.ts';
import type { LbEndpoint, LocalityLbEndpoints } from '../../../shared/xds/cluster.ts';
import type { MeshEndpoint, MeshSettings } from '../../mesh/view.ts';

export interface LocalityLb {
  readonly distribute: readonly { from: string; to: Readonly<Record<string, number>> }[];
  readonly failover: readonly { from: string; to: string }[];
  readonly failoverPriority: readonly string[];
  /** Regions come before labels, and zones are left to the proxy (zone-aware routing). */
  readonly regionsOnly?: boolean;
}

/** Where the caller is. */
export interface LocalityCaller {
  /** `region/zone/subzone`, '' unknown. */
  readonly locality: string;
  readonly labels: Readonly<Record<string, string>>;
}

/** An endpoint and what failoverPriority compares. */
export interface PlacedEndpoint {
  readonly endpoint: LbEndpoint;
  readonly labels: Readonly<Record<string, string>>;
  readonly source: MeshEndpoint;
  /** mTLS is spoken to it. */
  readonly secured: boolean;
}

export interface PlacedLocality {
  readonly name: string;
  readonly message: LocalityLbEndpoints;
  readonly endpoints: readonly PlacedEndpoint[];
}

/** The setting in force for a destination: its own, else the mesh's; undefined: switched off. */
export function localitySetting(settings: MeshSettings, policy: TrafficPolicy): LocalityLb | undefined {
  const chosen = policy.loadBalancer?.localityLbSetting ?? settings.config.localityLbSetting ?? {};
  const { enabled, distribute = [], failover = [], failoverPriority = [] } = chosen;
  if (enabled === false) return undefined;
  return {
    distribute: distribute.map(({ from = '', to = {} }) => ({ from, to })),
    failover: failover.map(({ from = '', to = '' }) => ({ from, to })),
    failoverPriority,
  };
}

/** Whether locality weights apply: Envoy uses them only with a locality-weighted balancer config. */
export function weighsLocalities(settings: MeshSettings, policy: TrafficPolicy): boolean {
  const setting = localitySetting(settings, policy);
  if (!setting) return false;
  return policy.loadBalancer?.localityLbSetting !== undefined || setting.distribute.length > 0;
}

/** Whether what a caller sees depends on where it is. */
export function dependsOnCaller(setting: LocalityLb, failover: boolean): boolean {
  return failover || setting.distribute.length > 0;
}

/**
 * The localities with weights and priorities as this caller must see them: copies, for the localities are shared.
 * @param failover only with outlier detection: without it Envoy would never leave a priority
 */
export function applyLocalityLb(
  shared: readonly PlacedLocality[],
  setting: LocalityLb,
  caller: LocalityCaller,
  failover: boolean,
): LocalityLbEndpoints[] {
  const localities = shared.map((one) => ({ ...one, message: { ...one.message } }));
  if (setting.distribute.length > 0) {
    distribute(localities, setting.distribute, caller.locality);
    return localities.map(({ message }) => message);
  }
  if (!failover) return localities.map(({ message }) => message);
  const byLabels = setting.failoverPriority.length > 0;
  let placed = localities.map(({ name, message }) => ({ name, message }));
  if (byLabels) placed = localities.flatMap((one) => splitByLabels(one, setting.failoverPriority, caller));
  if (setting.regionsOnly) {
    const labels = setting.failoverPriority.length + 1;
    for (const { name, message } of placed)
      message.priority = regionTier(caller.locality, name, setting.failover) * labels + (message.priority ?? 0);
    closeUp(placed.map(({ message }) => message));
    return placed.map(({ message }) => message);
  }
  // With labels, regions count only where a failover between them is written down.
  if (!byLabels || setting.failover.length > 0) {
    for (const { name, message } of placed)
      message.priority = (message.priority ?? 0) * 5 + distance(caller.locality, name, setting.failover);
  }
  closeUp(placed.map(({ message }) => message));
  return placed.map(({ message }) => message);
}

function distribute(localities: readonly PlacedLocality[], rules: LocalityLb['distribute'], own: string): void {
  const rule = rules.find(({ from }) => covers(from, own));
  if (!rule) return;
  const left = new Set(localities);
  // Exact places before wildcards: each locality is given its weight once.
  const targets = Object.entries(rule.to).sort(([a], [b]) => breadth(a) - breadth(b) || (a < b ? -1 : 1));
  for (const [pattern, percent] of targets) {
    const matched = [...left].filter(({ name }) => covers(pattern, name));
    const total = matched.reduce((sum, { message }) => sum + (message.loadBalancingWeight ?? 1), 0);
    for (const one of matched) {
      left.delete(one);
      const weight = ((one.message.loadBalancingWeight ?? 1) * percent) / total;
      if (weight > 0) one.message.loadBalancingWeight = Math.ceil(weight);
    }
  }
  for (const { message } of left) message.lbEndpoints = [];
}

/** How much a pattern leaves open. */
function breadth(pattern: string): number {
  const [region = '', zone = '', subZone = ''] = pattern.split('/');
  return (region === '*' ? 4 : 0) + (zone === '' || zone === '*' ? 2 : 0) + (subZone === '' || subZone === '*' ? 1 : 0);
}

/** `region/zone/*`, `region/*`, `*` … as Istio matches localities. */
function covers(pattern: string, locality: string): boolean {
  const wanted = pattern.split('/');
  const parts = locality.split('/');
  return [0, 1, 2].every((i) => {
    const want = wanted[i] ?? '';
    return want === '*' || (i > 0 && want === '') || want === (parts[i] ?? '');
  });
}

/** 0: the same subzone, 1: zone, 2: region, 3: elsewhere, 4: elsewhere and not where the region fails over to. */
function distance(own: string, other: string, failover: LocalityLb['failover']): number {
  const mine = own.split('/');
  const parts = other.split('/');
  let same = 0;
  while (same < 3 && (mine[same] ?? '') === (parts[same] ?? '')) same += 1;
  if (same > 0) return 3 - same;
  const rule = failover.find(({ from }) => from === (mine[0] ?? ''));
  return rule && rule.to !== parts[0] ? 4 : 3;
}

/** 0: the caller's region, 1: another, 2: another that it does not fail over to. */
function regionTier(own: string, other: string, failover: LocalityLb['failover']): number {
  const [mine = '', its = ''] = [own.split('/')[0], other.split('/')[0]];
  if (mine === its) return 0;
  const rule = failover.find(({ from }) => from === mine);
  return rule && rule.to !== its ? 2 : 1;
}

/** One group per number of labels that agree, counted from the first. */
function splitByLabels(
  { name, message, endpoints }: PlacedLocality,
  priorities: readonly string[],
  caller: LocalityCaller,
): { name: string; message: LocalityLbEndpoints }[] {
  const groups = new Map<number, LbEndpoint[]>();
  for (const { endpoint, labels } of endpoints) {
    const agreeing = priorities.findIndex((entry) => !agrees(entry, caller.labels, labels));
    const priority = agreeing < 0 ? 0 : priorities.length - agreeing;
    const group = groups.get(priority);
    if (group) group.push(endpoint);
    else groups.set(priority, [endpoint]);
  }
  return [...groups.entries()]
    .sort(([a], [b]) => a - b)
    .map(([priority, lbEndpoints]) => ({
      name,
      message: {
        ...message,
        lbEndpoints,
        loadBalancingWeight: lbEndpoints.reduce((sum, one) => sum + (one.loadBalancingWeight ?? 1), 0),
        priority,
      },
    }));
}

/** `label` compares with the caller's value, `label=value` with that one. */
function agrees(entry: string, caller: LocalityCaller['labels'], endpoint: PlacedEndpoint['labels']): boolean {
  const equals = entry.indexOf('=');
  if (equals < 0) return (caller[entry] ?? '') === (endpoint[entry] ?? '');
  return (endpoint[entry.slice(0, equals)] ?? '') === entry.slice(equals + 1);
}

/** Envoy's priorities begin at 0 and leave no number out. */
function closeUp(messages: readonly LocalityLbEndpoints[]): void {
  const levels = [...new Set(messages.map((one) => one.priority ?? 0))].sort((a, b) => a - b);
  for (const one of messages) {
    const priority = levels.indexOf(one.priority ?? 0);
    if (priority > 0) one.priority = priority;
    else delete one.priority;
  }
}

/** The labels that failoverPriority sees: a locality is one, too. */
export function withLocalityLabels(
  labels: Readonly<Record<string, string>>,
  locality: string,
  network: string,
  cluster: string,
): Record<string, string> {
  const [region = '', zone = '', subZone = ''] = locality.split('/');
  return {
    ...(region && { 'topology.kubernetes.io/region': region }),
    ...(zone && { 'topology.kubernetes.io/zone': zone }),
    ...(subZone && { 'topology.istio.io/subzone': subZone }),
    ...(network && { 'topology.istio.io/network': network }),
    ...(cluster && { 'topology.istio.io/cluster': cluster }),
    ...labels,
  };
}
