import { describe, expect, it } from 'vitest';
import type { Resource } from '../../../shared/resources/resource.ts';
import type { FilterChain } from '../../../shared/xds/listener.ts';
import { buildView } from '../../mesh/build-view.ts';
import { parseMeshConfig } from '../../mesh/mesh-config.ts';
import { compileInSlices, compileWithNotes } from '../node/node.ts';
import { inOneGo } from '../output/compiled-node.ts';

const resource = (kind: string, name: string, spec: object): Resource =>
  ({ apiVersion: 'networking.istio.io/v1', kind, metadata: { name, namespace: 'default' }, spec }) as Resource;
const service = (name: string, ports: [number, string][]) =>
  resource('ServiceEntry', name, {
    hosts: [`${name}.default.svc.cluster.local`],
    location: 'MESH_INTERNAL',
    resolution: 'STATIC',
    ports: ports.map(([number, protocol]) => ({ number, name: `p${number}`, protocol })),
    endpoints: [{ address: '127.0.0.9' }],
  });
const node = (type: 'sidecar' | 'router') => ({
  id: `${type}~127.0.0.1~x.default~default.svc.cluster.local`,
  metadata: { LABELS: { app: 'x' }, INTERCEPTION_MODE: 'NONE' },
});
const gateway = (...servers: object[]) => resource('Gateway', 'gw', { selector: { app: 'x' }, servers });
const virtualService = (spec: object) => resource('VirtualService', 'vs', spec);
const to = (host: string, more: object = {}) => ({ destination: { host, ...more } });

function compiled(type: 'sidecar' | 'router', resources: Resource[], mesh?: string) {
  const { snapshot, notes } = compileWithNotes(
    buildView(resources, 1, mesh ? parseMeshConfig(mesh) : undefined),
    node(type),
  );
  return { listeners: snapshot.listeners, notes };
}
/** What the status of resources and the log say. */
const errorsOf = (type: 'sidecar' | 'router', resources: Resource[]) =>
  inOneGo(compileInSlices(buildView(resources, 1), node(type))).errors;
const target = (chain: FilterChain | undefined) => {
  const { cluster, weightedClusters } = (chain?.filters?.at(-1)?.typedConfig ?? {}) as unknown as {
    cluster?: string;
    weightedClusters?: { clusters: { name: string; weight: number }[] };
  };
  return cluster ?? weightedClusters?.clusters.map(({ name, weight }) => `${name}=${weight}`);
};

describe('tcp and tls routes', () => {
  const db = service('db', [[5432, 'TCP']]);

  it('share connections out by weight, and leave nothing to the service itself', () => {
    const vs = virtualService({
      hosts: ['db'],
      tcp: [
        {
          route: [
            { ...to('db', { subset: 'a' }), weight: 90 },
            { ...to('db', { subset: 'b' }), weight: 10 },
            { ...to('db'), weight: 0 },
          ],
        },
      ],
    });
    const { listeners } = compiled('sidecar', [db, vs]);
    const found = listeners.find(({ name }) => name === '127.0.0.1_5432')!;
    const host = 'db.default.svc.cluster.local';
    expect(found.filterChains).toHaveLength(1);
    expect(found.defaultFilterChain).toBeUndefined();
    expect(target(found.filterChains![0])).toEqual([`outbound|5432|a|${host}=90`, `outbound|5432|b|${host}=10`]);
  });

  it('leave to the service what no destination subnet takes', () => {
    const vs = virtualService({
      hosts: ['db'],
      tcp: [{ match: [{ destinationSubnets: ['10.1.0.0/16', '10.9.9.9'] }], route: [to('other.example')] }],
    });
    const found = compiled('sidecar', [db, vs]).listeners.find(({ name }) => name === '127.0.0.1_5432')!;
    expect(found.filterChains![0]!.filterChainMatch).toEqual({
      prefixRanges: [
        { addressPrefix: '10.1.0.0', prefixLen: 16 },
        { addressPrefix: '10.9.9.9', prefixLen: 32 },
      ],
    });
    expect(target(found.defaultFilterChain)).toBe('outbound|5432||db.default.svc.cluster.local');
  });

  it('give a name that two rules want to the first, and say so', () => {
    const secure = service('secure', [[443, 'TLS']]);
    const vs = virtualService({
      hosts: ['secure'],
      tls: [
        { match: [{ sniHosts: ['a.example', 'b.example'] }], route: [to('secure', { subset: 'one' })] },
        { match: [{ sniHosts: ['b.example', 'c.example'] }], route: [to('secure', { subset: 'two' })] },
        { match: [{ sniHosts: ['d.example'], port: 9 }], route: [to('secure')] },
      ],
    });
    const { listeners, notes } = compiled('sidecar', [secure, vs]);
    const found = listeners.find(({ name }) => name === '127.0.0.1_443')!;
    expect(found.filterChains!.map((chain) => chain.filterChainMatch)).toEqual([
      { serverNames: ['a.example', 'b.example'] },
      { serverNames: ['c.example'] },
    ]);
    const message = 'spec.tls: listener 127.0.0.1_443: b.example belongs to an earlier route or server';
    expect(notes).toContain(`VirtualService default/vs: ${message}`);
    expect(errorsOf('sidecar', [secure, vs])).toEqual([{ about: vs, reason: 'RuleWithoutEffect', message }]);
  });

  it('wait for a client as long as protocolDetectionTimeout says', () => {
    const timeout = (mesh?: string) => compiled('sidecar', [db], mesh).listeners[0]!.listenerFiltersTimeout;
    expect(timeout()).toBe('0s');
    expect(timeout('protocolDetectionTimeout: 100ms')).toBe('0.100s');
  });
});

