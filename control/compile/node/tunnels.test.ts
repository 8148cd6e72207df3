import { describe, expect, it } from 'vitest';
import { parseDocuments } from '../../../shared/resources/read/parse.ts';
import type { Resource } from '../../../shared/resources/resource.ts';
import type { Cluster, ClusterLoadAssignment } from '../../../shared/xds/cluster.ts';
import type { Node } from '../../../shared/xds/core.ts';
import { buildView } from '../../mesh/build-view.ts';
import { inOneGo } from '../output/compiled-node.ts';
import { findingText } from '../output/finding.ts';
import { compileInSlices, compileWithNotes } from './node.ts';

const viewFromYaml = (yaml: string) =>
  buildView(
    parseDocuments(yaml).documents.map(({ value }) => value as Resource),
    1,
  );
const node = (type: string, ip: string, account: string, metadata: Record<string, string> = {}): Node => ({
  id: `${type}~${ip}~${account}.default~default.svc.cluster.local`,
  metadata: { NAMESPACE: 'default', SERVICE_ACCOUNT: account, INTERCEPTION_MODE: 'NONE', ...metadata },
  userAgentName: 'tulle-node',
});
const entry = (name: string, address: string, account: string, labels: string, network = '') => `---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: { name: ${name}, namespace: default }
spec: { address: ${address}, serviceAccount: ${account}, labels: { ${labels} }, network: "${network}" }
`;
const gatewayService = (labels: string, name = 'east') => `---
apiVersion: v1
kind: Service
metadata: { name: ${name}, namespace: default, labels: { tulle.dev/tunnel-port: "15012", ${labels} } }
spec: { selector: { app: ${name} }, ports: [{ name: tls, port: 15443 }] }
`;
const WEB = `
apiVersion: v1
kind: Service
metadata: { name: web, namespace: default }
spec: { selector: { app: web }, ports: [{ name: http, port: 80, targetPort: 8080 }] }
${entry('web-1', '192.168.0.2', 'web', 'app: web, tulle.dev/behind-nat: "true"')}${entry('web-2', '10.0.0.2', 'web', 'app: web')}`;
const EAST = `${gatewayService('')}${entry('east-1', '10.0.0.11', 'east', 'app: east')}${entry('east-2', '10.0.0.12', 'east', 'app: east')}`;
const SNI = `---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: { name: east, namespace: default }
spec:
  selector: { app: east }
  servers: [{ port: { number: 15443, name: tls, protocol: TLS }, hosts: ["*.local"], tls: { mode: AUTO_PASSTHROUGH } }]
`;
const CALLER = node('sidecar', '10.0.0.3', 'caller');
const GATEWAY = node('router', '10.0.0.11', 'east', { TULLE_TUNNEL_PORT: '15012' });
const OUTBOUND = 'outbound|80||web.default.svc.cluster.local';

const compiled = (yaml: string, of: Node) => compileWithNotes(viewFromYaml(yaml), of).snapshot;
const findings = (yaml: string, of: Node = CALLER) =>
  inOneGo(compileInSlices(viewFromYaml(yaml), of)).errors.map((one) => `${one.reason} ${findingText(one)}`);

function endpointsOf(yaml: string, of: Node, name = OUTBOUND) {
  const { endpoints } = compiled(yaml, of) as { endpoints: ClusterLoadAssignment[] };
  const found = endpoints.find(({ clusterName }) => clusterName === name);
  return (found?.endpoints ?? [])
    .flatMap(({ lbEndpoints = [] }) => lbEndpoints)
    .map(({ endpoint, loadBalancingWeight, metadata }) => ({
      at: `${endpoint?.address?.socketAddress?.address}:${endpoint?.address?.socketAddress?.portValue}`,
      weight: loadBalancingWeight,
      tunnel: metadata?.filterMetadata?.['tulle.tunnel'],
    }));
}

/** Two gateways of a namespace of somebody else, in the network that the workload names. */
const inNamespace = (yaml: string, namespace: string) =>
  yaml.replaceAll('namespace: default', `namespace: ${namespace}`);
const ELSEWHERE = `${gatewayService('topology.istio.io/network: home', 'west')}${entry('west-1', '6.6.6.6', 'west', 'app: west')}`;

