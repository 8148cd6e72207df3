import { describe, expect, it } from 'vitest';
import { parseAllDocuments } from 'yaml';
import type { Resource } from '../../../shared/resources/resource.ts';
import { SCHEMAS } from '../../../shared/xds/discovery.ts';
import { buildView } from '../../mesh/build-view.ts';
import { compileWithNotes } from '../node/node.ts';

const SERVICES = `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: web, namespace: shop }
spec:
  hosts: [web.shop.svc.cluster.local]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{ number: 8080, name: http, protocol: HTTP }, { number: 9000, name: tcp, protocol: TCP }]
  endpoints: [{ address: 10.0.0.2, labels: { app: web }, serviceAccount: web }]
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: { name: edge, namespace: shop }
spec:
  selector: { app: edge }
  servers: [{ port: { number: 80, name: http, protocol: HTTP }, hosts: ['*'] }]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: web, namespace: shop }
spec: { hosts: ['*'], gateways: [edge], http: [{ route: [{ destination: { host: web.shop.svc.cluster.local } }] }] }
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: some, namespace: shop }
spec: { rules: [{ from: [{ source: { namespaces: [shop] } }] }] }
`;

interface FilterText {
  readonly name: string;
  readonly typedConfig: { readonly '@type': string; readonly config?: object; readonly httpFilters?: FilterText[] };
}

/** The filters of each listener chain, `http` in the place of the manager's own: `[wasm of connections, rbac, manager]`. */
function compiled(kind: 'sidecar' | 'router', plugins: string) {
  const text = `${SERVICES}\n---\n${plugins}`;
  const resources = parseAllDocuments(text).flatMap((document) => (document.toJS() as Resource | null) ?? []);
  const id = `${kind}~${kind === 'sidecar' ? '10.0.0.2' : '10.0.0.9'}~x.shop~shop.svc.cluster.local`;
  const LABELS = { app: kind === 'sidecar' ? 'web' : 'edge', 'gateway.networking.k8s.io/gateway-name': 'edge' };
  const metadata = { NAMESPACE: 'shop', LABELS, INTERCEPTION_MODE: 'NONE', HTTP_PROXY_PORT: '15080' };
  const { snapshot, notes } = compileWithNotes(buildView(resources, 1), { id, metadata });
  for (const listener of snapshot.listeners ?? []) expect(SCHEMAS.listeners.safeParse(listener).error).toBeUndefined();
  const filtersOf = (name: string): FilterText[][] =>
    (snapshot.listeners ?? [])
      .filter((listener) => listener.name === name)
      .flatMap(({ filterChains = [], defaultFilterChain }) => [
        ...filterChains,
        ...(defaultFilterChain ? [defaultFilterChain] : []),
      ])
      .map(({ filters }) => filters as unknown as FilterText[]);
  const http = (name: string) =>
    filtersOf(name).map((filters) => filters.at(-1)!.typedConfig.httpFilters!.map((filter) => filter.name));
  return { filtersOf, http, notes, text: JSON.stringify(snapshot) };
}

const plugin = (name: string, spec: string, metadata = '') => `
apiVersion: extensions.istio.io/v1alpha1
kind: WasmPlugin
metadata: { name: ${name}, namespace: shop${metadata} }
spec: { url: "oci://example.com/${name}:1", ${spec} }
---
`;
const extension = (name: string, spec: string, wasm = '') => `
apiVersion: extensions.istio.io/v1alpha1
kind: TrafficExtension
metadata: { name: ${name}, namespace: shop }
spec: { ${spec}${spec && ','} wasm: { url: "file:///opt/${name}.wasm", ${wasm} } }
---
`;
const wasmOf = (filters: readonly string[]) =>
  filters.filter((name) => name.includes('.istio.io/')).map((name) => name.slice(name.lastIndexOf('.') + 1));

const INBOUND = '10.0.0.2_8080';
const INBOUND_TCP = '10.0.0.2_9000';
const PROXY = '127.0.0.1_15080';

