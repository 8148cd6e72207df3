/** What a ProxyConfig decides about the HTTP connection managers of a proxy, wherever it is written. */
import { describe, expect, it } from 'vitest';
import { parseAllDocuments } from 'yaml';
import type { Resource } from '../../../shared/resources/resource.ts';
import type { Node } from '../../../shared/xds/core.ts';
import type { HttpConnectionManager } from '../../../shared/xds/http-connection-manager.ts';
import { buildView } from '../../mesh/build-view.ts';
import { parseMeshConfig } from '../../mesh/mesh-config.ts';
import { inOneGo } from '../output/compiled-node.ts';
import { compileInSlices, compileWithNotes } from './node.ts';

const read = (yaml: string) => parseAllDocuments(yaml).map((document) => document.toJS() as Resource);
const RESOURCES = read(`
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: web, namespace: default }
spec:
  hosts: [web.example]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{ number: 8080, name: http, protocol: HTTP }]
  workloadSelector: { labels: { app: web } }
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: { name: edge, namespace: default }
spec:
  selector: { app: edge }
  servers: [{ port: { number: 80, name: http, protocol: HTTP }, hosts: ["*"] }]
`);
const entry = (annotation = '') =>
  read(`
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: { name: web, namespace: default${annotation && `, annotations: { proxy.istio.io/config: '${annotation}' }`} }
spec: { address: 10.0.0.1, serviceAccount: web, labels: { app: web } }
`);
const proxyConfig = (variables: string) =>
  read(`
apiVersion: networking.istio.io/v1beta1
kind: ProxyConfig
metadata: { name: old, namespace: default }
spec: { environmentVariables: ${variables} }
`);
const node = (type: string, ip: string, metadata: object = {}): Node => ({
  id: `${type}~${ip}~x.default~default.svc.cluster.local`,
  metadata: { NAMESPACE: 'default', SERVICE_ACCOUNT: 'web', INTERCEPTION_MODE: 'NONE', ...metadata },
  userAgentName: 'tulle-node',
});
const sidecar = node('sidecar', '10.0.0.1');
const gateway = node('router', '10.0.0.8', { LABELS: { app: 'edge' } });

function managers(listeners: unknown): HttpConnectionManager[] {
  const found: HttpConnectionManager[] = [];
  JSON.stringify(listeners, (_, value: unknown) => {
    const type = (value as { '@type'?: string } | null)?.['@type'] ?? '';
    if (type.endsWith('.HttpConnectionManager')) found.push(value as HttpConnectionManager);
    return value;
  });
  return found;
}
const compiled = (proxy: Node, mesh = '', more: Resource[] = entry()) => {
  const view = buildView([...RESOURCES, ...more], 1, parseMeshConfig(mesh));
  return managers(compileWithNotes(view, proxy).snapshot.listeners);
};
const OLD = { acceptHttp10: true };

