/** Fields of VirtualService that no golden case and no exchange on the wire shows: deprecated spellings, and matches of connections. */
import { describe, expect, it } from 'vitest';
import { kindOf } from '../../../shared/resources/index.ts';
import type { Resource } from '../../../shared/resources/resource.ts';
import type { Node } from '../../../shared/xds/core.ts';
import type { Route } from '../../../shared/xds/route.ts';
import { buildView } from '../../mesh/build-view.ts';
import { compileNode } from '../node/node.ts';
import { admitted } from '../testing/reference.ts';

const networking = (kind: string, name: string, spec: object, namespace = 'shop'): Resource => {
  const apiVersion = 'networking.istio.io/v1';
  expect(kindOf(apiVersion, kind)).toBeDefined();
  return admitted({ apiVersion, kind, metadata: { name, namespace }, spec });
};
/** Virtual addresses: each service has a listener of its own. */
const ADDRESSES: Readonly<Record<string, string>> = { web: '10.9.0.1', db: '10.9.0.2', copy: '10.9.0.3' };
const service = (name: string, protocol: string, namespace = 'shop') =>
  networking(
    'ServiceEntry',
    name,
    {
      hosts: [`${name}.${namespace}.svc.cluster.local`],
      addresses: [ADDRESSES[name]],
      ports: [{ number: 9000, name: 'one', protocol }],
      resolution: 'STATIC',
      endpoints: [{ address: '10.0.0.9' }],
    },
    namespace,
  );
const sidecar = (namespace = 'shop', app = 'a'): Node => ({
  id: `sidecar~10.0.0.1~${app}.${namespace}~${namespace}.svc.cluster.local`,
  metadata: { NAMESPACE: namespace, LABELS: { app } },
});
const edge: Node = {
  id: 'router~10.0.0.2~edge.shop~shop.svc.cluster.local',
  metadata: { NAMESPACE: 'shop', LABELS: { istio: 'edge' } },
};
const to = (host: string) => [{ destination: { host } }];

/** The first route of `web` with this rule. */
function routeOf(rule: object): Route {
  const vs = networking('VirtualService', 'web', { hosts: ['web'], http: [{ route: to('web'), ...rule }] });
  const { routes = [] } = compileNode(buildView([service('web', 'HTTP'), vs], 1), sidecar());
  return routes.find(({ name }) => name === '9000')!.virtualHosts![0]!.routes![0]!;
}

/** Where connections to the service go: the cluster of each chain of its listener. */
function targets(spec: object, protocol: string, node: Node): unknown[] {
  const resources = [
    service('db', protocol),
    service('copy', protocol),
    networking('VirtualService', 'db', { hosts: [OWN], ...spec }),
  ];
  const { listeners = [] } = compileNode(buildView(resources, 1), node);
  const listener = listeners.find(({ name }) => name === `${ADDRESSES['db']}_9000`);
  const chains = [
    ...(listener?.filterChains ?? []),
    ...(listener?.defaultFilterChain ? [listener.defaultFilterChain] : []),
  ];
  return chains.map(
    ({ filters }) => ((filters ?? []).at(-1)!.typedConfig as { cluster?: string }).cluster?.split('|')[3],
  );
}

const OWN = 'db.shop.svc.cluster.local';
const COPY = 'copy.shop.svc.cluster.local';

