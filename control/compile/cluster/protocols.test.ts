/** What is spoken to the ports of services, and the ALPN protocols that clients offer for it. */
import { describe, expect, it } from 'vitest';
import { parseAllDocuments } from 'yaml';
import type { Resource } from '../../../shared/resources/resource.ts';
import type { UpstreamTlsContext } from '../../../shared/xds/tls.ts';
import { buildView } from '../../mesh/build-view.ts';
import { parseMeshConfig } from '../../mesh/mesh-config.ts';
import { compileNode } from '../node/node.ts';
import { protocolOfCluster } from './traffic-policy.ts';

const SERVICE = `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: web, namespace: default }
spec:
  hosts: [web.test]
  location: MESH_INTERNAL
  resolution: STATIC
  ports:
  - { number: 81, name: a, protocol: HTTP }
  - { number: 82, name: b, protocol: HTTP2 }
  - { number: 83, name: c, protocol: GRPC }
  - { number: 84, name: d, protocol: GRPC-WEB }
  - { number: 85, name: e, protocol: TCP }
  - { number: 86, name: f, protocol: "" }
  endpoints: [{ address: 10.0.0.9, serviceAccount: web, labels: { security.istio.io/tlsMode: istio } }]
`;
const rule = (policy: string) => `---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: web, namespace: default }
spec: { host: web.test, trafficPolicy: ${policy} }
`;
const pool = (http: string) => rule(`{ connectionPool: { http: ${http} } }`);

interface Given {
  readonly yaml?: string;
  readonly mesh?: string;
  readonly type?: string;
  readonly agent?: string;
}

function clusters({ yaml = '', mesh = '', type = 'sidecar', agent = 'tulle-node' }: Given) {
  const resources = parseAllDocuments(SERVICE + yaml).map((one) => one.toJS() as Resource);
  const view = buildView(resources, 1, parseMeshConfig(mesh));
  const node = { id: `${type}~10.0.0.1~x.default~default.svc.cluster.local`, userAgentName: agent };
  return [...compileNode(view, node).clusters].filter(({ name }) => name.startsWith('outbound|'));
}

const protocols = (given: Given) => clusters(given).map(protocolOfCluster).join(' ');

function alpn(given: Given) {
  return clusters(given).map(({ transportSocketMatches, transportSocket }) => {
    const { typedConfig } = transportSocket ?? transportSocketMatches![0]!.transportSocket;
    return (typedConfig as UpstreamTlsContext).commonTlsContext?.alpnProtocols?.join() ?? '';
  });
}

describe('the protocol of a port', () => {
  it.each<[string, Given, string]>([
    ['is what it declares', {}, 'http1 http2 http2 http2 http1 downstream'],
    ['is HTTP/1.1 at a gateway where it declares none', { type: 'router' }, 'http1 http2 http2 http2 http1 http1'],
    [
      'follows the mesh where it declares HTTP',
      { mesh: 'h2UpgradePolicy: UPGRADE' },
      'http2 http2 http2 http2 http1 downstream',
    ],
    [
      'is not upgraded where a DestinationRule says so',
      { mesh: 'h2UpgradePolicy: UPGRADE', yaml: pool('{ h2UpgradePolicy: DO_NOT_UPGRADE }') },
      'http1 http2 http2 http2 http1 downstream',
    ],
    [
      'is upgraded where a DestinationRule says so, whatever it declares',
      { yaml: pool('{ h2UpgradePolicy: UPGRADE }') },
      'http2 http2 http2 http2 http2 http2',
    ],
    [
      "is the client's where a DestinationRule says so",
      { mesh: 'h2UpgradePolicy: UPGRADE', yaml: pool('{ useClientProtocol: true }') },
      'downstream downstream downstream downstream downstream downstream',
    ],
  ])('%s', (_, given, expected) => expect(protocols(given)).toBe(expected));

  it('has the settings of the DestinationRule in force', () => {
    const given = {
      yaml: pool(
        '{ maxConcurrentStreams: 5, http2MaxRequests: 9, http2KeepAlive: { interval: 30s, timeout: 1500ms } }',
      ),
    };
    const found = clusters(given);
    const http2ProtocolOptions = {
      maxConcurrentStreams: 5,
      connectionKeepalive: { interval: '30s', timeout: '1.500s' },
    };
    const [, http2, , , , sniffed] = found.map(
      ({ typedExtensionProtocolOptions }) => Object.values(typedExtensionProtocolOptions ?? {})[0],
    );
    expect(http2?.explicitHttpConfig).toEqual({ http2ProtocolOptions });
    expect(sniffed?.useDownstreamProtocolConfig?.http2ProtocolOptions).toEqual(http2ProtocolOptions);
    expect(found.map(({ circuitBreakers }) => circuitBreakers?.thresholds?.[0]?.maxRequests)).toEqual(Array(6).fill(9));
  });
});

describe('clients offer', () => {
  const http1 = 'istio-http/1.1,istio,http/1.1';
  const http2 = 'istio-h2,istio,h2';
  const both = 'istio-h2,istio-http/1.1,istio,h2,http/1.1';

  it.each<[string, Given, string[]]>([
    ['what they speak', {}, [http1, http2, http2, http2, 'istio', both]],
    ['what they speak, at a gateway', { type: 'router' }, [http1, http2, http2, http2, 'istio', http1]],
    ['h2 after an upgrade', { mesh: 'h2UpgradePolicy: UPGRADE' }, [http2, http2, http2, http2, 'istio', both]],
    [
      'both where the client decides',
      { yaml: pool('{ useClientProtocol: true }') },
      [both, both, both, both, 'istio', both],
    ],
    // It offers a list whole: a server could choose what it does not speak.
    ['as Envoy, neither where the client decides', { agent: 'envoy' }, [http1, http2, http2, http2, 'istio', 'istio']],
    ['h2 alone to servers outside', { yaml: rule('{ tls: { mode: SIMPLE } }') }, ['', 'h2', 'h2', 'h2', '', '']],
  ])('%s', (_, given, expected) => expect(alpn(given)).toEqual(expected));
});