describe('HTTP/1.0', () => {
  const http10 = (...given: Parameters<typeof compiled>) => {
    const found = compiled(...given).map(({ httpProtocolOptions }) => httpProtocolOptions);
    expect(found.length).toBeGreaterThan(0);
    return found;
  };
  const variables = '{ ISTIO_META_HTTP10: "1" }';

  it('is not served where no setting says so', () => {
    for (const proxy of [sidecar, gateway]) expect(http10(proxy).every((one) => one === undefined)).toBe(true);
    expect(http10(sidecar, 'defaultConfig: { proxyMetadata: { ISTIO_META_HTTP10: "0" } }')).not.toContainEqual(OLD);
  });
  it.each<[string, Parameters<typeof compiled>]>([
    ['MeshConfig', [sidecar, `defaultConfig: { proxyMetadata: ${variables} }`]],
    ['MeshConfig, of a gateway', [gateway, `defaultConfig: { proxyMetadata: ${variables} }`]],
    ['a ProxyConfig', [sidecar, '', [...entry(), ...proxyConfig(variables)]]],
    ['an annotation', [sidecar, '', entry('proxyMetadata: { ISTIO_META_HTTP10: "true" }')]],
    ['the metadata of the node', [node('sidecar', '10.0.0.1', { HTTP10: '1' })]],
  ])('is served in every manager where %s says so', (_, given) =>
    expect(http10(...given).map((one) => one?.acceptHttp10)).not.toContain(undefined),
  );
  it('an annotation of another workload changes nothing', () => {
    const other = entry('proxyMetadata: { ISTIO_META_HTTP10: "1" }').map((one) => ({
      ...one,
      metadata: { ...one.metadata, name: 'other' },
      spec: { address: '10.0.0.9', labels: { app: 'other' } },
    }));
    expect(http10(sidecar, '', [...entry(), ...other])).not.toContainEqual(OLD);
  });
  it('a ProxyConfig that comes reaches a proxy that is connected', () => {
    const before = buildView([...RESOURCES, ...entry()], 1);
    const after = buildView([...RESOURCES, ...entry(), ...proxyConfig(variables)], 2);
    expect(inOneGo(compileInSlices(before, sidecar)).next?.(after)).toBeUndefined();
  });
});

it('upgrades that clients offer in passing are ignored where the mesh says so', () => {
  const mesh = 'defaultConfig: { proxyMetadata: { TULLE_IGNORED_UPGRADES: "TLS/, h2c," } }';
  const ignoreHttp11Upgrade = ['TLS/', 'h2c'].map((prefix) => ({ prefix, ignoreCase: true }));
  for (const proxy of [sidecar, gateway]) {
    const found = compiled(proxy, mesh).map(({ httpProtocolOptions }) => httpProtocolOptions);
    expect(found.length).toBeGreaterThan(0);
    for (const options of found) expect(options).toEqual({ ignoreHttp11Upgrade });
  }
});

describe('TULLE_DENIAL_HEADER', () => {
  const replies = (name: string) =>
    compiled(sidecar, `defaultConfig: { proxyMetadata: { TULLE_DENIAL_HEADER: "${name}" } }`).map(
      ({ localReplyConfig }) => localReplyConfig,
    );
  it('adds the response code details to answers 403 that a proxy makes', () => {
    const header = { key: 'x-denied-by', value: '%RESPONSE_CODE_DETAILS%' };
    for (const config of replies('X-Denied-By'))
      expect(config?.mappers?.[0]?.headersToAdd?.[0]).toMatchObject({ header });
  });
  it.each(['', 'set-cookie', 'x bad', 'x-'])('%s names no header that it could be', (name) => {
    for (const config of replies(name)) expect(config).toBeUndefined();
  });
});

describe('gatewayTopology', () => {
  const topology = (value: string) => `defaultConfig: { gatewayTopology: ${value} }`;
  it.each([
    ['{}', undefined, 'SANITIZE_SET'],
    ['{ numTrustedProxies: 2 }', 2, 'SANITIZE_SET'],
    ['{ forwardClientCertDetails: UNDEFINED }', undefined, 'SANITIZE_SET'],
    ['{ numTrustedProxies: 1, forwardClientCertDetails: ALWAYS_FORWARD_ONLY }', 1, 'ALWAYS_FORWARD_ONLY'],
  ])('%s at a gateway', (value, xffNumTrustedHops, forwardClientCertDetails) => {
    const wanted = { useRemoteAddress: true, forwardClientCertDetails };
    for (const manager of compiled(gateway, topology(value))) {
      expect(manager).toMatchObject(wanted);
      expect(manager.xffNumTrustedHops).toBe(xffNumTrustedHops);
    }
  });
  it('is not for sidecars', () => {
    const given = '{ numTrustedProxies: 2, forwardClientCertDetails: SANITIZE }';
    expect(compiled(sidecar, topology(given))).toEqual(compiled(sidecar));
  });
});
