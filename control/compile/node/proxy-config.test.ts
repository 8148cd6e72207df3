import { describe, expect, it } from 'vitest';
import type { Resource } from '../../../shared/resources/resource.ts';
import { buildView } from '../../mesh/build-view.ts';
import { parseMeshConfig } from '../../mesh/mesh-config.ts';
import { NodeError } from '../scope/proxy.ts';
import { effectiveProxyConfig, PROXY_CONFIG_ANNOTATION, proxyConfigAnswer } from './proxy-config.ts';

const YEAR = (year: number) => `${year}-01-01T00:00:00Z`;
const resource = (
  kind: string,
  name: string,
  namespace: string,
  spec: object,
  metadata: Partial<Resource['metadata']> = {},
): Resource => ({ apiVersion: 'networking.istio.io/v1', kind, metadata: { name, namespace, ...metadata }, spec });
const config = (name: string, namespace: string, spec: object, year = 2024) =>
  resource('ProxyConfig', name, namespace, spec, { creationTimestamp: YEAR(year) });
const selector = (labels: Record<string, string>) => ({ selector: { matchLabels: labels } });
const annotations = (yaml: string) => ({ annotations: { [PROXY_CONFIG_ANNOTATION]: yaml } });

const WORKLOAD = {
  namespace: 'shop',
  labels: { app: 'web', version: 'v1' },
  workloads: [] as { isOwn: boolean; labels: Record<string, string> }[],
  ips: ['10.0.0.1'],
  serviceAccount: 'web',
};
const effective = (resources: Resource[], mesh = '', workload = WORKLOAD) =>
  effectiveProxyConfig(buildView(resources, 1, parseMeshConfig(mesh)), workload);
const concurrency = (resources: Resource[], mesh?: string, workload?: typeof WORKLOAD) =>
  effective(resources, mesh, workload).concurrency;

const MESH = 'defaultConfig: { concurrency: 1, drainDuration: 9s, proxyMetadata: { A: mesh, B: mesh } }';
const root = config('root', 'istio-system', { concurrency: 2 });
const namespaced = config('ns', 'shop', { concurrency: 3 });
const entry = (spec: object, yaml: string, name = 'web') =>
  resource('WorkloadEntry', name, 'shop', spec, annotations(yaml));
const annotated = entry({ address: '10.0.0.1' }, 'concurrency: 4');
const selecting = config('web', 'shop', { concurrency: 5, ...selector({ app: 'web' }) });

describe('ProxyConfig: each place over the ones before it, as Istio has it', () => {
  it.each([
    ['nothing', [], '', undefined],
    ['MeshConfig', [], MESH, 1],
    ['the root namespace over MeshConfig', [root], MESH, 2],
    ['the namespace over the root namespace', [root, namespaced], MESH, 3],
    ['the annotation over the namespace', [root, namespaced, annotated], MESH, 4],
    ['a selector over the annotation', [selecting, annotated, namespaced, root], MESH, 5],
    ['0 is a value', [root, config('ns', 'shop', { concurrency: 0 })], MESH, 0],
    ['null is none', [root, config('ns', 'shop', { concurrency: null })], MESH, 2],
    ['another namespace', [config('ns', 'other', { concurrency: 3 })], '', undefined],
    [
      'another selector',
      [config('x', 'shop', { concurrency: 3, ...selector({ app: 'web', version: 'v2' }) })],
      '',
      undefined,
    ],
    [
      'a selector in the root namespace',
      [config('x', 'istio-system', { concurrency: 3, ...selector({ app: 'web' }) })],
      '',
      undefined,
    ],
    ['a selector without labels', [config('x', 'shop', { concurrency: 3, selector: {} })], '', undefined],
    ['the root namespace MeshConfig names', [config('x', 'mesh', { concurrency: 3 })], 'rootNamespace: mesh', 3],
  ])('%s', (_, resources, mesh, wanted) => expect(concurrency(resources, mesh)).toBe(wanted));

  it('of several in one place the oldest counts, whole', () => {
    const old = config('z', 'shop', { environmentVariables: { A: 'old' } }, 2020);
    const young = config('a', 'shop', { concurrency: 7, environmentVariables: { B: 'young' } }, 2021);
    expect(effective([young, old])).toMatchObject({ proxyMetadata: { A: 'old' } });
    expect(concurrency([young, old])).toBeUndefined();
    const one = config('z', 'shop', { concurrency: 1, ...selector({ app: 'web' }) }, 2020);
    const two = config('a', 'shop', { concurrency: 2, ...selector({ version: 'v1' }) }, 2021);
    expect(concurrency([two, one])).toBe(1);
  });

  it('merges field by field', () => {
    const own = config('ns', 'shop', { environmentVariables: { B: 'ns', C: 'ns' } });
    const merged = effective([own, entry({ address: '10.0.0.1' }, 'terminationDrainDuration: 1m')], MESH);
    expect(merged).toMatchObject({
      concurrency: 1,
      drainDuration: '9s',
      terminationDrainDuration: '1m',
      proxyMetadata: { A: 'mesh', B: 'ns', C: 'ns' },
      statusPort: 15020,
    });
  });

  it('in the root namespace its ProxyConfig counts once', () => {
    const workload = { ...WORKLOAD, namespace: 'istio-system' };
    const gateway = config('gw', 'istio-system', { concurrency: 6, ...selector({ app: 'web' }) });
    expect(concurrency([root, gateway], MESH, workload)).toBe(6);
    expect(concurrency([root], MESH, workload)).toBe(2);
  });
});

