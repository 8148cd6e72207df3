/** Which Telemetry resources hold for a proxy, and in which order (Telemetries.applicableTelemetries of Istio). */
import type { ResourceOfKind } from '../../../shared/resources/registry.ts';
import { namespaceOf, specOf } from '../../mesh/fields.ts';
import { generator, sharedList } from '../memo.ts';
import { type LocalWorkload, selectsProxy } from '../scope/workloads.ts';
import { judgeTargets } from '../security/authorization-targets.ts';

export type Telemetry = ResourceOfKind<'Telemetry'>;

/** Traffic that comes to the workload, or that leaves it; gateways are clients, as in Istio. */
export type Side = 'server' | 'client';
export const SIDES: readonly Side[] = ['server', 'client'];

/** A proxy, as far as it decides which resources hold for it. */
export interface TelemetryTarget {
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly workloads: readonly LocalWorkload[];
}

/** The resources in force, those later that count more: the root namespace's, the namespace's, those of the workload. */
export interface Applicable {
  readonly list: readonly Telemetry[];
  /** Those among them that a Service is the target of: they are for traffic to it. */
  readonly ofService: readonly Telemetry[];
  /** Targets that cannot be decided: the resource is left out. */
  readonly undecided: readonly Undecided[];
}

export interface Undecided {
  readonly resource: Telemetry;
  readonly why: string;
}

/** Of the resources without a selector in one namespace the oldest counts. */
export function applicableTo(all: readonly Telemetry[], proxy: TelemetryTarget, rootNamespace: string): Applicable {
  const places = byNamespace({ all });
  const own = places.get(proxy.namespace);
  const wide = [places.get(rootNamespace)?.wide, proxy.namespace === rootNamespace ? undefined : own?.wide];
  const undecided: Undecided[] = [];
  const ofService: Telemetry[] = [];
  const scoped = (own?.scoped ?? []).filter((resource) => {
    const how = attaches(resource, proxy, rootNamespace);
    if (how === 'service') ofService.push(resource);
    if (typeof how === 'object') undecided.push({ resource, why: how.unsupported });
    return how === 'workload' || how === 'service';
  });
  const list = [...wide.flatMap((one) => one ?? []), ...scoped];
  return { list: sharedList(list), ofService: sharedList(ofService), undecided };
}

interface Place {
  /** The oldest one without selector and targets. */
  readonly wide: Telemetry | undefined;
  readonly scoped: readonly Telemetry[];
}

const byNamespace = generator<{ all: readonly Telemetry[] }, ReadonlyMap<string, Place>>({ all: true }, ({ all }) => {
  const places = new Map<string, { wide: Telemetry | undefined; scoped: Telemetry[] }>();
  for (const resource of all) {
    const namespace = namespaceOf(resource);
    let place = places.get(namespace);
    if (!place) places.set(namespace, (place = { wide: undefined, scoped: [] }));
    if (isScoped(resource)) place.scoped.push(resource);
    else place.wide ??= resource;
  }
  return places;
});

function isScoped(resource: Telemetry): boolean {
  return Object.keys(selectorOf(resource)).length > 0 || targetsOf(resource).length > 0;
}

const selectorOf = (resource: Telemetry) => specOf(resource).selector?.matchLabels ?? {};

function targetsOf(resource: Telemetry) {
  const { targetRef, targetRefs = [] } = specOf(resource);
  return targetRef ? [targetRef, ...targetRefs] : targetRefs;
}

function attaches(
  resource: Telemetry,
  { namespace, labels, workloads }: TelemetryTarget,
  rootNamespace: string,
): 'workload' | 'service' | 'no' | { unsupported: string } {
  const targets = targetsOf(resource);
  if (targets.length === 0) return selectsProxy(selectorOf(resource), { labels, workloads }) ? 'workload' : 'no';
  const verdicts = workloads.map((workload) => {
    const serves = workload.services.map(({ resource: { kind, metadata } }) => ({
      kind,
      name: metadata.name,
      namespace: metadata.namespace ?? 'default',
    }));
    return judgeTargets(targets, resource, { namespace, labels: workload.labels, serves }, rootNamespace);
  });
  if (verdicts.includes('applies'))
    return targets.every(({ kind }) => kind === 'Service' || kind === 'ServiceEntry') ? 'service' : 'workload';
  return verdicts.find((verdict) => typeof verdict === 'object') ?? 'no';
}

/** Whether an entry's `match.mode` takes in a side. */
export function includesSide(match: { mode?: string | undefined } | undefined, side: Side): boolean {
  const { mode = 'CLIENT_AND_SERVER' } = match ?? {};
  return mode === 'CLIENT_AND_SERVER' || mode === (side === 'server' ? 'SERVER' : 'CLIENT');
}
