import { expect, it } from 'vitest';
import type { Resource } from '../../shared/resources/resource.ts';
import { parseMeshConfig } from './mesh-config.ts';
import { MeshIndex } from './mesh-index.ts';

const namespace = (name: string, labels: Record<string, string> = {}): Resource => ({
  apiVersion: 'v1',
  kind: 'Namespace',
  metadata: { name, labels },
});
const entry = (at: string): Resource => ({
  apiVersion: 'networking.istio.io/v1',
  kind: 'ServiceEntry',
  metadata: { name: 'web', namespace: at },
  spec: { hosts: [`web.${at}`], ports: [{ number: 80, name: 'http', protocol: 'HTTP' }], resolution: 'DNS' },
});
const mesh = (yaml: string): Resource => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name: 'istio', namespace: 'istio-system' },
  ...{ data: { mesh: yaml } },
});

function follow() {
  const index = new MeshIndex();
  const hosts = (added: Resource[], removed: Resource[] = []) => {
    const { view } = index.apply({ removed, added }, 1);
    const kinds = view.resources('ServiceEntry').map((resource) => resource.metadata.namespace);
    expect(view.services.map(({ namespace: at }) => at).sort()).toEqual([...kinds].sort());
    return view.services.map(({ hostname }) => hostname).sort();
  };
  return hosts;
}

it('of namespaces that no selector picks the mesh knows nothing; the root namespace is always seen', () => {
  const hosts = follow();
  const [none, inMesh] = [mesh('{}'), mesh('discoverySelectors: [{ matchLabels: { mesh: "on" } }]')];
  const shop = [namespace('shop', { mesh: 'on' }), entry('shop')];
  const pay = [namespace('pay'), entry('pay')];
  const root = entry('istio-system');
  expect(hosts([none, ...shop, ...pay, root])).toEqual(['web.istio-system', 'web.pay', 'web.shop']);
  expect(hosts([inMesh], [none])).toEqual(['web.istio-system', 'web.shop']);
  const other = entry('other');
  expect(hosts([other])).toEqual(['web.istio-system', 'web.shop']);
  const labelled = namespace('pay', { mesh: 'on' });
  expect(hosts([labelled], [pay[0]!])).toEqual(['web.istio-system', 'web.pay', 'web.shop']);
  expect(hosts([], [shop[1]!])).toEqual(['web.istio-system', 'web.pay']);
  expect(hosts([], [labelled])).toEqual(['web.istio-system']);
  expect(hosts([none], [inMesh])).toEqual(['web.istio-system', 'web.other', 'web.pay']);
});

it.each([
  ['{ matchExpressions: [{ key: kubernetes.io/metadata.name, operator: NotIn, values: [b] }] }', ['web.a']],
  ['{ matchExpressions: [{ key: kubernetes.io/metadata.name, operator: In, values: [b] }] }', ['web.b']],
  ['{ matchExpressions: [{ key: team, operator: Exists }] }', ['web.a']],
  ['{ matchExpressions: [{ key: team, operator: DoesNotExist }] }', ['web.b']],
  ['{ matchLabels: { team: x }, matchExpressions: [{ key: team, operator: Exists }] }', []],
  ['{}', ['web.a', 'web.b']],
])('%s', (selector, expected) => {
  const hosts = follow();
  const resources = [namespace('a', { team: 'one' }), namespace('b'), entry('a'), entry('b')];
  expect(hosts([mesh(`discoverySelectors: [${selector}]`), ...resources])).toEqual(expected);
  expect(parseMeshConfig(`discoverySelectors: [${selector}]`).warnings).toBeUndefined();
});

it('a mesh configuration that cannot be read changes nothing', () => {
  const hosts = follow();
  const good = mesh('discoverySelectors: [{ matchLabels: { mesh: "on" } }]');
  expect(hosts([good, entry('a')])).toEqual([]);
  expect(() => hosts([mesh('discoverySelectors: 7')], [good])).toThrow('discoverySelectors');
  const labelled = namespace('a', { mesh: 'on' });
  expect(hosts([labelled])).toEqual(['web.a']);
});