describe('plugins of both kinds', () => {
  it('run in their phase, by priority, those without one last, in front of what Istio puts behind the phase', () => {
    const all =
      plugin('last', '') +
      plugin('stats', 'phase: STATS') +
      plugin('authz', 'phase: AUTHZ, priority: -5') +
      plugin('authz-first', 'phase: AUTHZ, priority: 10') +
      extension('authz-between', 'phase: AUTHZ, priority: 3') +
      extension('authn', 'phase: AUTHN');
    const [filters] = compiled('sidecar', all).http(INBOUND);
    expect(wasmOf(filters!)).toEqual(['authn', 'authz-first', 'authz-between', 'authz', 'stats', 'last']);
    const at = (part: string) => filters!.findIndex((name) => name.includes(part));
    expect(at('shop.authz')).toBeLessThan(at('http.rbac'));
    expect(at('http.rbac')).toBeLessThan(at('shop.stats'));
    expect(at('shop.last')).toBeLessThan(at('http.fault'));
    expect(filters).toContain('extenstions.istio.io/wasmplugin/shop.stats');
    expect(filters).toContain('extensions.istio.io/trafficextension/shop.authn');
  });

  it('are chosen by selector, target and namespace; those of the root namespace follow equal ones', () => {
    const root = plugin('all', '').replace('namespace: shop', 'namespace: istio-system');
    const all =
      root +
      plugin('mine', 'selector: { matchLabels: { app: web } }') +
      plugin('other', 'selector: { matchLabels: { app: other } }') +
      plugin('foreign', '').replace('namespace: shop', 'namespace: pay') +
      plugin('gateway', 'targetRef: { group: gateway.networking.k8s.io, kind: Gateway, name: edge }') +
      plugin('served', 'targetRefs: [{ group: networking.istio.io, kind: ServiceEntry, name: web }]');
    expect(wasmOf(compiled('sidecar', all).http(INBOUND)[0]!)).toEqual(['mine', 'served', 'all']);
    expect(wasmOf(compiled('router', all).http('0.0.0.0_80')[0]!)).toEqual(['gateway', 'all']);
  });

  it('a target that cannot be judged is noted', () => {
    const { notes, http } = compiled('sidecar', plugin('far', 'targetRefs: [{ group: "", kind: Thing, name: x }]'));
    expect(notes).toContainEqual(expect.stringMatching(/^WasmPlugin shop\/far: .*not supported: it is left out$/));
    expect(wasmOf(http(INBOUND)[0]!)).toEqual([]);
  });

  it.each([
    ['match: [{ mode: SERVER }]', true, false, false],
    ['match: [{ mode: CLIENT }]', false, true, true],
    ['match: [{ mode: CLIENT_AND_SERVER }]', true, true, true],
    ['match: [{ mode: SERVER, ports: [{ number: 9000 }] }]', false, false, false],
    ['match: [{ ports: [{ number: 8080 }] }]', true, true, false],
    ['match: [{ mode: CLIENT, ports: [{ number: 80 }] }, { mode: SERVER }]', true, false, true],
  ])('%s: inbound %s, outbound %s, at a gateway %s', (match, inbound, outbound, gateway) => {
    const sidecar = compiled('sidecar', plugin('p', match));
    expect(wasmOf(sidecar.http(INBOUND)[0]!).length > 0).toBe(inbound);
    expect(wasmOf(sidecar.http(PROXY)[0]!).length > 0).toBe(outbound);
    expect(wasmOf(compiled('router', plugin('p', match)).http('0.0.0.0_80')[0]!).length > 0).toBe(gateway);
  });

  it('of type NETWORK see connections: TCP ones around their authorization, HTTP ones in front of the manager', () => {
    const all = extension('early', 'phase: AUTHZ', 'type: NETWORK') + extension('late', '', 'type: NETWORK');
    const { filtersOf } = compiled('sidecar', all);
    const names = (filters: readonly FilterText[]) => filters.map(({ name }) => name.replace(/^.*[.]/, ''));
    expect(names(filtersOf(INBOUND_TCP)[0]!)).toEqual(['early', 'rbac', 'late', 'tcp_proxy']);
    expect(names(filtersOf(INBOUND)[0]!)).toEqual(['early', 'late', 'http_connection_manager']);
  });

  it('are delivered whole, as an Envoy runs them', () => {
    const more =
      'pluginName: root, pluginConfig: { level: 3 }, sha256: "", failStrategy: FAIL_OPEN, ' +
      'vmConfig: { env: [{ name: A, value: b }, { name: HOME, valueFrom: HOST }] }';
    const [chain] = compiled('sidecar', plugin('p', more)).filtersOf(INBOUND);
    const filter = chain!.at(-1)!.typedConfig.httpFilters!.find(({ name }) => name.includes('wasmplugin'))!;
    expect(filter.typedConfig).toEqual({
      '@type': 'type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm',
      config: {
        name: 'shop.p',
        rootId: 'root',
        configuration: { '@type': 'type.googleapis.com/google.protobuf.StringValue', value: '{"level":3}' },
        failurePolicy: 'FAIL_OPEN',
        vmConfig: {
          runtime: 'envoy.wasm.runtime.v8',
          code: {
            remote: { httpUri: { uri: 'oci://example.com/p:1', cluster: '_', timeout: '30s' }, sha256: 'nil' },
          },
          environmentVariables: { hostEnvKeys: ['HOME'], keyValues: { A: 'b' } },
        },
      },
    });
    const local = compiled('sidecar', extension('p', '')).text;
    expect(local).toContain('"local":{"filename":"/opt/p.wasm"}');
    expect(local).toContain('"failurePolicy":"FAIL_CLOSED"');
  });

  it('a Lua script is no plugin yet', () => {
    const lua = extension('p', '').replace(/wasm: \{.*\} \}/, 'lua: { inlineCode: "x" } }');
    expect(compiled('sidecar', lua).text).not.toContain('trafficextension');
  });
});