describe('deprecated spellings', () => {
  it.each(['mirrorPercent', 'mirror_percent'])('%s is the share of the one mirror', (field) => {
    const { requestMirrorPolicies } = routeOf({ mirror: { host: 'copy' }, [field]: 25 }).route!;
    expect(requestMirrorPolicies).toMatchObject([
      { runtimeFraction: { defaultValue: { numerator: 250_000, denominator: 'MILLION' } } },
    ]);
    expect(routeOf({ mirror: { host: 'copy' }, [field]: 0 }).route!.requestMirrorPolicies).toBeUndefined();
  });

  it('fault.delay.percent is the share of delayed requests; percentage comes before it', () => {
    const delayOf = (delay: object) =>
      routeOf({ fault: { delay: { fixedDelay: '1s', ...delay } } }).typedPerFilterConfig;
    expect(delayOf({ percent: 7 })).toMatchObject({
      'envoy.filters.http.fault': { delay: { percentage: { numerator: 7 } } },
    });
    expect(delayOf({ percent: 7, percentage: { value: 3 } })).toMatchObject({
      'envoy.filters.http.fault': { delay: { percentage: { numerator: 30_000, denominator: 'MILLION' } } },
    });
  });

  it('corsPolicy.allowOrigin is exact origins, where * is all; allowOrigins comes before it', () => {
    const originsOf = (corsPolicy: object) => routeOf({ corsPolicy }).typedPerFilterConfig;
    expect(originsOf({ allowOrigin: ['https://a.example', '*'] })).toMatchObject({
      'envoy.filters.http.cors': {
        allowOriginStringMatch: [{ exact: 'https://a.example' }, { safeRegex: { regex: '.*' } }],
      },
    });
    expect(originsOf({ allowOrigin: ['https://a.example'], allowOrigins: [{ prefix: 'https://b' }] })).toMatchObject({
      'envoy.filters.http.cors': { allowOriginStringMatch: [{ prefix: 'https://b' }] },
    });
  });
});

describe('whose connections a rule is for', () => {
  const tcp = (match: object) => ({ tcp: [{ match: [match], route: to('copy') }] });
  const tls = (match: object) => ({
    tls: [{ match: [{ sniHosts: ['db.shop.svc.cluster.local'], ...match }], route: to('copy') }],
  });

  it('tcp: sourceNamespace and sourceLabels of the caller, and mesh among gateways', () => {
    expect(targets(tcp({ sourceNamespace: 'shop' }), 'TCP', sidecar())).toEqual([COPY]);
    expect(targets(tcp({ sourceNamespace: 'shop' }), 'TCP', sidecar('pay'))).toEqual([OWN]);
    expect(targets(tcp({ sourceLabels: { app: 'a' } }), 'TCP', sidecar())).toEqual([COPY]);
    expect(targets(tcp({ sourceLabels: { app: 'b' } }), 'TCP', sidecar())).toEqual([OWN]);
    expect(targets(tcp({ gateways: ['mesh'] }), 'TCP', sidecar())).toEqual([COPY]);
    expect(targets(tcp({ gateways: ['edge'] }), 'TCP', sidecar())).toEqual([OWN]);
  });

  it('tls: the same', () => {
    expect(targets(tls({ sourceNamespace: 'shop' }), 'TLS', sidecar())).toContain(COPY);
    expect(targets(tls({ sourceNamespace: 'shop' }), 'TLS', sidecar('pay'))).not.toContain(COPY);
    expect(targets(tls({ sourceLabels: { app: 'a' } }), 'TLS', sidecar())).toContain(COPY);
    expect(targets(tls({ sourceLabels: { app: 'b' } }), 'TLS', sidecar())).not.toContain(COPY);
    expect(targets(tls({ gateways: ['mesh'] }), 'TLS', sidecar())).toContain(COPY);
    expect(targets(tls({ gateways: ['edge'] }), 'TLS', sidecar())).not.toContain(COPY);
  });

  it('tls at a gateway: of the gateway that is named', () => {
    const gateway = networking('Gateway', 'edge', {
      selector: { istio: 'edge' },
      servers: [{ port: { number: 9000, name: 'tls', protocol: 'TLS' }, tls: { mode: 'PASSTHROUGH' }, hosts: ['*'] }],
    });
    const snis = (gateways: string[]) => {
      const match = [{ sniHosts: ['db.example'], gateways }];
      const vs = networking('VirtualService', 'db', {
        hosts: ['db.example'],
        gateways: ['edge', 'mesh'],
        tls: [{ match, route: to('copy') }],
      });
      const { listeners = [] } = compileNode(buildView([service('copy', 'TLS'), gateway, vs], 1), edge);
      return listeners.flatMap(({ filterChains = [] }) =>
        filterChains.flatMap((one) => one.filterChainMatch?.serverNames),
      );
    };
    expect(snis(['edge'])).toEqual(['db.example']);
    expect(snis(['mesh'])).toEqual([]);
  });
});