it('mesh mTLS keeps to the lowest version of MeshConfig', () => {
  const servers = { port: { number: 443, name: 'a', protocol: 'HTTPS' }, hosts: ['*'], tls: { mode: 'ISTIO_MUTUAL' } };
  const lowest = (mesh?: string) => {
    const { listeners } = compiled(
      'router',
      [resource('Gateway', 'gw', { selector: { app: 'x' }, servers: [servers] })],
      mesh,
    );
    return JSON.stringify(listeners[0]).match(/"tlsMinimumProtocolVersion":"(\w+)"/)?.[1];
  };
  expect(lowest()).toBe('TLSv1_2');
  expect(lowest('meshMTLS: { minProtocolVersion: TLSV1_3 }')).toBe('TLSv1_3');
});

describe('gateway servers that are not HTTP', () => {
  const app = service('app', [[443, 'TLS']]);
  const mongo = service('mongo', [[27017, 'TCP']]);
  const port = (number: number, protocol: string) => ({ number, name: `p${number}`, protocol });

  it('end TLS for TCP, pass it through, and share the port with HTTPS', () => {
    const { listeners } = compiled('router', [
      app,
      mongo,
      gateway(
        { port: port(443, 'HTTPS'), hosts: ['web.example'], tls: { mode: 'SIMPLE', credentialName: 'web' } },
        { port: port(443, 'TLS'), hosts: ['pass.example'], tls: { mode: 'PASSTHROUGH' } },
        {
          port: port(443, 'TLS'),
          hosts: ['mongo.example'],
          tls: {
            mode: 'MUTUAL',
            credentialName: 'mongo',
            minProtocolVersion: 'TLSV1_3',
            verifyCertificateSpki: ['c3BraQ=='],
            cipherSuites: ['ECDHE-RSA-AES128-GCM-SHA256'],
          },
        },
      ),
      virtualService({
        hosts: ['pass.example', 'mongo.example'],
        gateways: ['gw'],
        tls: [{ match: [{ sniHosts: ['pass.example'] }], route: [to('app')] }],
        tcp: [{ match: [{ port: 443 }], route: [to('mongo', { port: { number: 27017 } })] }],
      }),
    ]);
    const chains = listeners[0]!.filterChains!;
    expect(chains.map((chain) => chain.filterChainMatch?.serverNames)).toEqual([
      ['web.example'],
      ['pass.example'],
      ['mongo.example'],
    ]);
    expect(target(chains[1])).toBe('outbound|443||app.default.svc.cluster.local');
    expect(chains[1]!.transportSocket).toBeUndefined();
    expect(target(chains[2])).toBe('outbound|27017||mongo.default.svc.cluster.local');
    expect(chains[2]!.transportSocket).toMatchObject({
      typedConfig: {
        requireClientCertificate: true,
        commonTlsContext: {
          tlsParams: { tlsMinimumProtocolVersion: 'TLSv1_3', cipherSuites: ['ECDHE-RSA-AES128-GCM-SHA256'] },
          combinedValidationContext: { defaultValidationContext: { verifyCertificateSpki: ['c3BraQ=='] } },
        },
      },
    });
  });

  it('have a name once: the second Gateway, or route, that wants it says so', () => {
    const tls = { mode: 'SIMPLE', credentialName: 'web' };
    const first = gateway({ port: port(443, 'HTTPS'), hosts: ['a.example'], tls });
    const second = { ...gateway({ port: port(443, 'TLS'), hosts: ['*'], tls: { mode: 'PASSTHROUGH' } }) };
    second.metadata = { ...second.metadata, name: 'second' };
    const vs = virtualService({
      hosts: ['*'],
      gateways: ['second'],
      tls: [
        { match: [{ sniHosts: ['a.example'] }], route: [to('app')] },
        { match: [{ sniHosts: ['b.example'] }], route: [to('app')] },
      ],
    });
    const message = 'spec.tls: listener port 443: a.example belongs to an earlier route or server';
    expect(errorsOf('router', [app, first, second, vs])).toContainEqual({
      about: vs,
      reason: 'RuleWithoutEffect',
      message,
    });
  });

  it('are not served where no CA is named for clients, or no route leads on', () => {
    const tls = { mode: 'MUTUAL', serverCertificate: '/c', privateKey: '/k' };
    const { listeners, notes } = compiled('router', [
      gateway({ port: port(443, 'HTTPS'), hosts: ['a.example'], tls }, { port: port(31400, 'TCP'), hosts: ['*'] }),
    ]);
    expect(listeners).toEqual([]);
    expect(notes.join('\n')).toMatch(/MUTUAL names no CA: not served/);
    expect(notes.join('\n')).toMatch(/port 31400: no VirtualService has a tcp route for it: not served/);
  });
});
