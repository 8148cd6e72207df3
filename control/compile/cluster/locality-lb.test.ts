import { describe, expect, it } from 'vitest';
import { DEFAULT_SETTINGS } from '../../mesh/mesh-config.ts';
import type { MeshEndpoint } from '../../mesh/view.ts';
import {
  applyLocalityLb,
  type LocalityLb,
  localitySetting,
  type PlacedLocality,
  weighsLocalities,
} from './locality-lb.ts';

const NAMES = ['r1/z1/s1', 'r1/z1/s2', 'r1/z2/s1', 'r2/z1/s1', 'r3/z1/s1'];

const SOURCE: MeshEndpoint = {
  address: '10.0.0.1',
  port: 80,
  servicePort: 80,
  labels: {},
  locality: '',
  weight: 1,
  serviceAccount: '',
  namespace: 'default',
  network: '',
  workloadName: 'a',
  workloadKind: 'WorkloadEntry',
  healthy: true,
  mtls: true,
};

function placed(names: readonly string[] = NAMES, labels: readonly Record<string, string>[][] = []): PlacedLocality[] {
  return names.map((name, i) => {
    const endpoints = (labels[i] ?? [{}, {}]).map((own, j) => ({
      endpoint: {
        endpoint: { address: { socketAddress: { address: `10.0.${i}.${j}`, portValue: 80 } } },
        loadBalancingWeight: 1,
      },
      labels: own,
      source: SOURCE,
      secured: true,
    }));
    const lbEndpoints = endpoints.map(({ endpoint }) => endpoint);
    return { name, endpoints, message: { lbEndpoints, loadBalancingWeight: lbEndpoints.length } };
  });
}

const nothing: LocalityLb = { distribute: [], failover: [], failoverPriority: [] };
const caller = { locality: 'r1/z1/s1', labels: {} };
const weights = (setting: Partial<LocalityLb>, names?: readonly string[]) =>
  applyLocalityLb(placed(names), { ...nothing, ...setting }, caller, true).map((one) =>
    one.lbEndpoints?.length === 0 ? 'none' : one.loadBalancingWeight,
  );
const priorities = (setting: Partial<LocalityLb>, failover = true) =>
  applyLocalityLb(placed(), { ...nothing, ...setting }, caller, failover).map((one) => one.priority ?? 0);

describe('distribute', () => {
  it('shares by percent; localities not named get nothing', () => {
    const to = { 'r1/z1/*': 80, 'r1/z2/*': 20 };
    expect(weights({ distribute: [{ from: 'r1/z1/*', to }] })).toEqual([40, 40, 20, 'none', 'none']);
  });

  it('takes the first rule that covers the caller', () => {
    const rules: LocalityLb['distribute'] = [
      { from: 'r9/*', to: { 'r2/*': 100 } },
      { from: 'r1/*', to: { 'r1/z1/s1': 70, 'r1/*': 30 } },
      { from: '*', to: { '*': 100 } },
    ];
    expect(weights({ distribute: rules })).toEqual([70, 15, 15, 'none', 'none']);
  });

  it('changes nothing for a caller elsewhere', () => {
    expect(weights({ distribute: [{ from: 'r7/*', to: { '*': 100 } }] })).toEqual([2, 2, 2, 2, 2]);
  });

  it('rounds up', () => {
    expect(weights({ distribute: [{ from: '*', to: { 'r1/*': 100 } }] })).toEqual([34, 34, 34, 'none', 'none']);
  });
});

describe('failover', () => {
  it('prefers near localities, with outlier detection only', () => {
    expect(priorities({})).toEqual([0, 1, 2, 3, 3]);
    expect(priorities({}, false)).toEqual([0, 0, 0, 0, 0]);
  });

  it('prefers the configured region', () => {
    expect(priorities({ failover: [{ from: 'r1', to: 'r3' }] })).toEqual([0, 1, 2, 4, 3]);
    expect(priorities({ failover: [{ from: 'r2', to: 'r3' }] })).toEqual([0, 1, 2, 3, 3]);
  });

  it('compares labels in their order and splits localities', () => {
    const labels: Record<string, string>[][] = [[{ a: '1', b: '1' }, { a: '1' }, {}], [{ a: '1', b: '1' }]];
    const out = applyLocalityLb(
      placed(['r1/z1/s1', 'r2/z1/s1'], labels),
      { ...nothing, failoverPriority: ['a', 'b'] },
      { locality: 'r1/z1/s1', labels: { a: '1', b: '1' } },
      true,
    );
    expect(out.map((one) => [one.priority ?? 0, one.lbEndpoints?.length, one.loadBalancingWeight])).toEqual([
      [0, 1, 1],
      [1, 1, 1],
      [2, 1, 1],
      [0, 1, 1],
    ]);
  });

  it('compares with a value that is written down', () => {
    const labels = [[{ v: '1' }], [{ v: '2' }]];
    const setting = { ...nothing, failoverPriority: ['v=2'] };
    const out = applyLocalityLb(placed(['r1', 'r2'], labels), setting, caller, true);
    expect(out.map((one) => one.priority ?? 0)).toEqual([1, 0]);
  });

  it('orders by region within the same labels when both are set', () => {
    const labels = [[{ v: '1' }], [{ v: '1' }], [{ v: '1' }]];
    const setting = { ...nothing, failoverPriority: ['v'], failover: [{ from: 'r1', to: 'r3' }] };
    const out = applyLocalityLb(
      placed(['r1/z1/s1', 'r2/z1/s1', 'r3/z1/s1'], labels),
      setting,
      { locality: 'r1/z1/s1', labels: { v: '1' } },
      true,
    );
    expect(out.map((one) => one.priority ?? 0)).toEqual([0, 2, 1]);
  });
});

describe('the setting in force', () => {
  const own = (value: object) => ({ loadBalancer: { localityLbSetting: value } });
  const mesh = (value: object) => ({
    ...DEFAULT_SETTINGS,
    config: { ...DEFAULT_SETTINGS.config, localityLbSetting: value },
  });

  it('is the destination’s, else the mesh’s', () => {
    const settings = mesh({ enabled: true, failoverPriority: ['mesh'] });
    expect(localitySetting(settings, own({ failoverPriority: ['own'] }))?.failoverPriority).toEqual(['own']);
    expect(localitySetting(settings, {})?.failoverPriority).toEqual(['mesh']);
  });

  it('can be switched off', () => {
    expect(localitySetting(mesh({ enabled: false }), {})).toBeUndefined();
    expect(localitySetting(DEFAULT_SETTINGS, own({ enabled: false }))).toBeUndefined();
    expect(weighsLocalities(DEFAULT_SETTINGS, own({ enabled: false }))).toBe(false);
  });

  it('makes weights count where there are some', () => {
    expect(weighsLocalities(DEFAULT_SETTINGS, {})).toBe(false);
    expect(weighsLocalities(DEFAULT_SETTINGS, own({ failoverPriority: ['a'] }))).toBe(true);
    expect(weighsLocalities(mesh({ distribute: [{ from: '*', to: { '*': 100 } }] }), {})).toBe(true);
  });
});