describe('a workload behind NAT', () => {
  it('has gateways of its own namespace and of the root namespace, and no others', () => {
    const others = WEB + EAST + inNamespace(ELSEWHERE, 'evil');
    expect(endpointsOf(others, CALLER)).toEqual(endpointsOf(WEB + EAST, CALLER));
    expect(JSON.stringify(compiled(others, node('sidecar', '192.168.0.2', 'web')).clusters)).not.toContain('6.6.6.6');
    const root = WEB + inNamespace(ELSEWHERE, 'istio-system');
    expect(endpointsOf(root, CALLER).map(({ at }) => at)).toContain('6.6.6.6:15443');
  });

  it('is reached by its gateways, which share its weight', () => {
    expect(endpointsOf(WEB + EAST, CALLER)).toEqual([
      { at: '10.0.0.2:8080', weight: 2, tunnel: undefined },
      { at: '10.0.0.11:15443', weight: 1, tunnel: undefined },
      { at: '10.0.0.12:15443', weight: 1, tunnel: undefined },
    ]);
  });

  it('is reached by the gateways of its network, where there are some', () => {
    const far =
      gatewayService('topology.istio.io/network: far', 'west') + entry('west', '10.0.0.21', 'west', 'app: west');
    const yaml = WEB.replace('network: ""', 'network: far') + EAST + far;
    expect(endpointsOf(yaml, CALLER).map(({ at }) => at)).toEqual(['10.0.0.2:8080', '10.0.0.21:15443']);
  });

  it('is an endpoint of its gateway by the tunnels of that workload, for callers and for the gateway itself', () => {
    const tunnel = {
      workload: '/default/192.168.0.2',
      identities: ['spiffe://cluster.local/ns/default/sa/web'],
    };
    for (const name of [OUTBOUND, 'outbound_.80_._.web.default.svc.cluster.local'])
      expect(endpointsOf(WEB + EAST + SNI, GATEWAY, name).find(({ at }) => at === '192.168.0.2:8080')).toMatchObject({
        tunnel,
      });
    // Another gateway between networks has no tunnels.
    const plain = node('router', '10.0.0.11', 'east');
    const sni = endpointsOf(WEB + EAST + SNI, plain, 'outbound_.80_._.web.default.svc.cluster.local');
    expect(sni.map(({ at }) => at)).toEqual(['10.0.0.2:8080']);
  });

  it('keeps tunnels to all gateways, and accepts them alone', () => {
    const { clusters } = compiled(WEB + EAST, node('sidecar', '192.168.0.2', 'web')) as { clusters: Cluster[] };
    const cluster = clusters.find(({ name }) => name === 'tunnel-gateways');
    expect(cluster?.loadAssignment?.endpoints?.[0]?.lbEndpoints).toMatchObject(
      ['10.0.0.11', '10.0.0.12'].map((address) => ({
        endpoint: { address: { socketAddress: { address, portValue: 15012 } } },
      })),
    );
    expect(cluster?.metadata?.filterMetadata?.['tulle.tunnel']).toEqual({
      workloads: ['/default/192.168.0.2'],
      ports: [8080],
    });
    expect(JSON.stringify(cluster?.transportSocket)).toContain('spiffe://cluster.local/ns/default/sa/east');
    expect(compiled(WEB + EAST, CALLER).clusters.some(({ name }) => name === 'tunnel-gateways')).toBe(false);
  });

  it('has its gateways brought up to date when their endpoints change', () => {
    const web = node('sidecar', '192.168.0.2', 'web');
    const before = viewFromYaml(WEB + EAST);
    const after = viewFromYaml(WEB + gatewayService('') + entry('east-1', '10.0.0.11', 'east', 'app: east'));
    expect(inOneGo(compileInSlices(before, web)).next?.(after)).toBeUndefined();
  });

  it('is called by no proxy without a gateway, without mTLS, or in plaintext, and that is reported', () => {
    const rule = (mode: string) => `---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: web, namespace: default }
spec: { host: web.default.svc.cluster.local, trafficPolicy: { tls: { mode: ${mode} } } }
`;
    const disabled = `---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: { name: default, namespace: default }
spec: { mtls: { mode: DISABLE } }
`;
    const unreached = (yaml: string) => {
      expect(endpointsOf(yaml, CALLER).map(({ at }) => at)).toEqual(['10.0.0.2:8080']);
      return findings(yaml);
    };
    const named =
      'EndpointUnreachable Service default/web: WorkloadEntry default/web-1 is behind NAT, and port 8080 is not called';
    expect(unreached(WEB)).toEqual([
      expect.stringContaining(
        `${named}: no Service of its namespace or of the root namespace with the label tulle.dev/tunnel-port`,
      ),
    ]);
    for (const mode of ['DISABLE', 'SIMPLE'])
      expect(unreached(WEB + EAST + rule(mode))).toContainEqual(
        expect.stringContaining(`${named}: a tunnel carries mTLS`),
      );
    expect(unreached(WEB + EAST + disabled)).toContainEqual(
      expect.stringContaining('no PeerAuthentication with mode DISABLE'),
    );
    expect(findings(WEB + EAST + rule('ISTIO_MUTUAL'))).toEqual([]);
  });

  it('says so where a flag has no effect', () => {
    const of = node('sidecar', '10.0.0.2', 'web', { TULLE_BEHIND_NAT: 'true' });
    expect(compileWithNotes(viewFromYaml(WEB + EAST), of).notes).toContainEqual(
      expect.stringContaining('WorkloadEntry default/web-2 must have the label tulle.dev/behind-nat: "true"'),
    );
    const unnamed = node('router', '10.0.0.99', 'east', { TULLE_TUNNEL_PORT: '15012' });
    expect(compileWithNotes(viewFromYaml(WEB + EAST), unnamed).notes).toContainEqual(
      expect.stringContaining('no workload is led to tunnel port 15012'),
    );
  });
});
