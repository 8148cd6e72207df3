import { describe, expect, it } from 'vitest';
import type { Resource } from '../../../shared/resources/resource.ts';
import { parseMeshConfig } from '../../mesh/mesh-config.ts';
import { notCompiled } from './not-compiled.ts';

const resource = (kind: string, spec: object): Resource => ({
  apiVersion: kind === 'Service' ? 'v1' : 'networking.istio.io/v1',
  kind,
  metadata: { name: 'x', namespace: 'default' },
  spec,
});
const http = (match: object) => ({ hosts: ['a'], http: [{ match: [match], route: [{ destination: { host: 'a' } }] }] });
const pathsOf = (kind: string, spec: object) => notCompiled(resource(kind, spec)).map(({ path }) => path);

it('of MeshConfig.defaultConfig, what proxies do not take is named', () => {
  expect(
    parseMeshConfig('defaultConfig: { concurrency: 2, drainDuration: 9s, statusPort: 15020 }').warnings,
  ).toBeUndefined();
  const { warnings } = parseMeshConfig('defaultConfig: { image: { imageType: debug }, meshId: a, concurrency: -1 }');
  expect(warnings).toEqual([
    'data.mesh: defaultConfig.concurrency: must be at least 0: it is ignored',
    'data.mesh: defaultConfig.meshId: has no effect yet: telemetry does not name the mesh',
    'data.mesh: defaultConfig.image: has no effect: the image is chosen where the proxy is deployed',
  ]);
});

describe('what has no effect yet is named', () => {
  it.each([
    ['RequestAuthentication', { jwtRules: [{ issuer: 'a', presence: 'REQUIRED' }] }, []],
    ['WasmPlugin', { url: 'x' }, ['spec.url']],
    ['ProxyConfig', { concurrency: 2, selector: { matchLabels: { app: 'a' } } }, []],
    [
      'ProxyConfig',
      { environmentVariables: { A: 'b' }, image: { imageType: 'debug' }, selector: {} },
      ['spec.image', 'spec.environmentVariables', 'spec.selector'],
    ],
    ['ProxyConfig', { environmentVariables: {} }, []],
    ['VirtualService', http({ headers: { '@request.auth.claims.group': { exact: 'a' } } }), []],
    ['VirtualService', http({ withoutHeaders: { '@request.auth.claims[group]': {} } }), []],
    ['VirtualService', http({ headers: { 'x-claims': { exact: 'a' } } }), []],
    [
      'ServiceEntry',
      {
        ports: [
          { number: 1, name: 'x' },
          { number: 2, name: 'http-x' },
        ],
      },
      [],
    ],
    ['Service', { ports: [{ port: 1 }, { port: 2, appProtocol: 'http' }] }, []],
    [
      'WorkloadGroup',
      { template: {}, probe: { tcpSocket: { host: 'a.example', port: 1 } } },
      ['spec.probe.tcpSocket.host'],
    ],
    ['WorkloadGroup', { template: {} }, []],
    ['DestinationRule', { host: 'a' }, []],
  ])('%s %j', (kind, spec, paths) => expect(pathsOf(kind, spec)).toEqual(paths));

  it('what an annotation proxy.istio.io/config says in vain', () => {
    const group = (own: string, template: string): Resource => ({
      ...resource('WorkloadGroup', { metadata: { annotations: { 'proxy.istio.io/config': template } }, template: {} }),
      metadata: { name: 'x', annotations: { 'proxy.istio.io/config': own } },
    });
    const violations = (of: Resource) => notCompiled(of).map(({ path, message }) => `${path}: ${message}`);
    expect(violations(group('concurrency: 2', 'terminationDrainDuration: 1s'))).toEqual([]);
    expect(violations(group('concurrency: many\nmeshId: a', 'holdApplicationUntilProxyStarts: true\nwhat: 1'))).toEqual(
      [
        expect.stringMatching(
          /^metadata.annotations\["proxy.istio.io\/config"\]: concurrency: .*; the annotation is ignored$/,
        ),
        expect.stringMatching(/^spec.metadata.annotations\["proxy.istio.io\/config"\]: what: unknown field "what"/),
        expect.stringMatching(/holdApplicationUntilProxyStarts: has no effect: give it to the proxy process/),
      ],
    );
    const entry = { ...resource('WorkloadEntry', { address: 'a' }), metadata: group('[', '').metadata };
    expect(violations(entry)).toEqual([expect.stringContaining('the annotation is ignored')]);
  });
});
