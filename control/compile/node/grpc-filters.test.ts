/** Which HTTP filters serve gRPC, and where (buildHTTPConnectionManager of Istio). */
import { expect, it } from 'vitest';
import { parseAllDocuments } from 'yaml';
import type { Resource } from '../../../shared/resources/resource.ts';
import type { HttpConnectionManager } from '../../../shared/xds/http-connection-manager.ts';
import { buildView } from '../../mesh/build-view.ts';
import { compileNode } from './node.ts';

const RESOURCES = parseAllDocuments(`
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: web, namespace: default }
spec:
  hosts: [web.example]
  location: MESH_INTERNAL
  resolution: STATIC
  ports:
    - { number: 8080, name: http, protocol: HTTP }
    - { number: 8081, name: grpc, protocol: GRPC }
    - { number: 8082, name: grpc-web, protocol: GRPC-WEB }
  workloadSelector: { labels: { app: web } }
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: { name: web, namespace: default }
spec: { address: 10.0.0.1, serviceAccount: web, labels: { app: web } }
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: { name: edge, namespace: default }
spec:
  selector: { app: edge }
  servers:
    - { port: { number: 80, name: http, protocol: HTTP }, hosts: ["*"] }
    - { port: { number: 81, name: grpc-web, protocol: GRPC-WEB }, hosts: ["*"] }
`).map((document) => document.toJS() as Resource);

/** Port of a listener with HTTP -> the gRPC filters of its managers, and the filter behind them. */
function filtersOf(type: string, ip: string, metadata: object = {}): Record<string, string[]> {
  const { listeners } = compileNode(buildView(RESOURCES, 1), {
    id: `${type}~${ip}~x.default~default.svc.cluster.local`,
    metadata: { NAMESPACE: 'default', SERVICE_ACCOUNT: 'web', INTERCEPTION_MODE: 'NONE', ...metadata },
  });
  const found: Record<string, string[]> = {};
  for (const listener of listeners) {
    JSON.stringify(listener, (_, value: unknown) => {
      const manager = value as HttpConnectionManager | null;
      if (!(manager as { '@type'?: string } | null)?.['@type']?.endsWith('.HttpConnectionManager')) return value;
      const names = (manager!.httpFilters ?? []).map(({ name }) => name.replace('envoy.filters.http.', ''));
      found[listener.address!.socketAddress!.portValue!] = names.slice(0, names.indexOf('fault') + 1);
      return value;
    });
  }
  return found;
}

const PLAIN = ['istio.metadata_exchange', 'grpc_stats', 'fault'];
const WEB = ['istio.metadata_exchange', 'grpc_web', 'grpc_stats', 'fault'];

it('messages are counted everywhere, and gRPC-Web is served where a port has that protocol', () => {
  expect(filtersOf('sidecar', '10.0.0.1')).toEqual({ 8080: PLAIN, 8081: PLAIN, 8082: WEB });
  expect(filtersOf('sidecar', '10.0.0.2')).toEqual({ 8080: PLAIN, 8081: PLAIN, 8082: WEB });
  expect(filtersOf('router', '10.0.0.8', { LABELS: { app: 'edge' } })).toEqual({ 80: PLAIN, 81: WEB });
});
