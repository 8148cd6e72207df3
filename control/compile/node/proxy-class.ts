/** What of a proxy decides about the resources it shares with others: only the labels that some rule asks for. */
import type { ResourceOfKind } from '../../../shared/resources/registry.ts';
import type { LocalityLbSetting } from '../../../shared/resources/schema/destination-rule.ts';
import { specOf } from '../../mesh/fields.ts';
import type { RouteForm } from '../../mesh/routes/route-form.ts';
import type { MeshSettings, MeshView } from '../../mesh/view.ts';
import { generator, labelsKey } from '../memo.ts';
import { sourceLabelsOf } from '../routes/form-routes.ts';
import type { ProxyView } from '../scope/proxy.ts';

type DestinationRule = ResourceOfKind<'DestinationRule'>;

export interface ProxyClass {
  /** Labels that source labels of routes name, as `labelsKey` writes them. */
  readonly sourceLabels: string;
  /** Labels that selectors of DestinationRules name. */
  readonly ruleLabels: string;
  /** Labels that failover priorities name. */
  readonly failoverLabels: string;
}

export function proxyClass(view: MeshView, { labels }: Pick<ProxyView, 'labels'>): ProxyClass {
  const rules = view.resources('DestinationRule');
  return {
    sourceLabels: labelsKey(labels, sourceKeys({ forms: view.routes })),
    ruleLabels: labelsKey(labels, selectorKeys({ rules })),
    failoverLabels: labelsKey(labels, failoverKeys({ rules, settings: view.settings })),
  };
}

const sourceKeys = generator<{ forms: readonly RouteForm[] }, ReadonlySet<string>>(
  { forms: true },
  ({ forms }) => new Set(forms.flatMap((form) => sourceLabelsOf(form))),
);

const selectorKeys = generator<{ rules: readonly DestinationRule[] }, ReadonlySet<string>>(
  { rules: true },
  ({ rules }) => new Set(rules.flatMap((rule) => Object.keys(specOf(rule).workloadSelector?.matchLabels ?? {}))),
);

const failoverKeys = generator<{ rules: readonly DestinationRule[]; settings: MeshSettings }, ReadonlySet<string>>(
  { rules: true, settings: true },
  ({ rules, settings }) => {
    const keys = new Set<string>(priorities(settings.config.localityLbSetting));
    for (const rule of rules) for (const key of rulePriorities({ rule })) keys.add(key);
    return keys;
  },
);

const rulePriorities = generator<{ rule: DestinationRule }, readonly string[]>({ rule: true }, ({ rule }) => {
  const { trafficPolicy, subsets = [] } = specOf(rule);
  const policies = [trafficPolicy, ...subsets.map((subset) => subset.trafficPolicy)];
  const levels = policies.flatMap((policy) => [policy, ...(policy?.portLevelSettings ?? [])]);
  return levels.flatMap(({ loadBalancer } = {}) => [
    ...priorities(loadBalancer?.localityLbSetting),
    ...priorities(loadBalancer?.zoneAwareLbSetting),
  ]);
});

/** The label keys of `failoverPriority`: `label=value` asks nothing of the caller. */
const priorities = (setting: Pick<LocalityLbSetting, 'failoverPriority'> | undefined): string[] =>
  (setting?.failoverPriority ?? []).filter((entry) => !entry.includes('='));