describe('annotation proxy.istio.io/config', () => {
  const group = (name: string, spec: object, yaml?: string) =>
    resource('WorkloadGroup', name, 'shop', spec, yaml === undefined ? {} : annotations(yaml));
  const template = { serviceAccount: 'web', labels: { app: 'web' } };

  it('of the WorkloadGroup, of its template, of the WorkloadEntry: the later over the earlier', () => {
    const own = group(
      'web',
      { template, metadata: annotations('concurrency: 8') },
      '{concurrency: 7, drainDuration: 3s}',
    );
    expect(effective([group('web', { template }, 'concurrency: 7')])).toMatchObject({ concurrency: 7 });
    expect(effective([own])).toMatchObject({ concurrency: 8, drainDuration: '3s' });
    expect(effective([own, annotated])).toMatchObject({ concurrency: 4, drainDuration: '3s' });
  });

  it.each([
    ['another account', group('g', { template: { ...template, serviceAccount: 'x' } }, 'concurrency: 7')],
    ['no account', group('g', { template: { labels: { app: 'web' } } }, 'concurrency: 7')],
    ['other labels', group('g', { template: { ...template, labels: { app: 'x' } } }, 'concurrency: 7')],
    ['no labels', group('g', { template: { serviceAccount: 'web' } }, 'concurrency: 7')],
    ['another address', entry({ address: '10.0.0.2' }, 'concurrency: 7')],
    ['an entry of another account', entry({ address: '10.0.0.1', serviceAccount: 'x' }, 'concurrency: 7')],
    ['another namespace', { ...annotated, metadata: { ...annotated.metadata, namespace: 'other' } }],
    ['malformed YAML', entry({ address: '10.0.0.1' }, 'concurrency: [')],
    ['a bad value', entry({ address: '10.0.0.1' }, 'concurrency: many')],
    ['a bad duration beside a good value', entry({ address: '10.0.0.1' }, 'concurrency: 7\ndrainDuration: 1.5s')],
  ])('%s: none', (_, given) => expect(concurrency([given])).toBeUndefined());

  it('on a loopback address that many share, account and labels tell the entries apart', () => {
    const at = (app: string, serviceAccount: string, name: string) =>
      entry({ address: '127.0.0.1', serviceAccount, labels: { app } }, `concurrency: ${name.length}`, name);
    const workload = { ...WORKLOAD, ips: ['127.0.0.1'] };
    const entries = [at('web', 'other', 'a'), at('other', 'web', 'bb'), at('web', 'web', 'ccc')];
    expect(concurrency(entries, '', workload)).toBe(3);
  });
});

describe('the ProxyConfig sent to a proxy', () => {
  const node = (id = 'sidecar~10.0.0.1~web.shop~shop.svc.cluster.local') => ({
    id,
    metadata: { NAMESPACE: 'shop', SERVICE_ACCOUNT: 'web', LABELS: { app: 'web' } },
  });
  const answer = (resources: Resource[], mesh = '') =>
    proxyConfigAnswer(buildView(resources, 1, parseMeshConfig(mesh)), node());

  it('is of its own labels, with durations as protobuf has them', () => {
    expect(answer([])).toEqual({ drainDuration: '45s', terminationDrainDuration: '5s' });
    expect(answer([selecting], 'defaultConfig: { drainDuration: 1m, terminationDrainDuration: 1500ms }')).toEqual({
      concurrency: 5,
      drainDuration: '60s',
      terminationDrainDuration: '1.5s',
    });
    for (const statsCompression of [true, false])
      expect(answer([], `defaultConfig: { statsCompression: ${statsCompression} }`)).toMatchObject({
        statsCompression,
      });
    expect(answer([], 'defaultConfig: { terminationDrainDuration: -3s, concurrency: -1 }')).toEqual({
      drainDuration: '45s',
      terminationDrainDuration: '0s',
    });
  });

  it('needs a valid node id', () => {
    expect(() => proxyConfigAnswer(buildView([], 1), node('web'))).toThrow(NodeError);
  });
});
